"""Amplitude's timestamps, and the month that an event is metered in.

On the wire a time is `2025-07-17 10:36:28.583000`: a space, no zone, UTC (docs/amplitude.md §1.2). A `T`,
more fraction digits and a zone are accepted too. Values are naive UTC datetimes, rounded to microseconds.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

import msgspec

EARLIEST: Final = datetime.fromisoformat("2012-01-01")
"""Amplitude was founded in 2012: it has uploaded and computed nothing before."""
AHEAD: Final = timedelta(days=1)
"""How far Amplitude's clock may stand ahead of Kinesis': beyond it somebody else wrote the time."""


def timestamp(text: object) -> datetime | None:
    """The instant a field's value means, as naive UTC; None when it is no time of docs/amplitude.md §1.2."""
    if not isinstance(text, str) or "\0" in text:  # msgspec stops reading at a NUL
        return None
    try:
        at = msgspec.convert(text, datetime)
        return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except (msgspec.ValidationError, OverflowError):
        return None


def microseconds(at: datetime) -> int:
    """A naive UTC time in microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(microseconds: int) -> datetime:
    """The naive UTC time of so many microseconds since 1970. Raises OverflowError beyond the calendar."""
    return _EPOCH + timedelta(microseconds=microseconds)


_EPOCH: Final = datetime.fromisoformat("1970-01-01")


def month(server_upload_time: datetime | None, arrival: datetime) -> str:
    """The UTC month, `YYYY-MM`, an event is metered in: docs/amplitude.md §8.1 "billing month".

    By `server_upload_time`, which a sender cannot choose and every retry repeats; by arrival without it.
    """
    at = server_upload_time or arrival
    return _spelled(at.year, at.month)


@cache
def _spelled(year: int, month: int) -> str:
    return f"{year:04}-{month:02}"


def implausible(at: datetime, arrival: datetime) -> bool:
    """Whether a time of Amplitude's own clock is none that it can have shown before `arrival`; both naive UTC."""
    return at < EARLIEST or at - arrival > AHEAD
