"""`amplitude-bridge usage`: what each project has used of its limit, and which alerts went out."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers.month import closes_at
from ops.answers.usage import Row, against, daily, foretold, unclaimed
from ops.cli.terminal import PROJECT_ID, Commands, as_json_option, cell, example, in_percent, waiting
from ops.cli.times import as_month
from ops.cli.usage_explain import explain
from ops.cli.watch import watch
from ops.metering.month_close import waits_for
from settings import Settings, load
from stores.alerts import Alerts, Notification
from stores.dynamodb import TablesAddress
from stores.lake import Lake
from stores.projects import Projects
from stores.statements import Statements
from stores.usage import UsageTable

_LIMITED: Final = ("events", "monthly_limit", "used_percent", "billable")
_RECEIVED: Final = ("records", "duplicates", "update_records", "updates")
_CLOSED: Final = ("statement_events", "adjustment")
_HEADS: Final = {"used_percent": "used"}

_of_project = click.option("--project", type=PROJECT_ID, help="Amplitude's project id.")
_of_month = click.option("--month", metavar="YYYY-MM", type=as_month, help="A UTC month.")


@click.group(cls=Commands)
def usage() -> None:
    """Monthly volume: what each project has used of its limit, and how a number arose.

    Only distinct events count against the limit, in the UTC month that Amplitude uploaded them. Nothing is dropped
    or paused at the limit: what lies beyond it is billable. A closed month has a statement, which never changes;
    what arrives later is an adjustment.
    """


@usage.command("show", epilog=example("usage show --project 434735 --month 2026-03"))
@_of_project
@_of_month
@as_json_option
@click.pass_obj
def show(config: Path, /, *, project: int | None, month: str | None, as_json: bool) -> None:
    """Show each project's months against its limit."""
    settings = load(config)
    tables = settings.tables_address
    known = {one.project_id: one for one in Projects(tables).list()}
    statements = {one[:2]: one for one in Statements(tables).list()}
    totals = [
        total
        for total in UsageTable(tables).list()
        if project in {None, total.project_id} and month in {None, total.month}
    ]
    with waiting("looking at what open months wait for"):
        closing = _closing(settings, {total.month for total in totals if total[:2] not in statements})
    rows = [
        against(total, known.get(total.project_id), statements.get(total[:2]))
        | {"closes_at": closes_at(total.month, settings.close_after).isoformat()}
        | {"waits_for": None if total[:2] in statements else closing[total.month]}
        for total in totals
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("no usage" if project is None and month is None else "no usage matches")
    else:
        # several, because one is wider than 80 characters
        Console().print(_months("Events against the limit", rows, _LIMITED))
        Console().print(_months("Records and their copies", rows, _RECEIVED))
        Console().print(_months("Close of months", [row | close_of(row) for row in rows], _CLOSED, ("close",)))
    _refuse_unregistered(tables, project)


def _refuse_unregistered(tables: TablesAddress, project: int | None) -> None:
    """Refuse a project that was asked for and is not registered."""
    if project is not None:
        Projects(tables).get(project)


def _closing(settings: Settings, months: Iterable[str]) -> dict[str, str | None]:
    """By month that is not closed: what it waits for when it is due, None when it is not."""
    now = datetime.now(UTC)
    due = {month: closes_at(month, settings.close_after) <= now for month in months}
    return {month: waits_for(settings, month) if is_due else None for month, is_due in due.items()}


def close_of(row: Row) -> Row:
    """When a month closes or was closed, in words; of one that was empty then, also why its statement is 0."""
    at, done = (iso and iso[:16].replace("T", " ") for iso in (row["closes_at"], row["closed_at"]))
    if done and not row["statement_events"] and row["adjustment"]:
        return {"close": f"{done}; no event had arrived before {at}, so all are an adjustment"}
    if done:
        return {"close": done}
    return {"close": f"due since {at}, waits for {row['waits_for']}" if row["waits_for"] else f"not before {at}"}


def _months(title: str, rows: Sequence[Row], columns: Sequence[str], words: Sequence[str] = ()) -> Table:
    table = Table("project", "month", title=title, title_justify="left")
    for name in columns:
        # never an ellipsis in a number that decides what is paid
        table.add_column(_HEADS.get(name, name.replace("_", " ")), justify="right", overflow="fold")
    for name in words:
        table.add_column(name, overflow="fold")
    for row in rows:
        numbers = (_shown(row[name]) for name in columns)
        table.add_row(str(row["project_id"]), row["month"], *numbers, *(cell(row[name]) for name in words))
    return table


def _shown(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,}" if isinstance(number, int) else in_percent(number)


@usage.command("forecast", epilog=example("usage forecast"))
@_of_project
@as_json_option
@click.pass_obj
def show_forecast(config: Path, /, *, project: int | None, as_json: bool) -> None:
    """Foretell on which UTC day this month reaches each project's limit, with the days between which it falls 8
    times in 10. Projects with less than 14 days of events have no forecast.
    """
    settings, now = load(config), datetime.now(UTC)
    tables, month = settings.tables_address, f"{now:%Y-%m}"
    _refuse_unregistered(tables, project)
    with waiting("reading the ledger"):
        days = daily(Lake(settings.lake_address), now)
    totals = {one.project_id: one.events for one in UsageTable(tables).list() if one.month == month}
    rows = [
        foretold(one, totals.get(one.project_id, 0), days.get(one.project_id, {}), now)
        for one in Projects(tables).list()
        if project in {None, one.project_id}
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("project", "month", "events", "limit", "reached", "between", "by the month's end")
    for row in rows:
        known = (row["project_id"], row["month"], f"{row['events']:,}", f"{row['monthly_limit']:,}")
        table.add_row(*map(cell, (*known, *_when(row))))
    Console().print(table)


def _when(row: Row) -> tuple[str, str, str]:
    found = row["forecast"]
    if found is None:
        return ("already" if row["reached"] else "not enough days", "", "")
    day, earliest, latest = (found[name] or "later" for name in ("day", "earliest", "latest"))
    return (day if found["day"] else "not this month", f"{earliest} and {latest}", f"{found['month_end']:,}")


@usage.command("alerts", epilog=example("usage alerts --month 2026-03"))
@_of_project
@_of_month
@as_json_option
@click.pass_obj
def alerts(config: Path, /, *, project: int | None, month: str | None, as_json: bool) -> None:
    """Show which thresholds were reached, when that was seen, and when the channel acknowledged it."""
    tables = load(config).tables_address
    table = Alerts(tables)
    claimed = table.list()
    open_ones = unclaimed(Projects(tables).list(), UsageTable(tables).list(), claimed)
    pending = {one.notification_id: one for one in table.pending()}
    rows = [
        one._asdict() | _attempts(pending.get(one.notification_id))
        for one in sorted([*claimed, *open_ones])
        if project in {None, one.project_id} and month in {None, one.month}
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("no alerts" if project is None and month is None else "no alerts match")
    else:
        Console().print(alerts_table(rows))
    _refuse_unregistered(tables, project)


def _attempts(left: Notification | None) -> Row:
    """What was tried to tell of an alert; null once it is acknowledged."""
    return {"attempts": left and left.attempts, "last_error": left and left.last_error}


def _moment(iso: str) -> str:
    return iso[:19].replace("T", " ").removeprefix("20")  # narrow enough for 80 characters


def alerts_table(rows: Iterable[Row]) -> Table:
    """Alerts to read: rows of `Alert`, with the attempts of what is not acknowledged yet."""
    table = Table("project", "month", title="Alerts", title_justify="left")
    for name in ("share", "events", "limit"):  # no wider: with a limit of 10,000,000 it takes 79 characters
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("seen", "told"):
        table.add_column(name, overflow="fold")
    for row in rows:
        counts = (f"{row['threshold']} %", f"{row['events']:,}", f"{row['monthly_limit']:,}")
        seen = _moment(row["claimed_at"]) or "not yet: does usage watch run?"
        told = _moment(row["notified_at"] or "")
        if not told and row.get("attempts"):
            told = f"not yet, attempt {row['attempts']}: {row['last_error'] or 'on its way'}"
        table.add_row(*map(cell, (row["project_id"], row["month"], *counts, seen, told)))
    return table


usage.add_command(explain)
usage.add_command(watch)
