"""Every record accounted for, by hour of arrival, shard, project and outcome.

The job counts what it decides; the tables hold what came of it; the stream still has what arrived. All three are
counted here, and where they differ is a residual. The equation:
records = first copies + duplicates + dead letters by reason. What was erased counts as found, where it was.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from settings import Settings
from stores.erased import erased
from stores.lake import (
    COHORT_MESSAGES,
    DEAD_LETTERS,
    DELIVERIES,
    EVENT_COUNTS,
    EVENT_STORE,
    LEDGER,
    USER_UPDATES,
    Condition,
    Lake,
)
from stores.stream import Record, Stream
from stores.usage import Usage, UsageTable
from udfs import kpl
from udfs.model import TOTALS, Kind

TAKEN: Final = {
    Kind.EVENT: (EVENT_STORE, "first_copies"),
    Kind.USER_UPDATE: (USER_UPDATES, "first_copies"),
    Kind.COHORT: (COHORT_MESSAGES, "records"),
}
"""Where each kind that is taken is kept, and which count of the ledger its rows are."""
_USAGE: Final = {f"usage.{name}": of for name, of in TOTALS.items()}
"""By column of the table `usage`: of which kind it is the total, and of which count of the ledger."""
ANSWERED: Final = "answered"
"""First copies beside what became of them, both as the export ledger has them."""
WAITING: Final = "waiting"
"""What waits by the export ledger, entered less left, beside the rows of the outbox that no later one settles."""
STREAM: Final = "stream"
EXPORT_STREAM: Final = "export stream"
UNITS: Final = {
    EVENT_STORE: "distinct events",
    USER_UPDATES: "distinct updates",
    COHORT_MESSAGES: "messages",
    EVENT_COUNTS: "distinct events",
    "usage.records": "event records",
    "usage.events": "distinct events",
    "usage.update_records": "update records",
    "usage.updates": "distinct updates",
    STREAM: "records",
    ANSWERED: "attempts",
    DELIVERIES: "attempts",
    WAITING: "events",
    EXPORT_STREAM: "records",
}
"""What is counted; all else are dead letters."""
_SHOWN: Final = 50


class Account(NamedTuple):
    """What is counted together; texts, for some have no project. `what` is a table, or a dead letter's reason."""

    what: str
    hour: str
    shard: str
    project: str


class Residual(NamedTuple):
    """Two counts of the same that differ."""

    account: Account
    counted: int
    found: int

    def __str__(self) -> str:
        """As a line says it."""
        what, hour, shard, project = self.account
        named = [f"shard {shard}"] if shard else []
        place = [what, hour, *named, *([f"project {project}"] if project else [])]
        unit = UNITS.get(what, "dead letters")
        return f"{', '.join(place)}: counted {self.counted:,} {unit}, found {self.found:,}"


Counts = Counter[Account]


def summed(
    lake: Lake, by: Sequence[str], where: Sequence[Condition] = (), table: str = LEDGER
) -> list[dict[str, Any]]:
    """The ledger's counts by these columns, in their order, of the rows that meet the conditions."""
    pieces = list(lake.pieces(table, [*by, "records", "first_copies"], where))
    if not pieces:
        return []
    whole = pa.concat_tables(pieces).group_by(list(by)).aggregate([("records", "sum"), ("first_copies", "sum")])
    rows: list[dict[str, Any]] = whole.rename_columns([*by, "records", "first_copies"]).to_pylist()
    return sorted(rows, key=lambda row: [str(row[name] or "") for name in by])


def outcomes(lake: Lake) -> list[dict[str, Any]]:
    """What became of all records, by project, kind and reason; `erased` are rows that were stored before."""
    gone: Counter[tuple[int | None, str]] = Counter()
    for kind, (table, _) in TAKEN.items():
        for row in removed(lake, table):
            gone[row["project_id"], kind.value] += row["records"]
    for row in removed(lake, DEAD_LETTERS):
        gone[row["project_id"], row["reason"]] += row["records"]
    rows = summed(lake, ("project_id", "kind", "reason"))
    return [{**row, "erased": gone[row["project_id"], row["reason"] or row["kind"]]} for row in rows]


def compared(settings: Settings) -> dict[str, tuple[Counts, Counts]]:
    """By what is compared: what the ledger says, and what is found in the tables. Raises StoreError."""
    lake = Lake(settings.lake_address)
    rows = _counted(lake)
    pairs = _kept(lake, rows)
    totals = UsageTable(settings.tables_address).list()
    pairs |= {column: (_monthly(rows, column), _of_usage(totals, column)) for column in _USAGE}
    return pairs


def streamed(settings: Settings) -> dict[str, tuple[Counts, Counts]]:
    """Likewise what the stream still holds, all of which is read. Raises StoreError."""
    rows = _counted(Lake(settings.lake_address))
    return {STREAM: (of_records(rows), of_stream(Stream(settings.stream_address).records()))}


def of_hour(lake: Lake, hour: datetime) -> list[Residual]:
    """The residuals between ledger and lake of what arrived within an hour, of which `hour` is the begin.

    Reads the files that have records of that hour, so it costs what an hour holds. Raises StoreError.
    """
    return [one for pair in _kept(lake, _counted(lake, hour), hour).values() for one in residuals(*pair)]


