"""A project's events to Amplitude, until each one is accepted, refused or has to wait."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from udfs.export.answers import FAILED_SECONDS, Event, Refusal, State, judge

Post = Callable[[Sequence[Event]], tuple[int | None, bytes]]
"""Sends events; returns the answer's status, None when there was none within its time, and its body."""


class Later(NamedTuple):
    """How many seconds an event has to wait at least, and why, as a person reads it: mostly Amplitude's words."""

    seconds: float
    words: str


class Delivered(NamedTuple):
    """What became of the events, by their place in what was given; each stands in one of the three."""

    accepted: frozenset[int]
    refused: Mapping[int, Refusal]
    later: Mapping[int, Later]
    state: State
    words: str
    """what Amplitude said of the project, where it has to stop; of events their own words tell"""
    requests: int


_LATE: Final = Later(FAILED_SECONDS, "not sent in time")
_STOPS: Final = (State.AUTH_ERROR, State.THROTTLED)


def deliver(events: Sequence[Event], post: Post, late: Callable[[], bool]) -> Delivered:
    """Post one batch, then what is left of it as its answers say.

    Nothing is waited for. Once it is `late`, or the project has to stop, all that has no answer yet has to wait.
    """
    accepted, refused, later = set[int](), dict[int, Refusal](), dict[int, Later]()
    due, requests, state, unsent = deque([(tuple(range(len(events))), 0)]), 0, State.OK, _LATE
    while due:
        places, named = due.popleft()
        if state in _STOPS or late() or not places:
            later.update(dict.fromkeys(places, unsent))
            continue
        batch = [events[place] for place in places]
        (status, body), requests = post(batch), requests + 1
        verdict = judge(status, body, batch, named)
        accepted.update(places[place] for place in verdict.accepted)
        refused.update({places[place]: why for place, why in verdict.refused.items()})
        later.update({places[place]: Later(wait, verdict.words) for place, wait in verdict.later.items()})
        due.extend(
            (tuple(places[place] for place in some), named + bool(verdict.refused)) for some in verdict.again
        )
        if verdict.state in _STOPS:
            state, unsent = verdict.state, Later(max(verdict.later.values()), verdict.words)
    words = unsent.words if state in _STOPS else ""
    return Delivered(frozenset(accepted), refused, later, state, words, requests)
