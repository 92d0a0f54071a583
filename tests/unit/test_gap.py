"""Which records may have expired unread: windows by shard, and nothing where nothing can have been lost."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ingest.gap import Gap, Held, described, rule
from stores.stream import Retention

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


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_gap_is_where_it_cannot_be_proven_that_nothing_was_lost(case: Case) -> None:
    counted = {shard: ago(hours) for shard, hours in case.counted.items()}
    kept = Retention(ago(case.created), ago(case.kept))
    found = rule(case.held, counted, ago(case.committed), kept, NOW)
    assert found == [Gap(shard, ago(since), ago(until)) for shard, since, until in case.expected]


def test_a_gap_is_described_in_one_line_with_shards_windows_and_remedy() -> None:
    line = described("events", [Gap("shardId-0", ago(30), ago(24)), Gap("shardId-1", ago(29), ago(24))])
    assert line == (
        "records of Kinesis stream events may have expired before they were read: "
        "shardId-0 from 2026-03-09T06:00:00Z to 2026-03-09T12:00:00Z, "
        "shardId-1 from 2026-03-09T07:00:00Z to 2026-03-09T12:00:00Z; "
        "Amplitude's Export API has the events of these hours; to start without them: "
        '--set kinesis.on_gap=continue (docs/operations.md, "Records may have expired")'
    )


class History(NamedTuple):
    """What happened to a stream: arrivals by shard, how far each was read, the commit, and what has expired."""

    arrivals: dict[str, list[datetime]]
    read: dict[str, datetime]
    committed: datetime
    kept_since: datetime
    trimmed: datetime
    """all that arrived before is gone; later than `kept_since` where the retention was raised"""

    @property
    def counted(self) -> dict[str, datetime]:
        before = {s: [at for at in all_ if at <= self.read[s]] for s, all_ in self.arrivals.items()}
        return {shard: max(some) for shard, some in before.items() if some}

    @property
    def unread(self) -> list[tuple[str, datetime]]:
        return [(s, at) for s, all_ in self.arrivals.items() for at in all_ if at > self.read[s]]

    def gaps(self) -> list[Gap]:
        on_it = {s: [at for at in all_ if at >= self.trimmed] for s, all_ in self.arrivals.items()}
        shards = [Held(shard, (), min(some, default=None)) for shard, some in on_it.items()]
        return rule(shards, self.counted, self.committed, Retention(NOW - 30 * DAY, self.kept_since), NOW)

    def traced(self, shard: str) -> bool:
        """Whether something is left that tells of a loss on this shard."""
        behind = self.read[shard] < self.committed
        late = (one == shard and self.trimmed <= at < self.committed - SETTLE for one, at in self.unread)
        raised = self.trimmed > self.kept_since
        gone = (self.kept_since + SETTLE < at < self.trimmed for at in self.counted.values())
        return (not behind or (shard in self.counted and any(late))) and (not raised or any(gone))


instants = st.integers(0, 72 * 12).map(lambda fives: NOW - fives * 5 * MINUTE)


@st.composite
def histories(draw: st.DrawFn) -> History:
    arrivals = draw(st.dictionaries(st.sampled_from("abc"), st.lists(instants, max_size=6), min_size=1))
    committed, trimmed = draw(instants), draw(instants)
    read = {s: min(committed, draw(st.one_of(st.just(committed), instants))) for s in arrivals}
    kept_since = draw(st.one_of(st.just(trimmed), instants.filter(lambda at: at <= trimmed)))
    return History(arrivals, read, committed, kept_since, trimmed)


@given(histories())
def test_every_loss_that_leaves_a_trace_is_in_a_window(history: History) -> None:
    found = history.gaps()
    for shard, at in history.unread:
        if at < history.trimmed and history.traced(shard):
            assert any(gap.shard == shard and gap.since <= at < gap.until for gap in found), (shard, at, found)


@given(histories())
def test_no_gap_is_told_of_a_job_that_was_back_in_time(history: History) -> None:
    caught_up = history._replace(read=dict.fromkeys(history.arrivals, history.committed))
    if history.trimmed == history.kept_since <= history.committed - SETTLE:
        assert caught_up.gaps() == []


@given(histories())
def test_a_window_has_a_length_and_ends_before_what_is_held(history: History) -> None:
    for gap in history.gaps():
        assert gap.since < gap.until <= NOW
        assert all(at >= gap.until or at < history.trimmed for at in history.arrivals[gap.shard])
