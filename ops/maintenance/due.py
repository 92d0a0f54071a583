"""Which of the events that wait are put on the stream of message events again: the rule alone."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers.waiting import projects
from udfs.export.answers import STOPPED, STOPPED_SECONDS, THROTTLED_SECONDS, State
from udfs.export.sender import LIMITS

AGAIN: Final = timedelta(hours=1)
"""How long an attempt that was put may go without a row that settles it."""


class Key(NamedTuple):
    """An event that waits; `attempt` is the one that was made."""

    project_id: int
    event_id: str
    attempt: int


class _Share(NamedTuple):
    """How much of what waits for a project in some state goes at a time, and how often."""

    events: int
    seconds: float


_SHARES: Final = {
    State.THROTTLED: _Share(LIMITS["batch"].events, THROTTLED_SECONDS),
    **dict.fromkeys(STOPPED, _Share(1, STOPPED_SECONDS)),
}


@dataclass
class Memory:
    """What this process has put; whoever comes after it puts some of it once more."""

    put: dict[tuple[int, str], tuple[int, datetime]] = field(default_factory=dict)
    """by project and event the attempt that had been made, and when the next one was put"""
    tried: dict[int, datetime] = field(default_factory=dict)
    """by project when some of its events were put"""

    def is_new(self, key: Key, now: datetime) -> bool:
        """Whether the next attempt of an event was not put in the last hour."""
        attempt, at = self.put.get(key[:2], (-1, now))
        return attempt != key.attempt or now - at > AGAIN

    def unsettled(self, now: datetime) -> int:
        """How many were put in the last hour whose next attempt is not known of."""
        return sum(now - at <= AGAIN for _, at in self.put.values())

    def note(self, keys: Iterable[Key], now: datetime) -> None:
        """Note what was put."""
        for key in keys:
            self.put[key[:2]] = key.attempt, now
            self.tried[key.project_id] = now

    def forget(self, waits: pa.Table) -> None:
        """Forget what does not wait any more, or waits for another attempt."""
        ids = pa.array({event_id for _, event_id in self.put}, pa.string())
        still = {key[:2]: key.attempt for key in keys(waits.filter(pc.is_in(waits["event_id"], ids)))}
        self.put = {one: (attempt, at) for one, (attempt, at) in self.put.items() if still.get(one) == attempt}


def keys(waits: pa.Table) -> Iterator[Key]:
    """The events of a table, as they stand in it."""
    for piece in waits.to_batches(max_chunksize=10_000):
        yield from map(Key, *(piece[name].to_pylist() for name in Key._fields))


def chosen(waits: pa.Table, states: Mapping[int, str], memory: Memory, now: datetime, most: int) -> list[Key]:
    """Which events are to be put now, at most so many; `waits` is `waiting`'s table, the oldest first.

    Of a project that is `ok`, those that are due. Of one that is `throttled`, a batch at a time; of one in
    `auth_error` or `blocked` one event, due or not, every few minutes: its answer tells whether that is mended. Of
    one that is paused, or has no destination, none. No project gets more than another that has some left.
    """
    found = {}
    for project_id in projects(waits):
        state = states.get(project_id, State.PAUSED)
        share = _SHARES.get(State(state), _Share(most, 0.0))
        tried = memory.tried.get(project_id)
        if state == State.PAUSED or (tried and now - tried < timedelta(seconds=share.seconds)):
            continue
        wanted = pc.field("project_id") == project_id
        if state not in STOPPED:
            wanted &= pc.field("due") <= pa.scalar(now, waits.schema.field("due").type)
        own = (key for key in keys(waits.filter(wanted)) if state in STOPPED or memory.is_new(key, now))
        found[project_id] = list(islice(own, min(share.events, most)))
    given = shares({project_id: len(own) for project_id, own in found.items()}, most)
    return [key for project_id, own in found.items() for key in own[: given[project_id]]]


def shares(counts: Mapping[int, int], most: int) -> dict[int, int]:
    """How many of `most` each gets: no one gets more than another that would take more."""
    given, left = {}, most
    for place, (one, count) in enumerate(sorted(counts.items(), key=lambda one: one[1])):
        given[one] = min(count, -(-left // (len(counts) - place)))
        left -= given[one]
    return given
