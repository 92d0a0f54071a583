"""A registered Amplitude project: its links to Notifly projects, and its terms month by month."""

from datetime import date, datetime, timedelta
from typing import Final, Literal, NamedTuple

from stores.rules import Rules

DEFAULT_MONTHLY_LIMIT: Final = 10_000_000
DEFAULT_THRESHOLDS: Final = (50, 80, 90, 100)


class Link(NamedTuple):
    """A time in which an Amplitude project belonged to a Notifly project: naive UTC, the end not included."""

    notifly_project: str
    linked_at: datetime
    unlinked_at: datetime | None = None


class Terms(NamedTuple):
    """The limit in events per UTC month, and at which percentages of it an alert goes out, ascending."""

    monthly_limit: int = DEFAULT_MONTHLY_LIMIT
    thresholds: tuple[int, ...] = DEFAULT_THRESHOLDS

    def reached(self, events: int) -> tuple[int, ...]:
        """The thresholds that a number of events has reached."""
        return tuple(percent for percent in self.thresholds if events * 100 >= percent * self.monthly_limit)

    def billable(self, events: int) -> int:
        """How many of a number of events lie beyond the limit."""
        return max(0, events - self.monthly_limit)


class EarlierTerms(NamedTuple):
    """Terms that held up to a month, `YYYY-MM`, that one included."""

    until: str
    terms: Terms


class Project(NamedTuple):
    """One registered Amplitude project: its links, oldest first, and its terms, with those of earlier months.

    With `snapshot_hours` the user properties on its events change profiles too, unless an event was uploaded that
    many hours after it happened, or later. `rules` change what is stored of its records; None: nothing does.
    """

    project_id: int
    links: tuple[Link, ...]
    terms: Terms = Terms()
    earlier_terms: tuple[EarlierTerms, ...] = ()
    snapshot_hours: int | None = None
    rules: Rules | None = None

    @property
    def notifly_project(self) -> str:
        """The Notifly project that it belongs to, or belonged to last."""
        return self.links[-1].notifly_project

    @property
    def status(self) -> Literal["linked", "unlinked"]:
        """Whether it is linked now."""
        return "linked" if self.links[-1].unlinked_at is None else "unlinked"

    def linked_from(self, at: datetime) -> "Project":
        """The project with its first link from this time on, unless that begins earlier."""
        first, *later = self.links
        return self._replace(links=(first._replace(linked_at=min(first.linked_at, at)), *later))

    def terms_of(self, month: str) -> Terms:
        """The terms that hold, or held, for a month `YYYY-MM`."""
        return next((past.terms for past in self.earlier_terms if month <= past.until), self.terms)

    def with_terms(self, terms: Terms, month: str) -> "Project":
        """The project with other terms for this month and all later ones; those of months before it stay."""
        before, earlier = month_before(month), self.earlier_terms
        if not earlier or earlier[-1].until < before:
            earlier = (*earlier, EarlierTerms(before, self.terms))
        return self._replace(terms=terms, earlier_terms=earlier)


class Plan(NamedTuple):
    """How many Amplitude projects a Notifly project may have linked at a time, and the ids of those it has."""

    notifly_project: str
    max_projects: int = 1
    linked: tuple[int, ...] = ()


def linked(
    project_id: int,
    notifly_project: str,
    linked_at: datetime = datetime.min,  # noqa: DTZ901  naive UTC, as all times here
    monthly_limit: int = DEFAULT_MONTHLY_LIMIT,
) -> Project:
    """A project that is linked since some time; since ever, unless said."""
    return Project(project_id, (Link(notifly_project, linked_at),), Terms(monthly_limit))


def iso(at: datetime) -> str:
    """A naive UTC time as the table has it and people read it: ISO 8601 with Z."""
    return f"{at.isoformat()}Z"


def month_before(month: str) -> str:
    """The month before `YYYY-MM`."""
    return f"{date.fromisoformat(f'{month}-01') - timedelta(days=1):%Y-%m}"
