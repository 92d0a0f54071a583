"""Projects that used to send and have stopped: silent for longer than they ever were in the weeks before.

A project that rests at night or on Sundays is silent for as long every week; what counts is half as long again as
its own longest silence. Whoever has sent on few days has no habit to be told from.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from ops.answers.ledger import summed
from stores.lake import EVENT_COUNTS, Condition, Lake
from stores.project import Project
from udfs.model import Kind

SHORTEST: Final = timedelta(hours=24)
"""Nobody counts as silent for less."""
LONGEST: Final = timedelta(days=28)
"""Nor for more: by then it is known. As long before the last record a habit is looked for."""
MIN_DAYS: Final = 7
"""On how many UTC days a project must have sent in that time."""
_FACTOR: Final = 1.5


_MONTHS_END: Final = 21
"""Whoever stops from this day of the month on may have used up what is contracted with Amplitude."""


def near_months_end(since: datetime) -> bool:
    """Whether Amplitude's pause at the end of a quota is likely: an assumption, for it gives no sign of it."""
    return since.day >= _MONTHS_END


class SilentName(NamedTuple):
    """An event type that has stopped."""

    name: str
    """as it is stored"""
    since: datetime
    """the begin of the hour in which the last record came"""
    usual: timedelta
    """its longest silence in the weeks before"""


class Silent(NamedTuple):
    """A project that has stopped."""

    project_id: int
    notifly_project: str
    since: datetime
    """soon after its last record"""
    usual: timedelta
    """its longest silence in the weeks before"""


Usual = Callable[[int, datetime], timedelta | None]
"""The longest silence of a project before a time; None when too little is known."""


def silent(projects: Iterable[Project], last: Mapping[int, datetime], now: datetime, usual: Usual) -> list[Silent]:
    """The linked projects that have stopped, the newest silence first; `last` is by project id, all times aware.

    `usual` is asked of those only that have been silent for SHORTEST.
    """
    found = []
    for one in projects:
        since = last.get(one.project_id)
        if one.status != "linked" or since is None or not SHORTEST <= now - since <= LONGEST:
            continue
        longest = usual(one.project_id, since)
        if longest is not None and now - since > _FACTOR * longest:
            found.append(Silent(one.project_id, one.notifly_project, since, longest))
    return sorted(found, key=lambda one: one.since, reverse=True)


def usual_silence(lake: Lake, project_id: int, last: datetime) -> timedelta | None:
    """The longest silence of a project in the weeks before its last record, to the hour; None with too few days.

    Reads the project's part of the counts by name of these weeks. Raises StoreError.
    """
    before = [Condition("hour", ">=", last - LONGEST), Condition("hour", "<", last)]
    where = [Condition("project_id", "=", project_id), *before]
    return longest_silence(row["hour"] for row in summed(lake, ("hour",), where, EVENT_COUNTS))


def silent_names(lake: Lake, project_id: int, now: datetime) -> list[SilentName]:
    """The event types of a project that have stopped, the newest silence first. Raises StoreError."""
    hours: dict[str, list[datetime]] = {}
    where = [Condition("project_id", "=", project_id), Condition("hour", ">=", now - LONGEST)]
    for row in summed(lake, ("name", "hour", "kind"), where, EVENT_COUNTS):
        if row["kind"] != Kind.USER_UPDATE:
            hours.setdefault(row["name"], []).append(row["hour"])
    found = []
    for name, known in hours.items():
        longest, since = longest_silence(known), max(known)
        if longest is not None and now - since > max(SHORTEST, _FACTOR * longest):
            found.append(SilentName(name, since, longest))
    return sorted(found, key=lambda one: one.since, reverse=True)


def longest_silence(hours: Iterable[datetime]) -> timedelta | None:
    """The longest time between two of the hours that have records; None when they lie on too few days."""
    known = sorted(set(hours))
    if len({hour.date() for hour in known}) < MIN_DAYS:
        return None
    return max(later - earlier for earlier, later in pairwise(known))
