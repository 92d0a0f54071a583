"""Backfills: rows of an archive by the job's own rule, and how fast they are put."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.answers.archived import Judge, Judged, Row, WrongProjectError, rows
from ops.maintenance import backfill
from ops.maintenance.backfill import Pace
from stores.archives import ArchiveError, members
from stores.lake import Lake
from stores.lake_address import LakeAddress
from stores.project import Project, linked
from stores.rules import rules_of
from stores.stream import Capacity
from tests.builders import EVENT_A, EVENT_B, OTHER_PROJECT, PROJECT, encode, event, user_update
from udfs.decode import decode
from udfs.model import DECODED

LAKE = LakeAddress("sqlite:////nowhere", "file:///nowhere", "amplitude", None, "ap-northeast-2")
NOW = datetime(2026, 11, 1, tzinfo=UTC)
OWNER = linked(PROJECT, "acme-shop", datetime(2021, 1, 1))  # noqa: DTZ001  naive UTC, as all times of the registry


def read(folder: Path, *given: bytes, skip: int = 0, owner: Project = OWNER) -> list[Row]:
    path = folder / f"{PROJECT}_2026-03-15_7#0.json"
    path.write_bytes(b"\n".join(given))
    (one,) = members([str(path)], LAKE)
    return list(rows(one, owner, NOW, 10_000, skip))


@pytest.mark.parametrize("sent", [EVENT_A, EVENT_B], ids=["2025", "2020"])
def test_amplitudes_own_rows_have_the_identity_of_what_was_streamed(
    tmp_path: Path, sent: dict[str, object]
) -> None:
    exported = encode(sent | {"app": PROJECT, "server_upload_time": "2026-03-15 09:30:29.753000"})
    (row,) = read(tmp_path, exported)
    arrival = datetime(2026, 3, 15, 9, 30, 33)  # noqa: DTZ001
    streamed = dict(zip(DECODED, decode(exported, arrival, {PROJECT: OWNER}), strict=True))
    assert row.data == exported
    assert (row.identity, row.kind, row.reason) == (streamed["identity"], "event", None)
    assert row.hour == datetime(2026, 3, 15, 9, tzinfo=UTC)


def test_what_is_not_taken_has_its_reason_and_its_hour(tmp_path: Path) -> None:
    early = event(server_upload_time="2020-03-15 05:10:00.000000")
    found = read(tmp_path, encode(early), encode(user_update()), b'{"app":1', b"", b'{"a":"' + b"x" * 10_000)
    assert [(row.line, row.kind, row.reason, row.hour and row.hour.hour) for row in found] == [
        (1, "not_linked", "before_link", 5),
        (2, "user_update", None, found[1].hour and found[1].hour.hour),
        (3, "rejected", "invalid_json", 7),
        (5, "rejected", "too_large", 7),
    ]
    assert [row.line for row in read(tmp_path, b"{}", b"{}", b"{}", skip=2)] == [3]


def test_what_a_project_filters_is_left_out_and_its_other_rules_change_no_identity(tmp_path: Path) -> None:
    document = {"field_rules": {"event_properties": "drop"}, "event_filters": [{"event": "Heartbeat"}]}
    ruled = OWNER._replace(rules=rules_of(document))
    sent = [encode(event(event_type="Heartbeat")), encode(event(uuid=None))]
    beat, other = read(tmp_path, *sent, owner=ruled)
    judge = Judge(Lake(LAKE._replace(catalog_uri="sqlite://")), PROJECT, NOW)
    assert judge(beat) == Judged(beat, "left out", "filtered")
    assert (other.data, other.identity) == (sent[1], read(tmp_path, sent[1])[0].identity)


def test_a_row_of_another_project_and_a_record_of_several_end_it(tmp_path: Path) -> None:
    with pytest.raises(
        WrongProjectError, match=f"its line 2 is of project {OTHER_PROJECT}; nothing of it was put"
    ):
        read(tmp_path, encode(event()), encode(event(app=OTHER_PROJECT)))
    with pytest.raises(ArchiveError, match="line 2 holds several records"):
        read(tmp_path, encode(event()), json.dumps([event()]).encode())


def test_a_share_of_the_stream_is_not_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [7.0]
    monkeypatch.setattr(backfill.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(backfill.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    pace = Pace(Capacity(2_000, 2 * 10**6, 2**20), 0.5)
    assert (pace.at_once, pace.records, pace.bytes) == (500, 1_000, 10**6)
    for _ in range(3):
        pace.wait([b"x"] * 100)  # a tenth of a second each
    pace.wait([b"x" * 10**5])
    assert now == [pytest.approx(7.4)]
    assert Pace(Capacity(1_000, 10**6, 2**20), 0.0001).at_once == 1
