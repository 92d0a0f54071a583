"""`amplitude-bridge usage explain`: how a month's number arose."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers.month import Row, explained
from ops.cli.terminal import PROJECT_ID, as_json_option, cell, echo_fields, example, waiting
from ops.cli.times import as_month
from settings import load

_SHOWN: Final = 50  # names in the table; --json has all


@click.command("explain", epilog=example("usage explain 434735 2026-03"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("month", type=as_month)
@as_json_option
@click.pass_obj
def explain(config: Path, /, project_id: int, month: str, *, as_json: bool) -> None:
    """Explain how the number of PROJECT_ID in MONTH (YYYY-MM, UTC) arose; exit 0 when all counts of it agree."""
    with waiting("counting again"):
        account = explained(load(config), project_id, month)
    if as_json:
        click.echo(json.dumps(account, default=datetime.isoformat, indent=2))
    else:
        _print(account)
    if not account["exact"]:
        sys.exit(1)


def _print(account: Row) -> None:
    fields = [
        ("project", str(account["project_id"])),
        ("month", account["month"]),
        ("received", f"{account['records']:,} event records"),
        ("duplicates", f"{account['duplicates']:,} removed"),
        ("metered", f"{account['events']:,} events"),
        ("stored", f"{account['rows']:,} rows, {account['distinct']:,} distinct identities"),
        *([("erased", f"{account['erased']:,} events that were stored")] if account["erased"] else []),
        *_closed(account["statement"], account["adjustments"]),
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
    rungs = [(f"{row['rung']} {row['by'] or ''}", row["rows"], row["duplicates"]) for row in account["rungs"]]
    console.print(_table("By identity", "identity", rungs, "duplicates removed"))
    table = Table("", "time", title="First and last events", title_justify="left")
    table.add_column("name", overflow="fold")
    table.add_column("identity", overflow="fold")  # to be looked for elsewhere, so all of it
    for end, row in ends:
        table.add_row(*map(cell, (end, f"{row['at']:%Y-%m-%d %H:%M:%S}", row["name"], row["identity"])))
    console.print(table)
    click.echo(account["verdict"])


def _closed(statement: Row | None, later: Sequence[Row]) -> list[tuple[str, str]]:
    if statement is None:
        return [("closed", "not yet")]
    days = ((f"adjusted {one['day']}", f"{one['events']:+,} events, {one['updates']:+,} updates") for one in later)
    stated = f"{statement['events']:,} events that arrived before {statement['closes_at'][:16]} UTC"
    return [("statement", stated), *days]


def _table(title: str, column: str, rows: Iterable[tuple[Any, ...]], *more: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(column, overflow="fold")
    for name in ("rows", *more):
        table.add_column(name, justify="right")
    for word, *numbers in rows:
        table.add_row(cell(word), *(f"{n:,}" for n in numbers))
    return table
