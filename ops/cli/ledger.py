"""`amplitude-bridge ledger`: every record accounted for, and dropped ones put on the stream again."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers import export_ledger
from ops.answers.aggregates import Dropped, missing
from ops.answers.ledger import (
    EXPORT_STREAM,
    STREAM,
    TAKEN,
    UNITS,
    Counts,
    Residual,
    compared,
    outcomes,
    residuals,
    streamed,
)
from ops.cli.terminal import Commands, as_json_option, cell, example, waiting, wide
from ops.cli.times import as_seconds
from ops.maintenance.recover import put_again
from settings import load
from stores.lake import Lake
from stores.stream import Stream

_SHOWN: Final = 50
_PAUSE: Final = 2.0  # seconds


@click.group(cls=Commands)
def ledger() -> None:
    """Every record accounted for: what the job counted, beside what is stored and what is on the stream."""


@ledger.command("show", epilog=example("ledger show --json", "ledger show --export"))
@click.option("--export", is_flag=True, help="Of the way back: what became of message events.")
@as_json_option
@click.pass_obj
def show(config: Path, /, *, export: bool, as_json: bool) -> None:
    """Show records, first copies, duplicates and what was erased, by project, kind and reason."""
    with waiting("reading the ledger"):
        lake = Lake(load(config).lake_address)
        counts = export_ledger.outcomes(lake) if export else outcomes(lake)
    if as_json:
        click.echo(json.dumps(counts, indent=2))
    elif export:
        Console().print(sent_table(counts))
    else:
        Console().print(_counts_table(counts))


def sent_table(counts: Sequence[Mapping[str, Any]]) -> Table:
    """What became of message events, as a table."""
    table = Table("project", "outcome", "reason")
    table.add_column("events", justify="right")
    for row in counts:
        project = "" if row["project_id"] is None else row["project_id"]
        table.add_row(*map(cell, (project, row["outcome"], row["reason"], f"{row['events']:,}")))
    return table


def _counts_table(counts: Sequence[Mapping[str, Any]]) -> Table:
    table = wide(("project", "kind", "reason"), ("records", "first copies", "duplicates", "erased"))
    for row in counts:
        project = "" if row["project_id"] is None else row["project_id"]
        again = f"{row['records'] - row['first_copies']:,}" if row["kind"] in TAKEN else ""
        first = f"{row['first_copies']:,}" if row["kind"] in TAKEN else ""
        gone = f"{row['erased']:,}" if row["erased"] else ""
        numbers = (f"{row['records']:,}", first, again, gone)
        table.add_row(*map(cell, (project, row["kind"], row["reason"], *numbers)))
    return table


@ledger.command("check", epilog=example("ledger check --stream"))
@click.option("--stream", is_flag=True, help="Also count what the streams still retain; reads all of it.")
@click.option(
    "--wait",
    metavar="SPAN",
    type=as_seconds,
    default="10s",
    show_default=True,
    help="For counts that differ to meet.",
)
@as_json_option
@click.pass_obj
def check(config: Path, /, *, stream: bool, wait: float, as_json: bool) -> None:
    """Count again what the jobs have counted, and print where the counts differ.

    With --stream also what the Kinesis connector has dropped of KPL aggregates; `ledger recover` puts it on the
    stream again. Exit code 0: no residual, nothing dropped; 1: there is some. While records arrive, the newest
    differ until the next checkpoint, so counts that differ are taken again as long as --wait says.
    """
    settings = load(config)
    lake, export = Lake(settings.lake_address), Stream(settings.export_stream_address)

    def look() -> dict[str, tuple[Counts, Counts]]:
        counts = compared(settings) | export_ledger.compared(lake)
        return counts | streamed(settings) | export_ledger.streamed(lake, export) if stream else counts

    with waiting("counting again"):
        counts = _at_rest(look, wait)
        dropped: list[Dropped] = []
        if stream:
            dropped += missing(Stream(settings.stream_address))
            dropped += missing(export) if EXPORT_STREAM in counts else []
        found = _residuals(counts)
    if as_json:
        rows = [{**one.account._asdict(), "counted": one.counted, "found": one.found} for one in found]
        totals = {name: counted.total() for name, (counted, _) in counts.items()}
        lost = [{**one._asdict(), "missing": len(one.missing)} for one in dropped]
        click.echo(json.dumps({"counted": totals, "residuals": rows, "dropped": lost}, indent=2))
    else:
        _print(counts, found)
        _print_dropped(dropped)
    sys.exit(1 if found or dropped else 0)


@ledger.command("recover", epilog=example("ledger recover --dry-run"))
@click.option("--export", is_flag=True, help="Of the stream of message events.")
@click.option("--dry-run", is_flag=True, help="Only name the aggregates.")
@click.pass_obj
def recover(config: Path, /, *, export: bool, dry_run: bool) -> None:
    """Put what the connector dropped of KPL aggregates on the stream again, each record alone.

    Reads all that the stream retains. Nothing counts twice, however often this is done.
    """
    settings = load(config)
    stream = Stream(settings.export_stream_address if export else settings.stream_address)
    with waiting("reading all that the stream retains"):
        found = missing(stream)
    for one in found:
        click.echo(str(one))
    records = sum(len(one.missing) for one in found)
    if not dry_run:
        put_again(stream, found)
    click.echo(f"{'to be ' if dry_run else ''}put on the stream again: {records:,}")


def _at_rest(
    look: Callable[[], dict[str, tuple[Counts, Counts]]], wait: float
) -> dict[str, tuple[Counts, Counts]]:
    """What is counted, once no residual is left or so many seconds are over.

    A checkpoint's rows come into one table after the other: a look in between finds residuals that are none.
    """
    begin = time.monotonic()
    while _residuals(counts := look()) and time.monotonic() - begin < wait:
        time.sleep(_PAUSE)
    return counts


def _residuals(counts: Mapping[str, tuple[Counts, Counts]]) -> list[Residual]:
    return [one for pair in counts.values() for one in residuals(*pair)]


def _print(counts: Mapping[str, tuple[Counts, Counts]], found: Sequence[Residual]) -> None:
    table = Table("table", "unit", title="What the job counted, and what is found", title_justify="left")
    for name in ("counted", "found", "residuals"):
        table.add_column(name, justify="right")
    for name, (counted, there) in counts.items():
        numbers = (counted.total(), there.total(), len(residuals(counted, there)))
        table.add_row(name, UNITS.get(name, "dead letters"), *(f"{number:,}" for number in numbers))
    Console().print(table)
    if STREAM in counts:
        click.echo("On the stream, each record in a KPL aggregate counts as one.")
    for one in found[:_SHOWN]:
        click.echo(f"RESIDUAL {one}")
    if len(found) > _SHOWN:
        click.echo(f"… and {len(found) - _SHOWN:,} more: see --json")
    click.echo("residual 0" if not found else f"{len(found):,} residuals")


def _print_dropped(dropped: Sequence[Dropped]) -> None:
    for one in dropped[:_SHOWN]:
        click.echo(f"DROPPED {one}")
    if len(dropped) > _SHOWN:
        click.echo(f"… and {len(dropped) - _SHOWN:,} more: see --json")
    if dropped:
        click.echo("amplitude-bridge ledger recover [--export] puts these records on the stream again, each alone")
