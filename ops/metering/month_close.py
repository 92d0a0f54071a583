"""The close of a month: what arrived before it is stated once, what comes later is a dated adjustment.

Arrival is Kinesis' clock, so what a statement counts is settled whenever the job gets to it: an outage across the
close changes nothing but the day on which the statement can be written.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from ops.answers.ledger import of_records, of_stream, residuals, summed
from ops.answers.month import closes_at
from settings import Settings
from stores.history import committed_at
from stores.lake import LEDGER, Condition, Lake
from stores.project import Project
from stores.projects import Projects
from stores.statements import Statement, Statements
from stores.stream import Stream
from stores.usage import UsageTable
from udfs.model import TOTALS

SETTLE: Final = timedelta(minutes=2)
"""How much longer the job must have committed: a count waits for the end of its interval, at most a minute."""


class Closed(NamedTuple):
    """What a look came to."""

    statements: list[Statement]
    """written now"""
    waiting: dict[str, str]
    """by month that is due: what it waits for"""


class Closer:
    """Closes months, look by look; it remembers since when a month is settled."""

    def __init__(self, settings: Settings, settle: timedelta = SETTLE) -> None:
        self.after, self.settle = settings.close_after, settle
        self.stream, self.lake = Stream(settings.stream_address), Lake(settings.lake_address)
        tables = settings.tables_address
        self.usage, self.projects, self.statements = UsageTable(tables), Projects(tables), Statements(tables)
        self._settled: dict[str, datetime] = {}
        """by month: the job's commit at which it had read every shard past the close"""

    def look(self) -> Closed:
        """Close what is due and settled. Raises StoreError."""
        now, known = self.statements.now(), {one[:2] for one in self.statements.list()}
        open_totals = [one for one in self.usage.list() if one[:2] not in known]
        due = sorted({one.month for one in open_totals if closes_at(one.month, self.after) <= now})
        closed = Closed([], {})
        for month in due:
            if reason := self.unsettled(month):
                closed.waiting[month] = reason
                continue
            projects = {one.project_id: one for one in self.projects.list()}
            ids = [one.project_id for one in open_totals if one.month == month]
            closed.statements.extend(self._stated(month, ids, projects))
        self.statements.add(closed.statements)
        return closed

    def unsettled(self, month: str) -> str:
        """What a month still waits for; empty when all that arrived before its close is in the ledger."""
        committed, unread = committed_at(self.lake, LEDGER), self._unread(closes_at(month, self.after))
        if unread or committed is None:
            self._settled.pop(month, None)
            return f"the job to read {', '.join(unread) or 'the stream'} up to the close"
        if committed - self._settled.setdefault(month, committed) < self.settle:
            return f"the job to commit for {self.settle.total_seconds():.0f} s more"
        return ""

    def _unread(self, close: datetime) -> list[str]:
        """The shards on which records may lie that arrived before the close and are not counted yet.

        A shard is counted in order: a record that arrived after the close tells of all before it. Where none has,
        what the stream holds since the last hour that was counted is counted again. That a child is read proves
        nothing of its parents: the connector reads them side by side.
        """
        later = {row["shard"] for row in summed(self.lake, ("shard",), [Condition("hour", ">=", close)])}
        silent = sorted({one.shard for one in self.stream.shards()} - later)
        if not silent:
            return []
        rows = summed(self.lake, ("hour", "shard", "part"), [Condition("hour", "<", close)])
        last: dict[str, datetime] = {}
        for row in rows:
            last[row["shard"]] = max(row["hour"], last.get(row["shard"], row["hour"]))
        held = (one for shard in silent for one in self.stream.of_shard(shard, last.get(shard)))
        lying = of_stream(one for one in held if one.arrival < close)
        counted = of_records({**row, "project_id": None} for row in rows)
        return sorted({one.account.shard for one in residuals(counted, lying) if one.found > one.counted})

    def _stated(self, month: str, ids: Iterable[int], projects: dict[int, Project]) -> Iterable[Statement]:
        close = closes_at(month, self.after)
        where = [Condition("month", "=", month), Condition("hour", "<", close)]
        counts = {
            (row["project_id"], row["kind"]): row for row in summed(self.lake, ("project_id", "kind"), where)
        }
        for project_id in ids:
            terms = projects[project_id].terms_of(month) if project_id in projects else None
            totals = {
                name: counts.get((project_id, kind), {}).get(count, 0) for name, (kind, count) in TOTALS.items()
            }
            yield Statement(
                project_id,
                month,
                **totals,
                closes_at=close.isoformat(),
                monthly_limit=terms and terms.monthly_limit,
                billable=terms and terms.billable(totals["events"]),
            )


def waits_for(settings: Settings, month: str) -> str:
    """What a month that is due waits for, as far as one look tells. Raises StoreError."""
    return Closer(settings, timedelta(0)).unsettled(month) or (
        "`amplitude-bridge usage watch`, which closes it once it has seen the job commit for "
        f"{SETTLE.total_seconds():.0f} s"
    )
