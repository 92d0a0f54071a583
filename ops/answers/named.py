"""Why one event type is not seen: what is known of its name, and the first rule that explains it."""

from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, NamedTuple

from ops.answers.causes import Facts, Seen
from udfs.model import EVENT_PREFIX, Reason

_DAY: Final = timedelta(hours=24)
_PAUSES: Final = 5
"""Times the average pause between two events of a name: a chance silence is shorter (as in `causes`)."""


class Why(StrEnum):
    """What is with an event type."""

    NEVER = "never"
    """none arrived: it is not selected in "Send Events", or spelled otherwise"""
    FILTERED = "filtered"
    """the project's own filters keep all of it out"""
    NOT_TAKEN = "not taken"
    """all of it is dead letters"""
    COPIES = "copies"
    """what arrived had all arrived before"""
    STOPPED = "stopped"
    """it was stored, and is not sent any more while others are"""
    PARTLY = "partly"
    """some is stored, some is not taken"""
    WELL = "well"
    """it is stored"""


class Answer(NamedTuple):
    """What is with an event type."""

    why: Why
    name: str
    """as it is stored"""
    seen: Seen | None
    """None where nothing of it arrived in the time that was looked at"""
    reason: str | None
    """why most of what is not taken is not; of `udfs.model.Reason`"""
    similar: tuple[str, ...]
    """names that did arrive and are spelled nearly so"""


def why_not(facts: Facts, asked: str) -> Answer:
    """Why an event type is not seen, by Amplitude's name for it or the name that it is stored under."""
    name = asked if asked.startswith(EVENT_PREFIX) else EVENT_PREFIX + asked
    seen = facts.names.get(name)
    refused = +seen.refused if seen else None
    reason = refused.most_common(1)[0][0] if refused else None
    similar = () if seen else tuple(_similar(name, facts))
    return Answer(_why(facts, seen, reason), name, seen, reason, similar)


def _why(facts: Facts, seen: Seen | None, reason: str | None) -> Why:
    if seen is None:
        return Why.NEVER
    if not seen.stored:
        if reason is None:
            return Why.COPIES
        return Why.FILTERED if reason == Reason.FILTERED else Why.NOT_TAKEN
    if _has_stopped(facts, seen):
        return Why.STOPPED
    return Why.PARTLY if reason else Why.WELL


def _has_stopped(facts: Facts, seen: Seen) -> bool:
    pause = (seen.last - seen.first) / max(1, seen.stored - 1)
    newest = facts.newest_event
    return newest is not None and newest - seen.last > max(_DAY, _PAUSES * pause)


def _similar(name: str, facts: Facts) -> list[str]:
    """Differences of case alone come first."""
    by_case = [known for known in facts.names if known.casefold() == name.casefold()]
    return [*by_case, *(one for one in get_close_matches(name, facts.names, 3, 0.75) if one not in by_case)][:3]
