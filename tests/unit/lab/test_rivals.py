"""The benchmark's rivals: pinned environments, one rule for copies, and an oracle that notices what is wrong."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.sinks import COLUMNS
from lab.bench import given
from lab.bench.given import Found, Given, Mix
from lab.bench.rivals import rows
from stores.lake import EVENT_STORE
from tests.cases import each

LOCKS = sorted(Path(rows.__file__).parent.glob("*.lock"))
EVENT = {
    "app": 400001,
    "uuid": "u-1",
    "event_type": "구매",
    "$insert_id": "i-1",
    "server_upload_time": "2026-03-10 00:13:09.118771",
    "event_properties": {"b": 1, "a": "💎"},
    "groups": None,
    "amplitude_id": 2**40,
    "location_lat": 37.5,
    "$schema": None,
}


def line(**fields: Any) -> bytes:
    return json.dumps(EVENT | fields, ensure_ascii=False, separators=(",", ":")).encode()


def test_every_rival_of_other_packages_has_a_lock() -> None:
    assert [lock.stem for lock in LOCKS] == ["bytewax", "plain", "spark"]


@each("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_pin_versions_and_hashes_and_name_no_host(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\\n]+)?( \\\n +--hash=sha256:[0-9a-f]{64})+", requirement)


def test_copies_have_one_key_and_another_project_uuid_or_type_has_another() -> None:
    lines = (line(), line(event_id=7), line(app=400002), line(uuid="u-2"), line(event_type="구매2"))
    keys = [rows.key(rows.decode(one)) for one in lines]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {16}


def test_rows_are_those_of_the_event_store(tmp_path: Path) -> None:
    rows.write([rows.decode(line())], tmp_path / "0.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["0.parquet"]
    stored = pq.read_table(tmp_path / "0.parquet")
    assert stored.column_names == list(COLUMNS[EVENT_STORE])
    found = {name: value for name, value in stored.to_pylist()[0].items() if value is not None}
    assert abs(datetime.now(UTC) - found.pop("arrival")).total_seconds() < 60
    assert found == {
        "project_id": 400001,
        "notifly_project": "notifly-400001",
        "month": "2026-03",
        "name": "amplitude__구매",
        "identity": "1|3:u-1|2:구매",
        "identity_rung": 1,
        "uuid": "u-1",
        "insert_id": "i-1",
        "amplitude_id": 2**40,
        "server_upload_time": datetime(2026, 3, 10, 0, 13, 9, 118771, UTC),
        "event_properties": '{"b":1,"a":"💎"}',
        "location_lat": 37.5,
        "popup_trigger": False,
        "shard": "shardId-000000000000",
        "sequence": "0",
    }


def test_half_of_a_skewed_mix_is_of_one_project() -> None:
    shares = Counter(Mix(projects=50, skewed=True).project_ids)
    assert len(shares) == 50
    assert shares.pop(400001) == 49
    assert set(shares.values()) == {1}


def test_the_oracle_counts_each_event_once(tmp_path: Path) -> None:
    made = given.write(tmp_path / "input", 200, Mix(size=500, duplicates=0.3, projects=3))
    lines = b"".join(path.read_bytes() for path in made.folder.iterdir()).splitlines()
    assert len(lines) == made.records == 200
    assert sum(made.counts.values()) == len(set(lines)) == 140
    assert {project for project, _ in made.counts} == {400001, 400002, 400003}


def test_the_month_is_that_of_the_first_copy() -> None:
    april = "2026-04-01 00:00:00.000000"
    lines = [line(), line(server_upload_time=april), line(uuid="u-2", server_upload_time=april)]
    counts, fingerprint = given.counted(iter(lines))
    assert counts == {(400001, "2026-03"): 1, (400001, "2026-04"): 1}
    identities = ("1|3:u-2|2:구매", "1|3:u-1|2:구매")
    assert fingerprint == given.fingerprint([(400001, one) for one in identities])


@each(
    ("identities", "totals", "verdict"),
    [
        (["a", "b"], 2, "ok"),
        (["b", "a"], 2, "ok"),
        (
            ["a"],
            2,
            "WRONG: 1 rows instead of 2, 1 distinct instead of 2, 1 rows by project and month differ, "
            "other events than those given",
        ),
        (["a", "b", "b"], 2, "WRONG: 3 rows instead of 2, 1 rows by project and month differ"),
        (["a", "a"], 2, "WRONG: 1 distinct instead of 2, other events than those given"),
        (["a", "c"], 2, "WRONG: other events than those given"),
        (["a", "b"], 3, "WRONG: 1 totals differ"),
    ],
)
def test_what_is_missing_twice_or_miscounted_is_wrong(identities: list[str], totals: int, verdict: str) -> None:
    key = (400001, "2026-03")
    columns = {"project_id": [400001] * len(identities), "month": ["2026-03"] * len(identities)}
    found: Found = given.tally(pa.table(columns | {"identity": identities}), {key: totals})
    due = given.fingerprint([(400001, "a"), (400001, "b")])
    assert given.verdict(Given(Path("input"), 3, {key: 2}, due), found) == verdict
