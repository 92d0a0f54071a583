"""What a project's month is made of: its events by day, by name and by identity, as the job has counted them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from ops.answers.ledger import summed
from ops.answers.usage import percent
from stores.lake import EVENT_COUNTS, Condition, Lake
from stores.project import Terms
from udfs.model import Kind

RUNGS: Final = {1: "uuid", 2: "insert id", 3: "event id", 4: "content"}
"""By which identity events are told from their copies."""


class Part(NamedTuple):
    """Some of a month's events: records that were received, and distinct events among them."""

    of: str
    """a UTC day of arrival, a name, or an identity"""
    records: int
    events: int


@dataclass(frozen=True)
class Parts:
    """A month's events three times. Days and identities are those metered in the month; names are by arrival."""

    days: tuple[Part, ...]
    names: tuple[Part, ...]
    """most events first"""
    rungs: tuple[Part, ...]


class Without(NamedTuple):
    """What a month would come to if the events of one name were not sent."""

    name: str
    records: int
    events: int
    share_percent: float
    """of all events of the month"""
    left: int
    """events without it"""
    left_percent: float
    """of the limit"""
    left_billable: int


def parts(lake: Lake, project_id: int, month: str) -> Parts:
    """Read the counts of a project's month, `YYYY-MM`. Raises StoreError."""
    mine = [Condition("project_id", "=", project_id), Condition("kind", "=", Kind.EVENT.value)]
    metered = [*mine, Condition("month", "=", month)]
    days = _by({**row, "of": _day(row)} for row in summed(lake, ("hour",), metered))
    rungs = _by(
        {**row, "of": RUNGS.get(row["identity_rung"], "?")} for row in summed(lake, ("identity_rung",), metered)
    )
    begin = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    end = (begin + timedelta(days=31)).replace(day=1)
    arrived = [*mine, Condition("hour", ">=", begin), Condition("hour", "<", end)]
    names = _by({**row, "of": row["name"]} for row in summed(lake, ("name",), arrived, EVENT_COUNTS))
    return Parts(days, tuple(sorted(names, key=lambda one: (-one.events, one.of))), rungs)


def _day(row: Mapping[str, Any]) -> str:
    day: date = row["hour"].astimezone(UTC).date()
    return day.isoformat()


def _by(rows: Iterable[Mapping[str, Any]]) -> tuple[Part, ...]:
    records: Counter[str] = Counter()
    events: Counter[str] = Counter()
    for row in rows:
        records[row["of"]] += row["records"]
        events[row["of"]] += row["first_copies"]
    return tuple(Part(of, records[of], events[of]) for of in sorted(records))


def without(names: Iterable[Part], events: int, terms: Terms) -> list[Without]:
    """Each name with what the month of so many events would come to without it.

    Names are counted by arrival, the month by upload: at its ends the two may differ, so nothing goes below 0.
    """
    found = []
    for one in names:
        left = max(0, events - one.events)
        share, of_limit = percent(one.events, max(1, events)), percent(left, terms.monthly_limit)
        found.append(Without(one.of, one.records, one.events, share, left, of_limit, terms.billable(left)))
    return found
