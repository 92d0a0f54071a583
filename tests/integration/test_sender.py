"""The sender and the stand-in of Amplitude as a process: one project's host hangs, the others notice nothing."""

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.stack.amplitude.process import running
from lab.stack.patience import wait_until
from stores.amplitude import Response, Uploads
from udfs.export.answers import State, Waits
from udfs.export.sender import DEADLINE, LIMITS, Due, Outcome, Sender

PROJECTS = range(1, 21)
HANGS = 20


def key(project_id: int) -> str:
    return f"{project_id:032x}"


class Project:
    """A target whose key is known; its state is not kept."""

    state, words = State.OK, ""

    def __init__(self, uploads: Uploads, project_id: int) -> None:
        self.uploads, self.key = uploads, key(project_id)

    def post(self, events: Any, seconds: float) -> Response:
        return self.uploads.post("us", self.key, events, seconds)

    def become(self, state: State, words: str) -> None:
        self.state, self.words = state, words


@pytest.fixture
def amplitude(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a stand-in that knows all projects' keys."""
    folder = tmp_path / "amplitude"
    with running(folder) as address:
        (folder / "keys").write_text("\n".join(map(key, PROJECTS)))
        yield address, folder


def batch(number: int) -> list[Due]:
    return [
        Due(project_id, json.dumps({"event_type": "e", "insert_id": f"{number}-{at}", "user_id": "u"}).encode(), 0)
        for at in range(20)
        for project_id in PROJECTS
    ]


def test_one_projects_host_hangs_and_the_others_are_as_fast_as_before(amplitude: tuple[str, Path]) -> None:
    endpoint, folder = amplitude
    uploads = Uploads(endpoint)
    targets: Mapping[int, Project] = {one: Project(uploads, one) for one in PROJECTS}
    sender = Sender(lambda: targets)

    def timed(first: int, batches: int) -> list[float]:
        took = []
        for number in range(first, first + batches):
            begin = time.perf_counter()
            rows = batch(number)
            for row, answer in zip(rows, sender.send(rows), strict=True):
                assert row.project_id == HANGS or answer.outcome is Outcome.ACCEPTED
            took.append(time.perf_counter() - begin)
        return took

    (folder / "faults").write_text("slow=0.1 1")  # as far as Amplitude is away
    timed(0, 5)
    before = timed(5, 30)
    (folder / "hangs").write_text(key(HANGS))
    (first,) = timed(35, 1)
    during = timed(36, 30)
    assert DEADLINE - 0.5 < first < DEADLINE + 0.3
    assert statistics.median(during) <= 1.1 * statistics.median(before)
    assert sender.closed == 1

    (folder / "hangs").unlink()
    sender._lines[HANGS].closed_until = time.monotonic() - 1  # half a minute has passed
    timed(66, 1)
    wait_until(lambda: not sender.closed, 10)
    rows = batch(67)
    assert {one.outcome for one in sender.send(rows)} == {Outcome.ACCEPTED}
    taken = [json.loads(line) for line in (folder / "taken.jsonl").read_text().splitlines()]
    of_others = [one["insert_id"] for one in taken if one["api_key"] != key(HANGS)]
    assert len(of_others) == 68 * 20 * (len(PROJECTS) - 1)


def test_http_v2_takes_a_megabyte_a_request(amplitude: tuple[str, Path]) -> None:
    endpoint, folder = amplitude
    target = Project(Uploads(endpoint, "http_v2"), 1)
    sender = Sender(lambda: {1: target}, LIMITS["http_v2"])
    made = {"event_type": "e", "user_id": "u", "event_properties": {"text": "가" * 1_000}}
    rows = [
        Due(1, json.dumps(made | {"insert_id": str(at)}, ensure_ascii=False).encode(), 0) for at in range(1_000)
    ]
    assert {one.outcome for one in sender.send(rows)} == {Outcome.ACCEPTED}
    assert sender.requests == 4
    assert len((folder / "taken.jsonl").read_text().splitlines()) == 1_000


def test_a_firewall_is_asked_without_events_and_what_is_not_counted_waits(amplitude: tuple[str, Path]) -> None:
    endpoint, folder = amplitude
    target = Project(Uploads(endpoint), 1)
    sender = Sender(lambda: {1: target})
    rows = batch(0)[:1]
    (folder / "faults").write_text("403 1")
    (found,) = sender.send(rows)
    assert (found.reason, target.state, sender.requests) == (Waits.BLOCKED, State.BLOCKED, 2)
    (folder / "faults").unlink()
    (folder / "dropped").write_text("u")
    target.state = State.OK
    (found,) = sender.send(rows)
    assert (found.reason, found.words) == (Waits.NOT_INGESTED, "HTTP 200, but events_ingested is 0 of 1")
    (folder / "dropped").unlink()
    assert [one.outcome for one in sender.send(rows)] == [Outcome.ACCEPTED]
    assert len((folder / "taken.jsonl").read_text().splitlines()) == 1
