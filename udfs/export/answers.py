"""What Amplitude's answer to a batch means for each event in it.

The rules are those of Amplitude's pages "HTTP V2 API" and "Batch Event Upload API" (docs/amplitude.md). Where
they leave a case open, Amplitude's own Python SDK (amplitude-analytics, `processor.py`) is the measure: what it
loses (a wrong key, a daily quota) is kept here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from udfs import text

Event = bytes
"""An event as it is sent: `taxonomy.rendered` as JSON, never encoded again."""


class _Ids(msgspec.Struct):
    """Whose event it is."""

    user_id: Any = None
    device_id: Any = None


_ids: Final = msgspec.json.Decoder(_Ids).decode


class Refused(StrEnum):
    """Why Amplitude will never take an event."""

    INVALID_FIELD = "invalid_field"
    MISSING_FIELD = "missing_field"
    INVALID_ID_LENGTH = "invalid_id_length"
    SILENCED = "silenced"
    TOO_LARGE = "too_large_for_amplitude"
    BLOCKED = "blocked_by_amplitude"
    REFUSED = "refused_by_amplitude"
    NOT_INGESTED = "not_ingested"


class State(StrEnum):
    """How it stands with sending to a project."""

    OK = "ok"
    THROTTLED = "throttled"
    AUTH_ERROR = "auth_error"
    BLOCKED = "blocked"
    PAUSED = "paused"


class Waits(StrEnum):
    """Why an event waits."""

    PAUSED = "paused"
    AUTH_ERROR = "auth_error"
    BLOCKED = "blocked"
    THROTTLED = "throttled"
    QUOTA = "quota"
    FAILED = "failed"
    NOT_INGESTED = "not_ingested"
    NO_DESTINATION = "no_destination"


class Refusal(NamedTuple):
    """Why one event is refused, with Amplitude's own words."""

    reason: Refused
    words: str


class Verdict(NamedTuple):
    """What is to become of a batch's events, by their place in it: each place stands in one of the four."""

    accepted: tuple[int, ...] = ()
    refused: Mapping[int, Refusal] = {}
    later: Mapping[int, Waits] = {}
    """why an event has to wait"""
    again: tuple[tuple[int, ...], ...] = ()
    """batches to send at once"""
    state: State = State.OK
    words: str = ""
    """what Amplitude said of the whole, for a person"""


STOPPED: Final = frozenset({State.AUTH_ERROR, State.BLOCKED})
"""What stops a project whoever its events are of; it is tried with one of them."""
STOPPED_SECONDS: Final = 300.0
"""How often."""
UNSENT: Final = STOPPED | {State.PAUSED}
"""In these states a project gets nothing but such tries: somebody has to mend or to resume it."""
QUOTA_SECONDS: Final = 86_400.0
"""A user or device beyond its daily quota waits a day: the quota is of 24 rolling hours."""
THROTTLED_SECONDS: Final = 30.0
"""Amplitude asks for a pause of 30 s (HTTP V2) or 15 s (Batch)."""
FAILED_SECONDS: Final = 10.0
"""After an error of Amplitude's, or none of its answers, at first; whoever waits doubles it."""
FORBIDDEN: Final = 403
"""Amplitude's firewall dislikes something: a text of one event, or whoever sends. It is no wrong key."""
_BY_INDEX: Final = 2
"""Answers that name bad events after which a batch is halved instead.

HTTP V2 names the first event in error of each field only, so that n bad ones could cost n requests.
"""
_MAPS: Final = {
    "events_with_invalid_fields": Refused.INVALID_FIELD,
    "events_with_missing_fields": Refused.MISSING_FIELD,
    "events_with_invalid_id_lengths": Refused.INVALID_ID_LENGTH,
}
_ALONE: Final = {FORBIDDEN: Refused.BLOCKED, 413: Refused.TOO_LARGE}
"""Answers that one event may have caused."""
_QUOTAS: Final = ("exceeded_daily_quota_users", "exceeded_daily_quota_devices")
_THROTTLES: Final = ("throttled_users", "throttled_devices")


def judge(status: int | None, body: bytes, events: Sequence[Event], named: int = 0) -> Verdict:
    """What an answer says; a status of None is no answer within its time.

    `named` is how often an answer has named bad events of the batch that these are left of.
    """
    found, places = _said(body), tuple(range(len(events)))
    said = found or {}
    words = text.without_keys(str(said.get("error") or "")[:200])  # a wrong key is repeated in the answer
    if status == 200:
        return _taken(found, places)
    if status == 401 or words.startswith("Invalid API key"):  # documented as a 400
        return _all_wait(places, Waits.AUTH_ERROR, State.AUTH_ERROR, words)
    if status == 400:
        return _some_are_bad(said, places, words, named)
    if status in _ALONE:
        return _halved(places, Refusal(_ALONE[status], words or f"HTTP {status}"))
    if status == 429:
        return _throttled(said, events, words)
    # 408, 5xx, none: Amplitude may have taken them, and knows them again by insert_id
    return _all_wait(places, Waits.FAILED, State.OK, words or (f"HTTP {status}" if status else "no answer"))


