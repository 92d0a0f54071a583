"""What became of one record: the answer out of real Iceberg tables."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jobs.sinks import COLUMNS
from ops.cli.main import commands
from stores.lake import COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES
from tests.builders import PROJECT
from tests.lake import lake_of

NOW = datetime(2026, 3, 15, 9, 30, 30, tzinfo=UTC)
Row = dict[str, Any]


def row(table: str, sequence: str, sub_index: int | None = None, **values: object) -> Row:
    place = {"shard": "s", "sequence": sequence, "sub_index": sub_index, "arrival": NOW}
    return dict.fromkeys(COLUMNS[table]) | place | values


def event(sequence: str, sub_index: int | None = None, **values: object) -> Row:
    told = {"project_id": PROJECT, "name": "amplitude__\x1b[31mpay", "identity": "1|a", "month": "2026-03"}
    return row(EVENT_STORE, sequence, sub_index, **told, **values)


ROWS = {
    EVENT_STORE: [event("1", repairs="wrong_type:city"), event("2", 2), event("1", shard="t")],
    USER_UPDATES: [row(USER_UPDATES, "2", 0, project_id=PROJECT, name="$identify", user_id="mina")],
    COHORT_MESSAGES: [row(COHORT_MESSAGES, "3", project_id=PROJECT)],
    DEAD_LETTERS: [row(DEAD_LETTERS, "2", 1, kind="rejected", reason="invalid_json", detail="at byte 3")],
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with lake_of(tmp_path_factory.mktemp("lake"), {name: [rows] for name, rows in ROWS.items()}) as path:
        yield path


def asked(config: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands, ["record", "--config", str(config), *arguments])
    return done.exit_code, done.stdout


AT = f"arrived {NOW:%Y-%m-%d %H:%M:%S} UTC"
PAY = rf"project {PROJECT}, amplitude__\x1b[31mpay, identity 1|a, month 2026-03"


SINCE = "2026-03-15T00:00"
NONE = "nothing of it is stored that arrived since 2026-03-15 00:00 UTC: "
WHY = "`amplitude-bridge dead-letters show HANDLE` says why"


@pytest.mark.parametrize(
    ("handle", "code", "shown"),
    [
        ("s:1", 0, f"  events  {PAY}, repairs wrong_type:city, {AT}\nall of it is taken\n"),
        (
            "s:2",
            1,
            f"  user_updates  part 0, project {PROJECT}, $identify, user mina, {AT}\n"
            f"  dead_letters  part 1, kind rejected, reason invalid_json, at byte 3, {AT}\n"
            f"  events        part 2, {PAY}, {AT}\n"
            f"1 of 3 not taken: {WHY}\n",
        ),
        ("s:2:2", 0, f"  events  part 2, {PAY}, {AT}\nall of it is taken\n"),
        ("s:3", 0, f"  cohort_messages  project {PROJECT}, {AT}\nall of it is taken\n"),
        ("s:0", 1, f"{NONE}a copy of what was taken\n"),
        ("s:4", 1, f"{NONE}not seen yet: on its way, or a copy of what was taken\n"),
    ],
    ids=["event", "parts", "one part", "cohort", "copy", "not yet"],
)
def test_a_record_is_found_by_where_it_stands(config: Path, handle: str, code: int, shown: str) -> None:
    assert asked(config, handle, "--since", SINCE) == (code, shown)


def test_a_look_back_of_a_week_is_enough_unless_said(config: Path) -> None:
    assert asked(config, "s:1", "--json")[0] == 1
    code, shown = asked(config, "s:1", "--since", SINCE, "--json")
    (found,) = json.loads(shown)
    assert (code, found["table"], found["arrival"]) == (0, "events", NOW.isoformat())