def _within(column: str, hour: datetime | None) -> list[Condition]:
    """That a time lies within an hour, or any time."""
    if hour is None:
        return []
    return [Condition(column, ">=", hour), Condition(column, "<", hour + timedelta(hours=1))]


def _counted(lake: Lake, hour: datetime | None = None) -> list[dict[str, Any]]:
    by = ("hour", "shard", "part", "project_id", "month", "kind", "reason")
    return summed(lake, by, _within("hour", hour))


def _kept(
    lake: Lake, rows: Sequence[dict[str, Any]], hour: datetime | None = None
) -> dict[str, tuple[Counts, Counts]]:
    """By table of the lake: what these rows of the ledger say, and what the table has of the hour, or of all."""
    pairs = {
        table: (_of_ledger(rows, kind, count), _of_table(lake, table, hour=hour))
        for kind, (table, count) in TAKEN.items()
    }
    rejected = [row for row in rows if row["reason"]]
    pairs[DEAD_LETTERS] = (_accounts(rejected, "reason", "records"), _of_table(lake, DEAD_LETTERS, "reason", hour))
    named = summed(lake, ("hour", "project_id", "kind"), _within("hour", hour), EVENT_COUNTS)
    pairs[EVENT_COUNTS] = (_named(rows), _named(named))
    return pairs


def unbalanced(settings: Settings) -> list[Residual]:
    """All residuals between ledger, tables and usage. Raises StoreError."""
    return [one for pair in compared(settings).values() for one in residuals(*pair)]


def residuals(counted: Counts, found: Counts) -> list[Residual]:
    """Where two counts differ, in order."""
    differing = sorted(account for account in counted | found if counted[account] != found[account])
    return [Residual(account, counted[account], found[account]) for account in differing]


def account(what: str, hour: datetime, shard: str, project_id: int | None) -> Account:
    """What is counted of an hour, by a time within it; a project of None is none."""
    return Account(what, f"{hour.astimezone(UTC):%Y-%m-%d %H:00}", shard, str(project_id or ""))


def _accounts(rows: Iterable[Mapping[str, Any]], what: str, count: str) -> Counts:
    counts: Counts = Counter()
    for row in rows:
        counts[account(row[what], row["hour"], row["shard"], row["project_id"])] += row[count]
    return +counts


def _of_ledger(rows: Iterable[Mapping[str, Any]], kind: str, count: str) -> Counts:
    table = TAKEN[Kind(kind)][0]
    return _accounts([{**row, "table": table} for row in rows if row["kind"] == kind], "table", count)


def _of_table(lake: Lake, table: str, what: str | None = None, hour: datetime | None = None) -> Counts:
    """Rows of a table, by their hour of arrival, shard and project, and a column if one is named.

    Those that were erased count too: `amplitude-bridge erase` has counted them.
    """
    gone = removed(lake, table, _within("hour", hour))
    counts = _accounts(({**row, "table": table} for row in gone), what or "table", "records")
    columns = ["arrival", "shard", "project_id", *([what] if what else [])]
    for piece in lake.pieces(table, columns, _within("arrival", hour)):
        hours = piece.append_column("hour", pc.floor_temporal(piece["arrival"], unit="hour"))
        keys = ["hour", *columns[1:]]
        for row in hours.group_by(keys).aggregate([([], "count_all")]).to_pylist():
            named = row[what] if what else table
            counts[account(named, row["hour"], row["shard"], row["project_id"])] += row["count_all"]
    return counts


def removed(lake: Lake, table: str, where: Sequence[Condition] = ()) -> list[dict[str, Any]]:
    """The counts of the rows of a table that were erased, and that meet the conditions."""
    columns = ("hour", "shard", "project_id", "month", "reason", "records")
    gone = [Condition("table_name", "=", table), Condition("change", "=", "removed"), *where]
    return list(erased(lake, columns, gone))


def _named(rows: Iterable[Mapping[str, Any]]) -> Counts:
    """First copies of events by hour and project: all of them have a name."""
    events = [{**row, "shard": "", "table": EVENT_COUNTS} for row in rows if row["kind"] == Kind.EVENT]
    return _accounts(events, "table", "first_copies")


def _monthly(rows: Iterable[Mapping[str, Any]], column: str) -> Counts:
    kind, count = _USAGE[column]
    counts: Counts = Counter()
    for row in rows:
        if row["kind"] == kind:
            counts[Account(column, row["month"], "", str(row["project_id"]))] += row[count]
    return +counts


def _of_usage(totals: Iterable[Usage], column: str) -> Counts:
    name = column.removeprefix("usage.")
    return +Counter(
        {Account(column, total.month, "", str(total.project_id)): getattr(total, name) for total in totals}
    )


def of_records(rows: Iterable[Mapping[str, Any]]) -> Counts:
    """The ledger's rows of records that stood on the stream, as `of_stream` counts them."""
    alone = [{**row, "kind": STREAM, "project_id": None} for row in rows if not row["part"]]
    return _accounts(alone, "kind", "records")


def of_stream(records: Iterable[Record], what: str = STREAM) -> Counts:
    """Records on a stream as its job is handed them: the connector makes several of a KPL aggregate, or none."""
    counts: Counts = Counter()
    for one in records:
        inside = kpl.opened(one.data, one.hashes)
        hour = one.arrival.replace(minute=0, second=0, microsecond=0)
        counts[account(what, hour, one.shard, None)] += 1 if inside is None else inside.handed_over
    return +counts
