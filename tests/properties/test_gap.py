"""The rule of gaps over any history of a stream: each loss that leaves a trace is told, nothing else is."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from jobs.gap import Gap, Held, rule
from stores.stream import Retention

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SETTLE = 10 * MINUTE
"""How long before a commit a record may arrive and not be in it."""


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
