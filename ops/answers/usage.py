"""What each project has used of its limit: this month's end foretold, and which thresholds nobody has claimed."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from ops.answers.forecast import WINDOW, forecast
from ops.answers.ledger import summed
from stores.alerts import Alert
from stores.lake import Condition, Lake
from stores.project import Project
from stores.statements import Statement
from stores.usage import Usage
from udfs.model import Kind

Row = dict[str, Any]
"""A row of JSON or of a table by name."""


def percent(part: int, whole: int) -> float:
    """How much of something, rounded down to two places: 100 means that the whole is reached."""
    return part * 10_000 // whole / 100


def against(total: Usage, project: Project | None, statement: Statement | None) -> Row:
    """A month's totals and what they are of the limit; null where the project is not registered, or it is open."""
    terms = project and project.terms_of(total.month)
    return {
        "project_id": total.project_id,
        "month": total.month,
        "records": total.records,
        "events": total.events,
        "duplicates": total.duplicates,
        "update_records": total.update_records,
        "updates": total.updates,
        "monthly_limit": terms and terms.monthly_limit,
        "used_percent": terms and percent(total.events, terms.monthly_limit),
        "billable": terms and terms.billable(total.events),
        "statement_events": statement and statement.events,
        "adjustment": statement and total.events - statement.events,
        "closed_at": statement and statement.closed_at,
    }


def foretold(project: Project, events: int, days: Mapping[date, int], now: datetime) -> Row:
    """What is known of a project's month; `forecast` is null where it is reached, or too little is known."""
    limit = project.terms.monthly_limit
    found = forecast(days, events, limit, now)
    return {
        "project_id": project.project_id,
        "month": f"{now:%Y-%m}",
        "events": events,
        "monthly_limit": limit,
        "reached": events >= limit,
        "forecast": found
        and {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in found._asdict().items()
        },
    }


def daily(lake: Lake, now: datetime) -> dict[int, dict[date, int]]:
    """By project: distinct events by the UTC day of their arrival, of the days that a forecast looks at."""
    since = (now - WINDOW).replace(hour=0, minute=0, second=0, microsecond=0)
    where = [Condition("kind", "=", Kind.EVENT.value), Condition("hour", ">=", since)]
    days: dict[int, dict[date, int]] = {}
    for row in summed(lake, ("project_id", "hour"), where):
        day = row["hour"].astimezone(UTC).date()
        if day < now.date():
            of_project = days.setdefault(row["project_id"], {})
            of_project[day] = of_project.get(day, 0) + row["first_copies"]
    return days


def unclaimed(projects: Iterable[Project], totals: Iterable[Usage], claimed: Iterable[Alert]) -> list[Alert]:
    """Thresholds that are reached and that nobody has claimed: for seconds, or for as long as nobody watches."""
    known, there = {one.project_id: one for one in projects}, {one[:3] for one in claimed}
    return [
        Alert(*total[:2], threshold, "", terms.monthly_limit, total.events, "")
        for total in totals
        if (project := known.get(total.project_id))
        for terms in (project.terms_of(total.month),)
        for threshold in terms.reached(total.events)
        if (*total[:2], threshold) not in there
    ]
