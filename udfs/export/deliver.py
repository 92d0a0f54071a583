"""A project's events to Amplitude, until each one is accepted, refused or has to wait."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from udfs.export.answers import FORBIDDEN, STOPPED, Event, Refusal, State, Waits, blocked, judge

Post = Callable[[Sequence[Event]], tuple[int | None, bytes]]
"""Sends events; returns the answer's status, None when there was none within its time, and its body."""


class Later(NamedTuple):
    """Why an event has to wait, for a program and for a person; mostly Amplitude's words."""

    reason: Waits
    words: str


class Delivered(NamedTuple):
    """What became of the events, by their place in what was given; each stands in one of the three."""

    accepted: frozenset[int]
    refused: Mapping[int, Refusal]
    later: Mapping[int, Later]
    state: State
    words: str
    """what Amplitude said of the project, where it has to stop; of events their own words tell"""


_LATE: Final = Later(Waits.FAILED, "not sent in time")
_STOPS: Final = STOPPED | {State.THROTTLED}


def deliver(events: Sequence[Event], post: Post, late: Callable[[], bool]) -> Delivered:
    """Post one batch, then what is left of it as its answers say.

    Nothing is waited for. Once it is `late`, or the project has to stop, all that has no answer yet has to wait.
    The first 403 is followed by a request without events: one to that as well is not for what an event says.
    """
    accepted, refused, later = set[int](), dict[int, Refusal](), dict[int, Later]()
    due, state, unsent, may_send = deque([(tuple(range(len(events))), 0)]), State.OK, _LATE, False
    while due:
        places, named = due.popleft()
        if state in _STOPS or late() or not places:
            later.update(dict.fromkeys(places, unsent))
            continue
        batch = [events[place] for place in places]
        status, body = post(batch)
        if status == FORBIDDEN and not may_send:
            if late():
                later.update(dict.fromkeys(places, Later(Waits.FAILED, f"HTTP {FORBIDDEN}")))
                continue
            may_send = post(())[0] != FORBIDDEN
        verdict = judge(status, body, batch, named) if may_send or status != FORBIDDEN else blocked(batch)
        accepted.update(places[place] for place in verdict.accepted)
        refused.update({places[place]: why for place, why in verdict.refused.items()})
        later.update({places[place]: Later(why, verdict.words) for place, why in verdict.later.items()})
        due.extend(
            (tuple(places[place] for place in some), named + bool(verdict.refused)) for some in verdict.again
        )
        if verdict.state in _STOPS:
            state, unsent = verdict.state, Later(Waits(verdict.state), verdict.words)
    words = unsent.words if state in _STOPS else ""
    return Delivered(frozenset(accepted), refused, later, state, words)
