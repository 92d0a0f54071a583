"""Cohort messages of Amplitude (docs/amplitude.md §3.1): what a whole message says, and its users one by one.

A message names a cohort and no project: the cohort's registration alone determines the owner. All users of a
message enter or leave together; order is restored by the time at which Amplitude computed the cohort.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from udfs import clock, identity, ids, parse, text, users
from udfs.identity import Identity
from udfs.model import Reason, Rejection, Repair

_UNITS: Final = ((10**11, 1), (10**14, 1_000), (10**17, 1_000_000))
"""By the bound of a number, its units in a second: 10 ** 11 seconds are the year 5138, milliseconds 1973."""
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")  # float() takes more: 1_000, blanks


GROUP: Final = 25
"""Users queued together: as many statements as a request of DynamoDB takes."""
EVERYBODY: Final = ""
"""In place of a user id: whoever was in the cohort until then has left. No user has it."""
LONGEST_NAME: Final = 1_000
"""Characters of a cohort's name that are kept; DynamoDB would refuse an item of 400 KB."""


class Message(NamedTuple):
    """The head of a cohort message, and what was mended in it and in its users."""

    cohort_id: str
    cohort_name: str | None
    in_cohort: bool
    computed_time: datetime
    message_id: str | None
    repairs: frozenset[str] = frozenset()


class Entry(NamedTuple):
    """A user of a message; no `user_id` when what stands there names nobody, and then `entry` shows it."""

    user_id: str | None
    user_properties: str | None
    entry: str | None = None


RESET: Final = Entry(None, None, '{"reset":true}')
"""What a message that resets its cohort has before its users: it is a list anew (ops/intake/cohorts.py)."""


def message_of(fields: Mapping[str, Any], arrival: datetime) -> Message | Rejection:
    """The head of a message that arrived then, in naive UTC, or what is wrong with it."""
    cohort_id, in_cohort, name = fields.get("cohort_id"), fields.get("in_cohort"), fields.get("cohort_name")
    field = "compute_time" if fields.get("computed_time") is None and "compute_time" in fields else "computed_time"
    spelled = fields.get(field)
    computed = computed_time(spelled)
    message_id = fields.get("message_id")
    if not isinstance(cohort_id, str) or not cohort_id:
        return _invalid(f"cohort_id is {parse.shown(cohort_id)}, not a name")
    if not isinstance(in_cohort, bool):
        return _invalid(f"in_cohort is {parse.shown(in_cohort)}, neither true nor false")
    if computed is None:
        return _invalid(f"{field} is {parse.shown(spelled)}, not seconds, milliseconds or microseconds since 1970")
    if not isinstance(fields.get("users"), list):
        return _invalid(f"users is {parse.shown(fields.get('users'))}, not a list")
    named = isinstance(message_id, str) and message_id
    shown = name[:LONGEST_NAME] if isinstance(name, str) and name else None
    at = _plausible(computed, arrival, in_cohort)
    repairs = frozenset(_repairs(computed != at, fields["users"]))
    return Message(cohort_id, shown, in_cohort, at, message_id if named else None, repairs)


def _plausible(computed: datetime, arrival: datetime, in_cohort: bool) -> datetime:
    """When a cohort was computed; a moment of the day before its arrival where it cannot have been then.

    Nobody knows which moment of that day: entering counts from its beginning and leaving from its end, so that in
    doubt a user has left. Not to message somebody is the smaller error.
    """
    if not clock.implausible(computed, arrival):
        return computed
    return arrival - clock.AHEAD if in_cohort else arrival


def _repairs(clock_mended: bool, entries: Iterable[object]) -> Iterator[str]:
    if clock_mended:
        yield Repair.TIMESTAMP_IMPLAUSIBLE.of("computed_time")
    yield from {repair.of("user_id") for repair in map(_mended, entries) if repair}


def _mended(user: object) -> Repair | None:
    """What is to be said of a user's id: that it is no id, means nobody, is too long for one, or was a number."""
    user_id = user.get("user_id") if isinstance(user, dict) else None
    spelled = ids.spelled(user_id)
    if spelled is None:
        return Repair.WRONG_TYPE
    if not spelled or ids.nobody(spelled):
        return Repair.SENTINEL_ID
    if not users.can_be_id(spelled.replace("\0", "")):
        return Repair.ID_TOO_LONG
    return None if isinstance(user_id, str) else Repair.ID_FROM_NUMBER


def computed_time(spelled: object) -> datetime | None:
    """Seconds, milliseconds or microseconds since 1970, as a number or as text: which of them its size tells."""
    digits = bytes(spelled).decode() if isinstance(spelled, msgspec.Raw) else spelled
    if isinstance(digits, bool) or not isinstance(digits, str | int | float):
        return None
    if len(str(digits)) > 30 or not _NUMBER.fullmatch(str(digits)):
        return None
    number = float(digits)
    unit = next((unit for limit, unit in _UNITS if 0 <= number < limit), None)
    return None if unit is None else clock.instant(round(number * 1_000_000 / unit))


def identify(message: Message, payload: bytes) -> Identity:
    """Copies of a message have its `message_id` (docs/amplitude.md §8.1); without one, its content."""
    if message.message_id is None:
        return identity.by_content(parse.content(payload))
    return identity.by_message_id(message.cohort_id, message.message_id)


def entries(payload: bytes, arrival: datetime) -> Iterator[tuple[Message, Entry]]:
    """The users of a message that `message_of` has accepted, in their order, behind `RESET` where it is one."""
    found = parse.record(payload)
    message = found if isinstance(found, Rejection) else message_of(found.fields, arrival)
    if isinstance(found, Rejection) or isinstance(message, Rejection):
        return
    if found.fields.get("reset") is True and not message.in_cohort:
        yield message, RESET
    for user in found.fields["users"]:
        yield message, _entry(user)


def groups(payload: bytes, arrival: datetime) -> Iterator[tuple[Message, list[str]]]:
    """The users of such a message who have an id, up to `GROUP` at a time; `EVERYBODY` for `RESET`."""
    every = (
        (message, EVERYBODY if entry is RESET else entry.user_id) for message, entry in entries(payload, arrival)
    )
    named = ((message, user_id) for message, user_id in every if user_id is not None)
    while group := list(islice(named, GROUP)):
        yield group[0][0], [user_id for _, user_id in group]


def _entry(user: object) -> Entry:
    fields = user if isinstance(user, dict) else {}
    user_id = (ids.somebody(fields.get("user_id")) or "").replace("\0", "")
    if not users.can_be_id(user_id):
        return Entry(None, None, _json(user))
    properties = fields.get("user_properties")
    return Entry(user_id, _json(properties) if isinstance(properties, dict) else None)


def _json(value: object) -> str:
    return text.without_nul(msgspec.json.encode(value).decode())


def _invalid(detail: str) -> Rejection:
    return Rejection(Reason.COHORT_INVALID, detail)
