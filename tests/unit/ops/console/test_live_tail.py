"""The live tail's reader: how often and how much it asks of a shard, and what it does when that is too much."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from ops.answers.judged import Judged
from ops.console.tail import KEPT, PAUSE, Looked, Tail, Tip
from settings import parse
from stores.errors import StoreError, ThrottledError
from stores.stream import Page, Record, Shard, Stream
from tests.builders import ARRIVAL
from udfs.kpl import ALL_HASHES

NOTHING = timedelta(0)


class Played(Stream):
    """A stream that answers as it is told to, and notes what it is asked."""

    def __init__(self, *shards: str) -> None:
        self.names = shards
        self.asked: list[tuple[str, str, int]] = []
        self.begun: list[str] = []
        self.pages: list[Page | StoreError] = []

    def shards(self) -> list[Shard]:
        return [Shard(name, True, (), ALL_HASHES) for name in self.names]

    def iterator(self, shard: str, since: datetime | None) -> str:
        self.begun.append("end" if since is None else "before")
        return self.begun[-1]

    def page(self, shard: str, iterator: str, at_once: int) -> Page:
        self.asked.append((shard, iterator, at_once))
        answer = self.pages.pop(0) if self.pages else Page([], "next", NOTHING)
        if isinstance(answer, StoreError):
            raise answer
        return answer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def records(n: int, size: int = 100) -> list[Record]:
    return [Record("one", f"{at}", ARRIVAL, b"x" * size, ALL_HASHES) for at in range(n)]


def run(stream: Played, seconds: float, clock: Clock | None = None) -> Iterator[list[Record]]:
    """What is read within that time, looking ten times a second."""
    clock = clock or Clock()
    tip = Tip(stream, clock)
    for _ in range(int(seconds * 10)):
        yield tip.read()
        clock.now = round(clock.now + 0.1, 1)


def test_a_shard_is_read_every_two_seconds_at_most() -> None:
    stream = Played("one", "two")
    assert sum(map(len, run(stream, 20))) == 0
    assert len(stream.asked) == 2 * 20 / PAUSE
    assert stream.asked[0] == ("one", "before", 10)
    assert stream.begun == ["before", "before"]


def test_a_read_asks_for_as_many_records_as_their_size_allows() -> None:
    stream = Played("one")
    stream.pages = [Page(records(10), "next", NOTHING), Page(records(10, 100_000), "next", NOTHING)]
    assert [len(found) for found in run(stream, 8) if found] == [10, 10]
    # a megabyte takes five seconds of the shard's bytes, and the next read asks for less
    assert [at_once for _, _, at_once in stream.asked] == [10, 200, 4]


def test_what_is_throttled_is_asked_for_later_and_later_and_at_the_same_place() -> None:
    stream = Played("one")
    stream.pages = [ThrottledError("busy")] * 7
    assert sum(map(len, run(stream, 241))) == 0
    assert stream.begun == ["before"]
    assert len(stream.asked) == 7 + 1  # after 4, 8, 16, 32, 60, 60 and 60 seconds


def test_an_iterator_that_has_expired_is_replaced_by_one_at_the_end() -> None:
    stream = Played("one")
    stream.pages = [StoreError("expired")]
    assert list(run(stream, 6))
    assert stream.begun == ["before", "end"]


def test_a_reader_that_stays_behind_leaves_out_what_is_between() -> None:
    stream, clock = Played("one"), Clock()
    stream.pages = [Page(records(1), "next", timedelta(seconds=9))] * 5
    tip = Tip(stream, clock)
    for _ in range(4):
        tip.read()
        clock.now += PAUSE
    assert not tip.skipped
    tip.read()
    clock.now += PAUSE
    tip.read()
    assert tip.skipped
    assert stream.begun == ["before", "end"]


def test_a_shard_that_is_closed_is_read_to_its_end_only() -> None:
    stream = Played("one")
    stream.pages = [Page(records(3), None, NOTHING)]
    assert sum(map(len, run(stream, 30))) == 3
    assert len(stream.asked) == 1


@pytest.fixture
def tail(monkeypatch: pytest.MonkeyPatch) -> Tail:
    monkeypatch.setattr(Tail, "_run", lambda _: None)  # no stream is read
    lake = {"catalog_uri": "sqlite:////nowhere/c.db", "warehouse": "file:///nowhere"}
    return Tail(parse({"lake": lake}, "test"))


def entry(sequence: int, project_id: int | None = 5, sample: bytes = b"") -> Judged:
    where = (ARRIVAL, "shard", str(sequence), None)
    return Judged(*where, "event", None, None, project_id, None, None, None, len(sample), sample)


def test_the_newest_records_of_each_project_are_kept(tail: Tail) -> None:
    assert tail.look(5) == Looked([], False, "")
    tail.add([entry(at) for at in range(KEPT + 50)] + [entry(7, None), entry(8, 6)])
    assert [one.sequence for one in tail.look(5).records] == [str(at) for at in range(KEPT + 49, 49, -1)]
    assert [one.sequence for one in tail.look(None).records] == ["7"]
    assert [one.sequence for one in tail.look(6).records] == ["8"]


def test_what_is_kept_is_bounded_in_bytes(tail: Tail) -> None:
    tail.add([entry(at, project, b"x" * 4_096) for project in range(100) for at in range(KEPT)])
    kept = [len(tail.look(project).records) for project in range(100)]
    assert sum(kept) * 5_120 <= 64 * 2**20
    assert min(kept) > 50
