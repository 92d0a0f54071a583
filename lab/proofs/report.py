"""What became of the records: read from the lake's tables and the totals, shown as tables."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from ops.answers.usage import percent
from ops.cli.terminal import cell, in_percent
from settings import Settings
from stores.cohorts import Cohort, CohortMembers, Cohorts
from stores.lake import COHORT_CHANGES, COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Lake
from stores.profiles import Profiles
from stores.project import Project
from stores.projects import Projects
from stores.usage import Usage, UsageTable


@dataclass(frozen=True)
class Report:
    """Counts out of the product's own tables at one moment."""

    usage: list[Usage]
    projects: list[Project]
    stored: Counter[tuple[int, str]] = field(default_factory=Counter)
    """rows of the event store by (project, month)"""
    distinct: Counter[tuple[int, str]] = field(default_factory=Counter)
    """distinct identities of the event store by (project, month)"""
    dead_letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    """by kind and reason"""
    quarantined: Counter[int] = field(default_factory=Counter)
    """dead letters of unregistered projects by project id"""
    user_updates: Counter[int] = field(default_factory=Counter)
    """distinct ones by project id"""
    profiles: Counter[int] = field(default_factory=Counter)
    """users who have one, by project id"""
    cohort_messages: Counter[int] = field(default_factory=Counter)
    """by project id"""
    cohort_changes: Counter[str] = field(default_factory=Counter)
    """users in first copies of cohort messages, by cohort id"""
    cohorts: list[Cohort] = field(default_factory=list)
    members: Counter[str] = field(default_factory=Counter)
    """by cohort id"""

    @property
    def records(self) -> int:
        """All records that the job has given an outcome; each part of an envelope counts."""
        others = self.dead_letters.total() + self.cohort_messages.total()
        return sum(u.records + u.update_records for u in self.usage) + others

    @property
    def at_rest(self) -> bool:
        """Whether totals and event store agree: nothing is on its way between two checkpoints."""
        totals = Counter({(u.project_id, u.month): u.events for u in self.usage if u.events})
        updates = sum(u.updates for u in self.usage)
        return self.stored == self.distinct == totals and self.user_updates.total() == updates


def gather(settings: Settings) -> Report:
    """Read all the tables. Raises StoreError."""
    lake, tables = Lake(settings.lake_address), settings.tables_address
    cohorts, members = Cohorts(tables).list(), CohortMembers(tables)
    events = lake.rows(EVENT_STORE, ("project_id", "month", "identity")).to_pydict()
    keys = list(zip(events["project_id"], events["month"], strict=True))
    identities = set(zip(keys, events["identity"], strict=True))
    dead = lake.rows(DEAD_LETTERS, ("kind", "reason", "project_id")).to_pylist()
    return Report(
        usage=UsageTable(tables).list(),
        projects=Projects(tables).list(),
        stored=Counter(keys),
        distinct=Counter(key for key, _ in identities),
        dead_letters=Counter((row["kind"], row["reason"]) for row in dead),
        quarantined=Counter(row["project_id"] for row in dead if row["reason"] == "unknown_project"),
        user_updates=Counter(lake.rows(USER_UPDATES, ("project_id",))["project_id"].to_pylist()),
        profiles=Counter(project_id for project_id, _ in Profiles(tables).users()),
        cohorts=cohorts,
        members=Counter({one.cohort_id: members.count(one.project_id, one.cohort_id) for one in cohorts}),
        cohort_messages=Counter(lake.rows(COHORT_MESSAGES, ("project_id",))["project_id"].to_pylist()),
        cohort_changes=Counter(lake.rows(COHORT_CHANGES, ("cohort_id",))["cohort_id"].to_pylist()),
    )


def show(report: Report, console: Console) -> None:
    """Print what became of the records, then projects, users, cohorts, and each month against its limit."""
    console.print(_outcomes(report))
    console.print(_projects(report))
    console.print(_users(report))
    console.print(_cohorts(report))
    console.print(_months(report.usage, report.projects))


def _outcomes(report: Report) -> Table:
    """Every outcome that was met, the taken ones first."""
    table = _table("Records by outcome, parts of envelopes included", "kind", "reason", "where", "records")
    stored, updates = report.stored.total(), report.user_updates.total()
    rows = [
        ("event", "", "events", stored),
        ("event", "duplicate", "", sum(u.records for u in report.usage) - stored),
        ("user_update", "", "user_updates", updates),
        ("user_update", "duplicate", "", sum(u.update_records for u in report.usage) - updates),
        ("cohort", "", "cohort_messages", report.cohort_messages.total()),
        *((kind, reason, "dead_letters", n) for (kind, reason), n in sorted(report.dead_letters.items())),
    ]
    for *words, n in rows:
        table.add_row(*words, f"{n:,}")
    return table


def _projects(report: Report) -> Table:
    columns = ("event records", "stored", "duplicates", "quarantined")
    table = _table("Events by project", "project", "Notifly project", *columns)
    usage = _by_project(report)
    names = {project.project_id: project.notifly_project for project in report.projects}
    for project_id in sorted({*usage, *report.quarantined}):
        counts = (
            sum(u.records for u in usage[project_id]),
            sum(n for (project, _), n in report.stored.items() if project == project_id),
            sum(u.duplicates for u in usage[project_id]),
            report.quarantined[project_id],
        )
        table.add_row(str(project_id), names.get(project_id, ""), *(f"{n:,}" for n in counts))
    return table


def _users(report: Report) -> Table:
    table = _table("Users by project", "project", "update records", "distinct", "duplicates", "profiles")
    for project_id, usage in sorted(_by_project(report).items()):
        counts = (
            sum(u.update_records for u in usage),
            report.user_updates[project_id],
            sum(u.update_duplicates for u in usage),
            report.profiles[project_id],
        )
        table.add_row(str(project_id), *(f"{n:,}" for n in counts))
    return table


def _by_project(report: Report) -> defaultdict[int, list[Usage]]:
    usage: defaultdict[int, list[Usage]] = defaultdict(list)
    for total in report.usage:
        usage[total.project_id].append(total)
    return usage


def _cohorts(report: Report) -> Table:
    table = _table("Cohorts", "cohort", "name", "project", "members")
    for one in report.cohorts:
        words = (one.cohort_id, one.name, str(one.project_id), f"{report.members[one.cohort_id]:,}")
        table.add_row(*map(cell, words))
    return table


def _months(usage: Sequence[Usage], projects: Sequence[Project]) -> Table:
    table = _table("Usage", "project", "month", "events", "limit", "used")
    limits = {project.project_id: project.terms.monthly_limit for project in projects}
    for total in usage:
        limit = limits.get(total.project_id)
        used = in_percent(percent(total.events, limit)) if limit else ""
        shown = f"{limit:,}" if limit is not None else ""
        table.add_row(str(total.project_id), total.month, f"{total.events:,}", shown, used)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        words = column in {"project", "Notifly project", "kind", "reason", "where", "month", "cohort", "name"}
        table.add_column(column, justify="left" if words else "right")
    return table
