"""A project's events to Amplitude, until each one is accepted, refused or has to wait."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from udfs.export.answers import Event, Refusal, State, judge

Post = Callable[[Sequence[Event]], tuple[int | None, bytes]]
"""Sends events; returns the answer's status, None when there was none within its time, and its body."""


class Delivered(NamedTuple):
    """What became of the events, by their place in what was given; each stands in one of the three."""

    accepted: frozenset[int]
    refused: Mapping[int, Refusal]
    later: Mapping[int, float]
    """seconds after which an event may be sent again"""
    state: State
    words: str
    """what Amplitude said last that was no yes"""
    requests: int


_STOPS: Final = (State.AUTH_ERROR, State.THROTTLED)


def deliver(events: Sequence[Event], post: Post, late: Callable[[], bool]) -> Delivered:
    """Post one batch, then what is left of it as its answers say.

    Nothing is waited for. Once it is `late`, or the project has to stop, all that has no answer yet has to wait.
    """
    accepted, refused, later = set[int](), dict[int, Refusal](), dict[int, float]()
    due, requests, state, pause, words = deque([(tuple(range(len(events))), 0)]), 0, State.OK, 0.0, ""
    while due:
        places, named = due.popleft()
        if state in _STOPS or late() or not places:
            later.update(dict.fromkeys(places, pause))
            continue
        batch = [events[place] for place in places]
        (status, body), requests = post(batch), requests + 1
        verdict = judge(status, body, batch, named)
        accepted.update(places[place] for place in verdict.accepted)
        refused.update({places[place]: why for place, why in verdict.refused.items()})
        later.update({places[place]: seconds for place, seconds in verdict.later.items()})
        due.extend(
            (tuple(places[place] for place in some), named + bool(verdict.refused)) for some in verdict.again
        )
        words = verdict.words or words
        if verdict.state in _STOPS:
            state, pause = verdict.state, max(verdict.later.values())
    return Delivered(frozenset(accepted), refused, later, state, words, requests)
