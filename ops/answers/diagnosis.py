"""`amplitude-bridge diagnose`: why only some of a project's events arrive.

What is stored and what is not taken is read from the lake by arrival, within a window and a few files at a time;
what lies before the window is known by the monthly totals alone. `ops.answers.causes` puts it into words. User
updates and cohorts are not looked at.
"""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal

import click
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from ops.answers import replayed
from ops.answers.causes import Facts, Refused, Seen, likely_cause, meaning, minute, undated
from ops.cli.dead_letters import count
from ops.cli.letter_filters import as_moment
from ops.cli.terminal import PROJECT_ID, cell, config_option, echo_fields, printable, span
from settings import Settings, load
from stores.lake import EVENT_COUNTS, EVENT_STORE, Condition, Lake
from stores.projects import Projects
from stores.replays import Replay, Replays
from stores.usage import UsageTable
from udfs.model import EVENT_PREFIX, Kind, Repair

_SHOWN: Final = 50  # names in the table; --json has all
_NAME_WIDTH: Final = 28  # with numbers of six digits the table fits 80 characters
_HOUR: Final = timedelta(hours=1)


@click.command()
@config_option
@click.argument("project_id", type=PROJECT_ID)
@click.option(
    "--since",
    metavar="TIME",
    type=as_moment,
    default="7d",
    show_default=True,
    help="Look at what arrived from that hour on: 2026-03-01T12:00 (UTC), or 24h ago.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def diagnose(config: Path, project_id: int, *, since: datetime, as_json: bool) -> None:
    """Say why only some events of PROJECT_ID arrive: what is stored, what is not taken, and the likely cause."""
    settings = load(config)
    # what is counted by name is known by the hour
    facts = read(settings, project_id, since.replace(minute=0, second=0, microsecond=0), _now())
    if as_json:
        click.echo(json.dumps(_described(project_id, facts), default=datetime.isoformat, indent=2))
    else:
        show(project_id, facts)
    if facts.status is None:
        Projects(settings.tables_address).get(project_id)


def _now() -> datetime:
    return datetime.now(UTC)


def read(settings: Settings, project_id: int, since: datetime, now: datetime) -> Facts:
    """Read all that is known of a project. Raises StoreError."""
    lake, tables = Lake(settings.lake_address), settings.tables_address
    window = [Condition("arrival", ">=", since), Condition("arrival", "<", now)]
    mine = [Condition("project_id", "=", project_id), *window]
    nobodys = [Condition("project_id", "=", None), *window]
    status = {project.project_id: project.status for project in Projects(tables).list()}
    totals = [total for total in UsageTable(tables).list() if total.project_id == project_id]
    names, lags, by_arrival = _events(lake, mine)
    _count(lake, project_id, since, names)
    _uncount(Replays(tables).of_arrivals(since, now), project_id, names)
    return Facts(
        since=since,
        now=now,
        status=status.get(project_id),
        metered=sum(total.records + total.update_records for total in totals),
        names={name: seen for name, seen in names.items() if seen.received or seen.stored},
        refused=_letters(replayed.pieces(settings, ("kind", "reason", "arrival"), mine, "waiting")),
        nameless=count(replayed.pieces(settings, ("kind",), nobodys, "waiting"), ("kind",)).total(),
        lags=lags,
        by_arrival=by_arrival,
        months=[total for total in totals if total.month >= f"{since:%Y-%m}"],
    )


def _events(lake: Lake, where: Sequence[Condition]) -> tuple[dict[str, Seen], Counter[int], Counter[str]]:
    names: dict[str, Seen] = {}
    lags: Counter[int] = Counter()
    by_arrival: Counter[str] = Counter()
    for piece in lake.pieces(EVENT_STORE, ("name", "arrival", "server_upload_time", "repairs"), where):
        arrival = piece["arrival"]
        dated = piece.append_column("day", pc.floor_temporal(arrival, unit="day"))
        wanted = [([], "count_all"), ("arrival", "min"), ("arrival", "max")]
        for row in dated.group_by(["name", "day"]).aggregate(wanted).to_pylist():
            first, last = row["arrival_min"], row["arrival_max"]
            seen = names.setdefault(row["name"], Seen(0, first, last))
            seen.stored += row["count_all"]
            seen.first, seen.last = min(seen.first, first), max(seen.last, last)
            seen.days.add(row["day"].date())
        lag = pc.drop_null(pc.subtract(arrival, piece["server_upload_time"])).cast(pa.int64())
        for one in pc.value_counts(pc.divide(lag, 100_000)).to_pylist():
            lags[one["values"]] += one["counts"]
        without = piece.filter(pc.is_null(piece["server_upload_time"]))["repairs"]
        for one in pc.value_counts(without).to_pylist():
            by_arrival[_why_by_arrival(one["values"] or "")] += one["counts"]
    return names, lags, by_arrival


def _why_by_arrival(repairs: str) -> str:
    """Why an event has no time of upload, by what was mended in it; older versions did not name the field."""
    for repair in (Repair.TIMESTAMP_UNREADABLE, Repair.TIMESTAMP_IMPLAUSIBLE):
        if {repair, repair.of("server_upload_time")} & set(repairs.split()):
            return repair
    return "absent"


def _count(lake: Lake, project_id: int, since: datetime, names: dict[str, Seen]) -> None:
    """Add what the job has counted by name, hour by hour."""
    columns = ("name", "hour", "kind", "reason", "records", "first_copies")
    where = [Condition("project_id", "=", project_id), Condition("hour", ">=", since)]
    for piece in lake.pieces(EVENT_COUNTS, columns, where):
        for row in piece.to_pylist():
            if row["kind"] == Kind.USER_UPDATE:
                continue
            seen = names.setdefault(row["name"], Seen(0, row["hour"], row["hour"]))
            seen.received += row["records"]
            seen.days.add(row["hour"].date())
            if row["reason"]:
                seen.refused[row["reason"]] += row["records"]
            else:
                seen.duplicates += row["records"] - row["first_copies"]
            if not seen.stored:
                seen.first, seen.last = min(seen.first, row["hour"]), max(seen.last, row["hour"])


def _uncount(replays: Iterable[Replay], project_id: int, names: Mapping[str, Seen]) -> None:
    """Take away what was replayed: what has become of it is counted like any other record."""
    for one in replays:
        if one.project_id == project_id and (seen := names.get(one.name or "")):
            seen.received -= 1
            seen.refused -= Counter([one.reason])


def _letters(pieces: Iterable[pa.Table]) -> dict[tuple[str, str], Refused]:
    found: dict[tuple[str, str], Refused] = {}
    for piece in pieces:
        wanted = [([], "count_all"), ("arrival", "max")]
        for row in piece.group_by(["kind", "reason"]).aggregate(wanted).to_pylist():
            key, last = (row["kind"], row["reason"]), row["arrival_max"]
            known = found.get(key, Refused(0, last))
            found[key] = Refused(known.records + row["count_all"], max(known.last, last))
    return found


def lag_seconds(lags: Counter[int]) -> dict[str, float] | None:
    """Median, 95th percentile and maximum in seconds, by nearest rank; None when there are none."""
    if not lags:
        return None
    tenths = sorted(lags)
    reached = list(accumulate(lags[value] for value in tenths))
    ranks = {"p50": -(-reached[-1] * 50 // 100), "p95": -(-reached[-1] * 95 // 100), "max": reached[-1]}
    return {name: tenths[bisect_left(reached, rank)] / 10 for name, rank in ranks.items()}


def _described(project_id: int, facts: Facts) -> dict[str, Any]:
    """All facts and the cause, as JSON has them."""
    days = (facts.now.date() - facts.begun.date()).days + 1
    newest, cause = facts.newest_event, likely_cause(facts)
    by_name = sorted(facts.names.items(), key=lambda item: (-item[1].stored, item[0]))
    by_reason = sorted(facts.refused.items(), key=lambda item: (-item[1].records, item[0]))
    return {
        "project_id": project_id,
        "status": facts.status or "unregistered",
        "since": facts.since,
        "until": facts.now,
        "newest_event_age_seconds": None if newest is None else round((facts.now - newest).total_seconds(), 1),
        "lag_seconds": lag_seconds(facts.lags),
        "months_by_arrival": dict(facts.by_arrival),
        "names": [
            {"name": name, "received": seen.received, "stored": seen.stored, "duplicates": seen.duplicates}
            | {"not_taken": dict(seen.refused), "first_seen": seen.first, "last_seen": seen.last}
            | {"seen_exactly": seen.stored > 0, "days_without_data": days - len(seen.days)}
            for name, seen in by_name
        ],
        "months": [
            {"month": one.month, "records": one.records, "duplicates": one.duplicates} for one in facts.months
        ],
        "dead_letters": [
            {"kind": kind, "reason": reason, "records": one.records, "meaning": meaning(reason)}
            for (kind, reason), one in by_reason
        ],
        "dead_letters_without_project": facts.nameless,
        "cause": cause._asdict(),
    }


def show(project_id: int, facts: Facts) -> None:
    """Print all that is known of a project, and the likely cause."""
    told, lag = _described(project_id, facts), lag_seconds(facts.lags)
    age = told["newest_event_age_seconds"]
    removed = [f"{one.duplicates:,} of {one.records:,} event records in {one.month}" for one in facts.months]
    fields = [
        ("project", f"{project_id}, {told['status']}"),
        ("arrived", f"{minute(facts.since)} to {minute(facts.now)}"),
        ("newest event", "none" if age is None else f"{span(age)} ago"),
        ("lag", "unknown" if lag is None else ", ".join(f"{name} {span(n)}" for name, n in lag.items())),
        ("duplicates", "; ".join(removed) or "unknown"),
        ("no project", f"{facts.nameless:,} dead letters of all senders name none, and may be of this one"),
    ]
    if (words := undated(facts)) is not None and words != told["cause"]["words"]:
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
