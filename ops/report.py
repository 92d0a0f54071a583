"""What became of the records: read from the event store, the dead letters and the totals, shown as tables."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from settings import Settings
from stores.lake import DEAD_LETTERS, EVENT_STORE, Lake
from stores.projects import Project, Projects
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
    rejected: Counter[str] = field(default_factory=Counter)
    """dead letters by reason"""
    quarantined: Counter[int] = field(default_factory=Counter)
    """dead letters of unregistered projects by project id"""

    @property
    def records(self) -> int:
        """All records that the job has given an outcome."""
        return sum(u.records for u in self.usage) + self.rejected.total() + self.quarantined.total()

    @property
    def at_rest(self) -> bool:
        """Whether totals and event store agree: nothing is on its way between two checkpoints."""
        return self.stored == self.distinct == Counter({(u.project_id, u.month): u.events for u in self.usage})


def read(settings: Settings) -> Report:
    """Read all the tables. Raises StoreError."""
    lake = Lake(settings.lake_address)
    events = lake.rows(EVENT_STORE, ("project_id", "month", "identity")).to_pydict()
    keys = list(zip(events["project_id"], events["month"], strict=True))
    identities = set(zip(keys, events["identity"], strict=True))
    dead = lake.rows(DEAD_LETTERS, ("kind", "reason", "project_id")).to_pylist()
    return Report(
        usage=UsageTable(settings.tables_address).list(),
        projects=Projects(settings.tables_address).list(),
        stored=Counter(keys),
        distinct=Counter(key for key, _ in identities),
        rejected=Counter(row["reason"] for row in dead if row["kind"] == "rejected"),
        quarantined=Counter(row["project_id"] for row in dead if row["kind"] == "quarantined"),
    )


def show(report: Report, console: Console) -> None:
    """Print what was received, stored, removed and refused, then each month against its limit."""
    console.print(_outcomes(report))
    console.print(_reasons(report))
    console.print(_months(report.usage, report.projects))


def _outcomes(report: Report) -> Table:
    table = _table("Records by project", "project", "Notifly project", "received", "stored", "duplicates")
    records: defaultdict[int, list[Usage]] = defaultdict(list)
    for usage in report.usage:
        records[usage.project_id].append(usage)
    names = {project.project_id: project.notifly_project for project in report.projects}
    for project_id, months in records.items():
        stored = sum(n for (project, _), n in report.stored.items() if project == project_id)
        received, duplicates = sum(u.records for u in months), sum(u.duplicates for u in months)
        table.add_row(
            str(project_id), names.get(project_id, ""), f"{received:,}", f"{stored:,}", f"{duplicates:,}"
        )
    return table


def _reasons(report: Report) -> Table:
    table = _table("Dead letters", "kind", "reason", "project", "records")
    for project_id, n in sorted(report.quarantined.items()):
        table.add_row("quarantined", "unknown_project", str(project_id), f"{n:,}")
    for reason, n in sorted(report.rejected.items()):
        table.add_row("rejected", reason, "", f"{n:,}")
    return table


def _months(usage: Sequence[Usage], projects: Sequence[Project]) -> Table:
    table = _table("Usage", "project", "month", "events", "limit", "used")
    limits = {project.project_id: project.monthly_limit for project in projects}
    for total in usage:
        limit = limits.get(total.project_id)
        used = f"{total.events / limit:.2%}" if limit else ""
        shown = f"{limit:,}" if limit is not None else ""
        table.add_row(str(total.project_id), total.month, f"{total.events:,}", shown, used)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        words = column in {"project", "Notifly project", "kind", "reason", "month"}
        table.add_column(column, justify="left" if words else "right")
    return table
