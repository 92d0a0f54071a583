"""`amplitude-bridge diagnose`: why only some of a project's events arrive."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import click
from rich.console import Console
from rich.table import Table

from ops.answers.causes import Facts, minute, undated
from ops.answers.diagnosis import delay_seconds, described, facts
from ops.answers.silence import silent, usual_silence
from ops.answers.strangers import printable
from ops.cli.terminal import PROJECT_ID, as_json_option, cell, config_option, echo_fields, example, span, waiting
from ops.cli.times import since_option
from settings import Settings, load
from stores.lake import Lake
from stores.projects import Projects
from stores.usage import UsageTable
from udfs.model import EVENT_PREFIX

_SHOWN: Final = 50  # names in the table; --json has all
_NAME_WIDTH: Final = 28  # with numbers of six digits the table fits 80 characters
_HOUR: Final = timedelta(hours=1)


@click.command(epilog=example("diagnose 434735 --since 24h"))
@config_option
@click.argument("project_id", type=PROJECT_ID, required=False)
@since_option("Look at what arrived from that hour on", default="7d", show_default=True)
@as_json_option
def diagnose(config: Path, project_id: int | None, *, since: datetime, as_json: bool) -> None:
    """Say why only some events of PROJECT_ID arrive: what is stored, what is not taken, and the likely cause.

    Without PROJECT_ID: name the linked projects that used to send and have stopped. They are silent for a day, and
    for half as long again as ever in the four weeks before.
    """
    settings = load(config)
    if project_id is None:
        _show_silent(settings, as_json=as_json)
        return
    # what is counted by name is known by the hour
    with waiting("reading what arrived"):
        found = facts(settings, project_id, since.replace(minute=0, second=0, microsecond=0), _now())
    if as_json:
        click.echo(json.dumps(described(project_id, found), default=datetime.isoformat, indent=2))
    else:
        show(project_id, found)
    if found.status is None:
        Projects(settings.tables_address).get(project_id)


def _show_silent(settings: Settings, *, as_json: bool) -> None:
    projects, last = Projects(settings.tables_address).list(), UsageTable(settings.tables_address).last_raised()
    with waiting("reading what silent projects used to send"):
        found = silent(projects, last, _now(), partial(usual_silence, Lake(settings.lake_address)))
    if as_json:
        rows = [one._asdict() | {"usual": one.usual.total_seconds()} for one in found]
        click.echo(json.dumps(rows, default=datetime.isoformat, indent=2))
    elif not found:
        click.echo("no project that used to send has stopped")
    else:
        table = Table("project", "Notifly project", "last record", "silent for", "longest silence before")
        for one in found:
            spans = (span((_now() - one.since).total_seconds()), span(one.usual.total_seconds()))
            table.add_row(*map(cell, (one.project_id, one.notifly_project, minute(one.since), *spans)))
        Console().print(table)


def _now() -> datetime:
    return datetime.now(UTC)


def show(project_id: int, found: Facts) -> None:
    """Print all that is known of a project, and the likely cause."""
    told, delay = described(project_id, found), delay_seconds(found.delays)
    age = told["newest_event_age_seconds"]
    removed = [f"{one.duplicates:,} of {one.records:,} event records in {one.month}" for one in found.months]
    fields = [
        ("project", f"{project_id}, {told['status']}"),
        ("arrived", f"{minute(found.since)} to {minute(found.now)}"),
        ("newest event", "none" if age is None else f"{span(age)} ago"),
        ("delay", "unknown" if delay is None else ", ".join(f"{name} {span(n)}" for name, n in delay.items())),
        ("duplicates", "; ".join(removed) or "unknown"),
        ("no project", f"{found.nameless:,} dead letters of all senders name none, and may be of this one"),
    ]
    if (words := undated(found)) is not None and words != told["cause"]["words"]:
        fields.append(("upload times", words))
    echo_fields(fields)
    console = Console()
    tables = {
        f"Events by name ({EVENT_PREFIX}…)": [_short(row) for row in told["names"]],
        "Not taken, by name": [one for row in told["names"] for one in _not_taken(row)],
        "Dead letters": told["dead_letters"],
    }
    for title, rows in tables.items():
        if rows:
            console.print(_table(title, rows[:_SHOWN]))
        if len(rows) > _SHOWN:
            click.echo(f"and {len(rows) - _SHOWN:,} more: --json has all")
    click.echo(f"{click.style('Likely cause:', bold=True)} {printable(told['cause']['words'])}")


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a name, without what all begin with and in fewer columns: 80 characters are few."""
    days, last = row["days_without_data"], row["last_seen"]
    seen = f"{last:%m-%d %H:%M}" + ("" if row["seen_exactly"] else f" to {last + _HOUR:%H:%M}")
    if days:
        seen += f", no data on {days} {'day' if days == 1 else 'days'}"
    numbers = {name: row[name] for name in ("received", "stored", "duplicates")}
    return {"name": row["name"].removeprefix(EVENT_PREFIX), **numbers, "last_seen": seen}


def _not_taken(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for reason, records in row["not_taken"].items():
        yield {"name": row["name"].removeprefix(EVENT_PREFIX), "reason": reason, "records": records}


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name, value in rows[0].items():
        # names are looked for elsewhere, so the other columns are broken first
        width = min(_NAME_WIDTH, max(cell(row[name]).cell_len for row in rows)) if name == "name" else None
        justify: Literal["left", "right"] = "right" if isinstance(value, int) else "left"
        table.add_column(name.replace("_", " "), justify=justify, overflow="fold", width=width)
    for row in rows:
        table.add_row(*(cell(f"{value:,}" if isinstance(value, int) else value) for value in row.values()))
    return table
