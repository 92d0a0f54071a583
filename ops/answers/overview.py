"""All projects at a glance, those with trouble first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ops.answers.usage import percent
from stores.project import Project
from stores.usage import Usage

QUIET: Final = timedelta(hours=24)
"""Whoever has sent nothing for so long is worth a look; most send all day."""
_NEAR: Final = 80  # percent of the limit


class Trouble(StrEnum):
    """What a project may need somebody for, the worst first."""

    OVER_LIMIT = "over limit"
    QUIET = "quiet"
    NO_RECORD = "no record yet"
    NEAR_LIMIT = "near limit"
    UNLINKED = "unlinked"
    NONE = ""


@dataclass(frozen=True)
class Line:
    """A project with its present month."""

    project_id: int
    notifly_project: str
    events: int
    monthly_limit: int
    used_percent: float
    last: datetime | None
    """when a record last came, aware; None: never"""
    trouble: Trouble


@dataclass(frozen=True)
class Overview:
    """All lines, and what they come to together."""

    month: str
    lines: tuple[Line, ...]

    @property
    def events(self) -> int:
        """Distinct events of the month."""
        return sum(one.events for one in self.lines)

    @property
    def troubled(self) -> int:
        """How many projects need a look; one that is unlinked needs none."""
        return sum(one.trouble not in {Trouble.NONE, Trouble.UNLINKED} for one in self.lines)

    @property
    def last(self) -> datetime | None:
        """When a record of any of them last came."""
        return max((one.last for one in self.lines if one.last), default=None)


def overview(
    projects: Iterable[Project], totals: Iterable[Usage], last: Mapping[int, datetime], now: datetime
) -> Overview:
    """The projects in the month of `now`, aware, UTC; `last` is by project when its last record came."""
    month = f"{now:%Y-%m}"
    events = {total.project_id: total.events for total in totals if total.month == month}
    lines = [_line(one, events.get(one.project_id, 0), last.get(one.project_id), now) for one in projects]
    order = list(Trouble)
    lines.sort(key=lambda one: (order.index(one.trouble), -one.events, one.project_id))
    return Overview(month, tuple(lines))


def _line(project: Project, events: int, last: datetime | None, now: datetime) -> Line:
    limit = project.terms.monthly_limit
    used = percent(events, limit)
    trouble = _trouble(project.status == "linked", used, last, now)
    return Line(project.project_id, project.notifly_project, events, limit, used, last, trouble)


def _trouble(linked: bool, used: float, last: datetime | None, now: datetime) -> Trouble:
    if not linked:
        return Trouble.UNLINKED
    if used >= 100:
        return Trouble.OVER_LIMIT
    if last is None:
        return Trouble.NO_RECORD
    if now - last > QUIET:
        return Trouble.QUIET
    return Trouble.NEAR_LIMIT if used >= _NEAR else Trouble.NONE