def blocked(events: Sequence[Event]) -> Verdict:
    """What a 403 says when a request without events gets one too: whoever sends is meant."""
    words = f"HTTP {FORBIDDEN}, also to a request without events"
    return _all_wait(range(len(events)), Waits.BLOCKED, State.BLOCKED, words)


def _said(body: bytes) -> dict[str, Any] | None:
    """The answer's fields; None when it is no JSON object, as behind a proxy."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _all_wait(places: Iterable[int], why: Waits, state: State, words: str) -> Verdict:
    return Verdict(later=dict.fromkeys(places, why), state=state, words=words)


def _taken(said: Mapping[str, Any] | None, places: Sequence[int]) -> Verdict:
    """All are accepted where `events_ingested` counts no fewer. Which ones it has left out, it does not say.

    So what is not known is sent again in halves, for Amplitude stores a copy once. That it counts copies is an
    assumption: where it does not, these wait as long as those that it drops, and are sent no more often.
    """
    if said is None:
        return _all_wait(places, Waits.FAILED, State.OK, "HTTP 200 with a body that is not Amplitude's")
    counted = said.get("events_ingested")
    if type(counted) is not int or counted >= len(places):
        return Verdict(accepted=tuple(places))
    words = f"HTTP 200, but events_ingested is {counted} of {len(places)}"
    if counted <= 0:
        return _all_wait(places, Waits.NOT_INGESTED, State.OK, words)
    return Verdict(again=_halves(places), words=words)


def _halved(places: Sequence[int], alone: Refusal) -> Verdict:
    """Two halves of a batch, until the event that Amplitude means is alone."""
    if len(places) == 1:
        return Verdict(refused={places[0]: alone}, words=alone.words)
    return Verdict(again=_halves(places), words=alone.words)


def _halves(places: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    middle = len(places) // 2
    return tuple(places[:middle]), tuple(places[middle:])


def _some_are_bad(said: Mapping[str, Any], places: Sequence[int], words: str, named: int) -> Verdict:
    bad = dict(_bad(said, len(places)))
    rest = tuple(place for place in places if place not in bad)
    if not bad:
        return _halved(places, Refusal(Refused.REFUSED, words or "HTTP 400"))
    if not rest:
        return Verdict(refused=bad, words=words)
    split = named + 1 >= _BY_INDEX and len(rest) > 1
    return Verdict(refused=bad, again=_halves(rest) if split else (rest,), words=words)


def _bad(said: Mapping[str, Any], count: int) -> Iterator[tuple[int, Refusal]]:
    """The events that an answer names as bad, each with the field that is."""
    for key, reason in _MAPS.items():
        for field, places in _pairs(said.get(key)):
            yield from ((place, Refusal(reason, f"{key}: {field}"[:200])) for place in _places(places, count))
    for place in _places(said.get("silenced_events"), count):
        yield place, Refusal(Refused.SILENCED, "silenced_events")


def _throttled(said: Mapping[str, Any], events: Sequence[Event], words: str) -> Verdict:
    """Those of a user or device that sends too much wait, all others go again at once."""
    by_quota = {str(one) for key in _QUOTAS for one, _ in _pairs(said.get(key))}
    by_rate = {str(one) for key in _THROTTLES for one, _ in _pairs(said.get(key))}
    named = set(_places(said.get("throttled_events"), len(events)))
    later: dict[int, Waits] = {}
    for place, event in enumerate(events):
        whose = _ids(event)
        ids = {str(one) for one in (whose.user_id, whose.device_id) if one is not None}
        if ids & by_quota:
            later[place] = Waits.QUOTA
        elif place in named or ids & by_rate:
            later[place] = Waits.THROTTLED
    rest = tuple(place for place in range(len(events)) if place not in later)
    if not later:  # the whole project sends too much
        return _all_wait(rest, Waits.THROTTLED, State.THROTTLED, words or "HTTP 429")
    return Verdict(later=later, again=(rest,) if rest else (), state=State.OK, words=words)


def _pairs(value: object) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _places(value: object, count: int) -> Iterator[int]:
    """The places in a batch that a list names; anything else is none."""
    if isinstance(value, list):
        yield from (one for one in value if type(one) is int and 0 <= one < count)
