"""`amplitude-bridge usage`: what each project has used of its limit, and how a month's number arose.

`show` reads the totals alone. `explain` counts the event store again, a few files at a time, and says whether that
is what the totals say.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from re import fullmatch
from typing import Any, Final

import click
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from ops.terminal import PROJECT_ID, cell, config_option, echo_fields
from settings import load
from stores.errors import StoreError
from stores.lake import EVENT_STORE, Condition, Lake
from stores.projects import Projects
from stores.usage import Usage, UsageTable

_LATE: Final = timedelta(hours=24)
_SAMPLES: Final = 5  # first and last events that are shown
_SHOWN: Final = 50  # names in the table; --json has all
_DIGEST: Final = 16  # bytes
_RUNGS: Final = {1: "uuid", 2: "insert id", 3: "event id", 4: "content"}
_LIMITED: Final = ("events", "monthly_limit", "used_percent", "billable")
_RECEIVED: Final = ("records", "duplicates", "update_records", "updates")
_COLUMNS: Final = ("identity", "identity_rung", "name", "server_upload_time", "arrival")

Row = dict[str, Any]
"""A row of JSON or of a table by name."""


def _as_month(text: str) -> str:
    if not fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        msg = f"{text!r} is no month: write it like 2026-03"
        raise click.BadParameter(msg)
    return text


_as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")


@click.group()
@config_option
@click.pass_context
def usage(context: click.Context, config: Path) -> None:
    """Monthly volume: what each project has used of its limit, and how a number arose.

    Only distinct events count against the limit, in the UTC month that Amplitude uploaded them. Nothing is dropped
    or paused at the limit: what lies beyond it is billable.
    """
    context.obj = config


@usage.command("show")
@click.option("--project", type=PROJECT_ID, help="Amplitude's project id.")
@click.option("--month", metavar="YYYY-MM", type=_as_month, help="A UTC month.")
@_as_json
@click.pass_obj
def show(config: Path, /, *, project: int | None, month: str | None, as_json: bool) -> None:
    """Show each project's months against its limit."""
    tables = load(config).tables_address
    limits = {known.project_id: known.monthly_limit for known in Projects(tables).list()}
    rows = [
        against(total, limits.get(total.project_id))
        for total in UsageTable(tables).list()
        if project in {None, total.project_id} and month in {None, total.month}
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("no usage" if project is None and month is None else "no usage matches")
    else:
        # two, because one is wider than 80 characters
        Console().print(_months("Events against the limit", rows, _LIMITED))
        Console().print(_months("Records and their copies", rows, _RECEIVED))


def against(total: Usage, limit: int | None) -> Row:
    """A month's totals and what they are of the limit; null where the project is not registered."""
    return {
        "project_id": total.project_id,
        "month": total.month,
        "records": total.records,
        "events": total.events,
        "duplicates": total.duplicates,
        "update_records": total.update_records,
        "updates": total.updates,
        "monthly_limit": limit,
        # rounded down, so that 100 means that the limit is reached
        "used_percent": total.events * 10_000 // limit / 100 if limit else None,
        "billable": None if limit is None else max(0, total.events - limit),
    }


def _months(title: str, rows: Sequence[Row], columns: Sequence[str]) -> Table:
    table = Table("project", "month", title=title, title_justify="left")
    for name in columns:
        # never an ellipsis in a number that decides what is paid
        table.add_column(name.replace("_", " "), justify="right", overflow="fold")
    for row in rows:
        table.add_row(str(row["project_id"]), row["month"], *(_shown(row[name]) for name in columns))
    return table


def _shown(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.2f}"


class Distinct:
    """Counts distinct texts in about 22 bytes of memory for each text added: 10,000,000 take 220 MB."""

    def __init__(self) -> None:
        self._heaps = [bytearray() for _ in range(256)]

    def add(self, texts: Iterable[str]) -> None:
        """Take texts in, copies or not."""
        for text in texts:
            digest = blake2b(text.encode(), digest_size=_DIGEST).digest()
            self._heaps[digest[0]] += digest

    def count(self) -> int:
        """How many different texts were added."""
        # a set of all digests would take 100 bytes for each; copies share a heap, so one set at a time will do
        starts = ((heap, range(0, len(heap), _DIGEST)) for heap in self._heaps)
        return sum(len({bytes(heap[i : i + _DIGEST]) for i in at}) for heap, at in starts)


@dataclass
class Stored:
    """What the event store holds of one project's month.

    An event's time is its server_upload_time, and its arrival without it.
    """

    rows: int = 0
    identities: Distinct = field(default_factory=Distinct)
    days: Counter[datetime] = field(default_factory=Counter)
    """by the UTC day of its time"""
    names: Counter[str] = field(default_factory=Counter)
    rungs: Counter[int] = field(default_factory=Counter)
    late: int = 0
    """arrived more than 24 h after server_upload_time"""
    undated: int = 0
    """without server_upload_time"""
    first: list[Row] = field(default_factory=list)
    last: list[Row] = field(default_factory=list)
    """the newest first"""

    def add(self, piece: pa.Table) -> None:
        """Take in some rows of the event store."""
        uploaded, arrival = piece["server_upload_time"], piece["arrival"]
        at = pc.coalesce(uploaded, arrival)
        dated = piece.append_column("at", at).append_column("day", pc.floor_temporal(at, unit="day"))
        self.rows += piece.num_rows
        for chunk in piece["identity"].chunks:
            self.identities.add(chunk.to_pylist())
        self.days.update(_counts(dated, "day"))
        self.names.update(_counts(dated, "name"))
        self.rungs.update(_counts(dated, "identity_rung"))
        self.late += pc.sum(pc.greater(pc.subtract(arrival, uploaded), pa.scalar(_LATE))).as_py() or 0
        self.undated += uploaded.null_count
        order, shown = ["at", "identity"], dated.select(["at", "name", "identity"])
        earliest = shown.take(pc.bottom_k_unstable(shown, _SAMPLES, sort_keys=order)).to_pylist()
        latest = shown.take(pc.top_k_unstable(shown, _SAMPLES, sort_keys=order)).to_pylist()
        self.first = sorted(self.first + earliest, key=_order)[:_SAMPLES]
        self.last = sorted(self.last + latest, key=_order, reverse=True)[:_SAMPLES]


def _counts(piece: pa.Table, column: str) -> dict[Any, int]:
    counted = piece.group_by(column).aggregate([([], "count_all")]).to_pylist()
    return {row[column]: row["count_all"] for row in counted}


def _order(row: Row) -> tuple[datetime, str]:
    return row["at"], row["identity"]


def read(lake: Lake, project_id: int, month: str) -> Stored:
    """Count the events of a project's month; a few files, 22 bytes an event and all names are in memory."""
    found = Stored()
    where = [Condition("project_id", "=", project_id), Condition("month", "=", month)]
    for piece in lake.pieces(EVENT_STORE, _COLUMNS, where):
        found.add(piece)
    return found


def verdict(events: int, rows: int, distinct: int) -> str:
    """One sentence on whether the usage table, the rows and the distinct identities are the same number."""
    if events == rows == distinct:
        return f"exact: usage table, rows and distinct identities are all {events:,}"
    said = f"not equal: usage table {events:,}, rows {rows:,}, distinct identities {distinct:,}"
    if rows > distinct:
        return (
            f"{said}: copies are stored, which no checkpoint mends: they came more "
            "than ingest.dedupe_days after the first, or are a fault of this product"
        )
    return f"{said}: a difference is expected until the next checkpoint, ask again then"


@usage.command("explain")
@click.argument("project_id", type=PROJECT_ID)
@click.argument("month", type=_as_month)
@_as_json
@click.pass_obj
def explain(config: Path, /, project_id: int, month: str, *, as_json: bool) -> None:
    """Explain how the number of PROJECT_ID in MONTH (YYYY-MM, UTC) arose; exit 0 when all counts of it agree."""
    settings = load(config)
    totals = {(total.project_id, total.month): total for total in UsageTable(settings.tables_address).list()}
    total = totals.get((project_id, month), Usage(project_id, month, 0, 0))
    stored = read(Lake(settings.lake_address), project_id, month)
    if not total.records and not stored.rows:
        msg = f"project {project_id} has no event in {month}: `usage show --project {project_id}` lists its months"
        raise StoreError(msg)
    account = _account(total, stored)
    if as_json:
        click.echo(json.dumps(account, default=datetime.isoformat, indent=2))
    else:
        _print(account)
    if not account["exact"]:
        sys.exit(1)


def _account(total: Usage, stored: Stored) -> Row:
    """How a number arose, as JSON has it."""
    distinct = stored.identities.count()
    by_name = sorted(stored.names.items(), key=lambda item: (-item[1], item[0]))
    return {
        "project_id": total.project_id,
        "month": total.month,
        "records": total.records,
        "duplicates": total.duplicates,
        "events": total.events,
        "rows": stored.rows,
        "distinct": distinct,
        "exact": total.events == stored.rows == distinct,
        "verdict": verdict(total.events, stored.rows, distinct),
        "late": stored.late,
        "without_server_upload_time": stored.undated,
        "days": [{"day": f"{day:%Y-%m-%d}", "rows": n} for day, n in sorted(stored.days.items())],
        "names": [{"name": name, "rows": n} for name, n in by_name],
        "rungs": [{"rung": n, "by": _RUNGS.get(n), "rows": stored.rungs[n]} for n in sorted(stored.rungs)],
        "first": stored.first,
        "last": stored.last,
    }


def _print(account: Row) -> None:
    fields = [
        ("project", str(account["project_id"])),
        ("month", account["month"]),
        ("received", f"{account['records']:,} event records"),
        ("duplicates", f"{account['duplicates']:,} removed"),
        ("metered", f"{account['events']:,} events"),
        ("stored", f"{account['rows']:,} rows, {account['distinct']:,} distinct identities"),
        ("late", f"{account['late']:,} arrived more than 24 h after Amplitude uploaded them"),
        ("undated", f"{account['without_server_upload_time']:,} have no server_upload_time: their arrival counts"),
    ]
    echo_fields(fields)
    names, more = account["names"][:_SHOWN], len(account["names"]) - _SHOWN
    ends = [(end, row) for end in ("first", "last") for row in account[end]]
    console = Console()
    console.print(_table("By UTC day", "day", [(row["day"], row["rows"]) for row in account["days"]]))
    console.print(_table("By event name", "name", [(row["name"], row["rows"]) for row in names]))
    if more > 0:
        click.echo(f"and {more:,} more names: --json has all")
    rungs = [(f"{row['rung']} {row['by'] or ''}", row["rows"]) for row in account["rungs"]]
    console.print(_table("By identity", "identity", rungs))
    table = Table("", "time", title="First and last events", title_justify="left")
    table.add_column("name", overflow="fold")
    table.add_column("identity", overflow="fold")  # to be looked for elsewhere, so all of it
    for end, row in ends:
        table.add_row(*map(cell, (end, f"{row['at']:%Y-%m-%d %H:%M:%S}", row["name"], row["identity"])))
    console.print(table)
    click.echo(account["verdict"])


def _table(title: str, column: str, rows: Sequence[tuple[str, int]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(column, overflow="fold")
    table.add_column("rows", justify="right")
    for word, n in rows:
        table.add_row(cell(word), f"{n:,}")
    return table
