"""Which records may have expired unread: windows by shard, and nothing where nothing can have been lost."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from jobs.gap import Gap, Held, described, rule
from stores.stream import Retention
from tests.cases import each

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SETTLE = 10 * MINUTE
"""How long before a commit a record may arrive and not be in it."""


def ago(hours: float) -> datetime:
    return NOW - hours * HOUR


def held(shard: str, first: float | None, *parents: str) -> Held:
    """A shard whose oldest record arrived so many hours ago; None: it holds none."""
    return Held(shard, parents, None if first is None else ago(first))


class Case(NamedTuple):
    """All in hours ago; retention is a day unless said otherwise."""

    held: list[Held]
    counted: dict[str, float]
    committed: float
    expected: list[tuple[str, float, float]]
    kept: float = 24
    created: float = 10_000


MINUTES_10 = SETTLE / HOUR
CASES = {
    "a short stop": Case([held("a", 24), held("b", 23)], {"a": 2, "b": 3}, 2, []),
    "a stop longer than the retention": Case(
        [held("a", 23.9), held("b", 23.5)], {"a": 30, "b": 30.1}, 30, [("a", 30, 24), ("b", 30.1, 24)]
    ),
    "a stop longer than the retention, and nothing on the stream": Case(
        [held("a", None)], {"a": 30}, 30, [("a", 30, 24)]
    ),
    "a shard on which nothing has arrived for longer": Case(
        [held("a", 24), held("b", None)], {"a": 2, "b": 70}, 2, []
    ),
    "a stream on which nothing has arrived for longer": Case([held("a", None)], {"a": 70}, 2, []),
    "a shard that was silent, and a stop longer than the retention": Case(
        [held("a", 23), held("b", None)], {"a": 30, "b": 70}, 30, [("a", 30, 24), ("b", 30 + MINUTES_10, 24)]
    ),
    "a shard on which the job was behind": Case(
        [held("a", 24), held("b", 23.9)], {"a": 1, "b": 26}, 1, [("b", 26, 24)]
    ),
    "a shard that has its first records for long since the commit": Case(
        [held("a", 24), held("b", 0.9)], {"a": 1, "b": 70}, 1, []
    ),
    "records kept longer than promised": Case([held("a", 25)], {"a": 24.5}, 24.5, []),
    "a retention raised after records had expired": Case(
        [held("a", 27), held("b", 26)], {"a": 30, "b": 70}, 30, [("a", 30, 27), ("b", 30 + MINUTES_10, 27)], 168
    ),
    "an arrival that was rounded down": Case(
        [held("a", 30)], {"a": 30 + timedelta(milliseconds=1) / HOUR}, 30, [], 168
    ),
    "a retention raised in time": Case([held("a", 40), held("b", 26)], {"a": 30, "b": 50}, 30, [], 168),
    "a retention raised, and nothing on the stream": Case([held("a", None)], {"a": 30}, 30, [("a", 30, 0)], 168),
    "a stream that was made anew": Case([held("a", 4.5)], {"a": 7}, 7, [("a", 7, 5)], 5, 5),
    "a stream so young that the first commit has just been made": Case(
        [held("a", 0.1), held("b", None)], {"a": 0.1}, 0.1, [], 0.15, 0.15
    ),
    "a split while the job was down, its parent gone": Case(
        [held("a1", 23.5, "a"), held("a2", None, "a")], {"a": 29}, 29, [("a1", 29, 24), ("a2", 29, 24)]
    ),
    "a split in time, its children not read yet": Case(
        [held("a", 23), held("a1", 1, "a"), held("a2", None, "a")], {"a": 2}, 1, []
    ),
    "a merge: it begins where the later of its parents ends": Case(
        [held("ab", 23, "a", "b")], {"a": 40, "b": 30}, 30, [("ab", 30, 24)]
    ),
    "two splits while the job was down: nobody knows whose child it is": Case(
        [held("a11", 23, "a1")], {}, 30, [("a11", 30 + MINUTES_10, 24)]
    ),
    "a parent that was read to its end": Case(
        [held("a", None), held("a1", 20, "a"), held("a2", None, "a")], {"a": 26, "a1": 1}, 1, []
    ),
    "a shard never counted, with records from before a first start at LATEST": Case(
        [held("a", 24), held("b", 20)], {"a": 1}, 1, []
    ),
}


@each("case", CASES.values(), ids=CASES)
def test_a_gap_is_where_it_cannot_be_proven_that_nothing_was_lost(case: Case) -> None:
    counted = {shard: ago(hours) for shard, hours in case.counted.items()}
    kept = Retention(ago(case.created), ago(case.kept))
    found = rule(case.held, counted, ago(case.committed), kept, NOW)
    assert found == [Gap(shard, ago(since), ago(until)) for shard, since, until in case.expected]


def test_a_gap_is_described_in_one_line_with_shards_windows_and_remedy() -> None:
    found = [Gap("shardId-0", ago(30), ago(24)), Gap("shardId-1", ago(29), ago(24))]
    line = described("events", found, "Amplitude has them")
    assert line == (
        "records of Kinesis stream events may have expired before they were read: "
        "shardId-0 from 2026-03-09T06:00:00Z to 2026-03-09T12:00:00Z, "
        "shardId-1 from 2026-03-09T07:00:00Z to 2026-03-09T12:00:00Z; "
        "Amplitude has them; to start without them: "
        '--set kinesis.on_gap=continue (docs/operations.md, "Records may have expired")'
    )
