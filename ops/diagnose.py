"""`amplitude-bridge diagnose`: why only some of a project's events arrive.

What is stored and what is not taken is read from the lake by arrival, within a window and a few files at a time;
what lies before the window is known by the monthly totals alone. `likely_cause` puts it into words. User updates
and cohorts are not looked at.
"""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from ops.dead_letters import as_moment, count
from ops.reasons import REASONS
from ops.terminal import PROJECT_ID, cell, config_option, echo_fields, printable
from settings import Settings, load
from stores.lake import DEAD_LETTERS, EVENT_STORE, Condition, Lake
from stores.projects import Projects
from stores.usage import Usage, UsageTable
from udfs.model import Kind, Reason

_DAY: Final = timedelta(hours=24)
_MANY: Final = 0.01  # of all that arrived: fewer records than that are not what a customer misses
_ENOUGH: Final = 10  # events of a name, before its silence says anything
_PAUSES: Final = 5  # times the average pause between two events of a name; a chance silence is shorter
_NAMED: Final = 3  # names in a sentence
_SHOWN: Final = 50  # names in the table; --json has all
_SELECTION: Final = 'Amplitude\'s "Send Events"'


@dataclass
class Seen:
    """The stored events of one name: how many, the first and last arrival, and the UTC days that have any."""

    stored: int
    first: datetime
    last: datetime
    days: set[date] = field(default_factory=set)


class Refused(NamedTuple):
    """Dead letters of one kind and reason: how many, and when the last arrived."""

    records: int
    last: datetime


@dataclass(frozen=True)
class Facts:
    """What is known of a project; all but `metered` and `months` of arrivals from `since` to `now`.

    `status` is None when it is not registered; `metered` are the records of all months; `refused` is by kind and
    reason; `nameless` are dead letters that name no project; `lags` counts events by arrival - server_upload_time
    in tenths of a second; `months` are the totals of the months that the window touches, whole.
    """

    since: datetime
    now: datetime
    status: str | None
    metered: int = 0
    names: Mapping[str, Seen] = field(default_factory=dict)
    refused: Mapping[tuple[str, str], Refused] = field(default_factory=dict)
    nameless: int = 0
    lags: Counter[int] = field(default_factory=Counter)
    months: Sequence[Usage] = ()

    @property
    def newest_event(self) -> datetime | None:
        """The last arrival of an event that was stored."""
        return max((seen.last for seen in self.names.values()), default=None)

    @property
    def newest(self) -> datetime | None:
        """The last arrival of anything."""
        moments = [*(one.last for one in self.refused.values()), *(seen.last for seen in self.names.values())]
        return max(moments, default=None)

    @property
    def many(self) -> float:
        """How many records of one reason may explain what is missing."""
        stored = sum(seen.stored for seen in self.names.values())
        return _MANY * (stored + sum(one.records for one in self.refused.values()))


class Cause(NamedTuple):
    """Why events are missing: a code to build on, and words."""

    code: str
    words: str


def likely_cause(facts: Facts) -> Cause:
    """Say why events of a project are missing, by the first rule that applies."""
    for rule in _RULES:
        if (found := rule(facts)) is not None:
            return found
    return Cause("well", f"all looks well: an event that is not here is most likely not selected in {_SELECTION}")


def _not_linked(facts: Facts) -> Cause | None:
    words = {
        None: "no project has registered this id: what arrives waits as unknown_project; register it with "
        "`amplitude-bridge projects add`, then `amplitude-bridge dead-letters replay`",
        "unlinked": "the project is unlinked: what Amplitude uploads since then is counted and not stored; link "
        "it again with `amplitude-bridge projects link`",
    }.get(facts.status)
    return None if words is None else Cause(facts.status or "unregistered", words)


def _never(facts: Facts) -> Cause | None:
    words = (
        f"nothing was ever metered, and nothing has arrived since {_minute(facts.since)}: Amplitude's destination "
        "is missing, switched off or writes to another stream, or the project has another id"
    )
    return Cause("never", words) if facts.newest is None and not facts.metered else None


def _stopped(facts: Facts) -> Cause | None:
    last = facts.newest
    if last is None and facts.now - facts.since < _DAY:
        return Cause("window", f"nothing since {_minute(facts.since)}, too short to judge by: take --since 7d")
    if last is not None and facts.now - last <= _DAY:
        return None
    since = f"before {_minute(facts.since)}" if last is None else f"after {_minute(last)}"
    words = (
        f"everything stopped {since}: Amplitude pauses all streams when the contracted volume is used up, until "
        "the next billing cycle; or the destination was switched off, or no event is selected in it any more"
    )
    return Cause("stopped", words)


def _before_link(facts: Facts) -> Cause | None:
    found = facts.refused.get((Kind.NOT_LINKED, Reason.BEFORE_LINK))
    if found is None or found.records < facts.many:
        return None
    words = "records were uploaded before the project was linked: only what is uploaded later is taken"
    return Cause("before_link", f"{found.records:,} {words}")


def _refused(facts: Facts) -> Cause | None:
    # not only rejected: what came before a registration is quarantined, what came in a gap between links unlinked
    wrong = [
        (one.records, reason)
        for (kind, reason), one in facts.refused.items()
        if kind != Kind.CONTROL and one.records >= facts.many
    ]
    if not wrong:
        return None
    records, reason = max(wrong)
    remedy = f"; what to do: {REASONS[reason].remedy}" if reason in REASONS else ""
    return Cause("refused", f"{records:,} records are not taken, {reason}: {_meaning(reason)}{remedy}")


def _deselected(facts: Facts) -> Cause | None:
    if facts.newest_event is None:
        return None
    silent = []
    for name, seen in sorted(facts.names.items()):
        pause = (seen.last - seen.first) / max(1, seen.stored - 1)
        if seen.stored >= _ENOUGH and facts.newest_event - seen.last > max(_DAY, _PAUSES * pause):
            silent.append(f"{name} ({_minute(seen.last)})")
    if not silent:
        return None
    more = f" and {len(silent) - _NAMED:,} more" if len(silent) > _NAMED else ""
    words = (
        f"{', '.join(silent[:_NAMED])}{more} stopped while others go on: most likely not selected any more "
        f"in {_SELECTION}"
    )
    return Cause("deselected", words)


_RULES: Final = (_not_linked, _never, _stopped, _before_link, _refused, _deselected)


@click.command()
@config_option
@click.argument("project_id", type=PROJECT_ID)
@click.option(
    "--since",
    metavar="TIME",
    type=as_moment,
    default="7d",
    show_default=True,
    help="Look at what arrived from then on: 2026-03-01T12:00 (UTC), or 24h ago.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def diagnose(config: Path, project_id: int, *, since: datetime, as_json: bool) -> None:
    """Say why only some events of PROJECT_ID arrive: what is stored, what is not taken, and the likely cause."""
    facts = read(load(config), project_id, since, _now())
    if as_json:
        click.echo(json.dumps(_described(project_id, facts), default=datetime.isoformat, indent=2))
    else:
        _print(project_id, facts)


def _now() -> datetime:
    return datetime.now(UTC)


def read(settings: Settings, project_id: int, since: datetime, now: datetime) -> Facts:
    """Read all that is known of a project. Raises StoreError."""
    lake, tables = Lake(settings.lake_address), settings.tables_address
    window = [Condition("arrival", ">=", since), Condition("arrival", "<", now)]
    mine = [Condition("project_id", "=", project_id), *window]
    status = {project.project_id: project.status for project in Projects(tables).list()}
    totals = [total for total in UsageTable(tables).list() if total.project_id == project_id]
    names, lags = _events(lake, mine)
    return Facts(
        since=since,
        now=now,
        status=status.get(project_id),
        metered=sum(total.records + total.update_records for total in totals),
        names=names,
        refused=_letters(lake, mine),
        nameless=count(lake, ("kind",), [Condition("project_id", "=", None), *window]).total(),
        lags=lags,
        months=[total for total in totals if total.month >= f"{since:%Y-%m}"],
    )


def _events(lake: Lake, where: Sequence[Condition]) -> tuple[dict[str, Seen], Counter[int]]:
    names: dict[str, Seen] = {}
    lags: Counter[int] = Counter()
    for piece in lake.pieces(EVENT_STORE, ("name", "arrival", "server_upload_time"), where):
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
    return names, lags


def _letters(lake: Lake, where: Sequence[Condition]) -> dict[tuple[str, str], Refused]:
    found: dict[tuple[str, str], Refused] = {}
    for piece in lake.pieces(DEAD_LETTERS, ("kind", "reason", "arrival"), where):
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
    days = (facts.now.date() - facts.since.date()).days + 1
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
        "names": [
            {"name": name, "stored": seen.stored, "first_seen": seen.first, "last_seen": seen.last}
            | {"days_without_data": days - len(seen.days)}
            for name, seen in by_name
        ],
        "months": [
            {"month": one.month, "records": one.records, "duplicates": one.duplicates} for one in facts.months
        ],
        "dead_letters": [
            {"kind": kind, "reason": reason, "records": one.records, "meaning": _meaning(reason)}
            for (kind, reason), one in by_reason
        ],
        "dead_letters_without_project": facts.nameless,
        "cause": cause._asdict(),
    }


def _meaning(reason: str) -> str:
    known = REASONS.get(reason)
    return "not a reason of this version" if known is None else known.meaning


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _print(project_id: int, facts: Facts) -> None:
    told, lag = _described(project_id, facts), lag_seconds(facts.lags)
    age = told["newest_event_age_seconds"]
    removed = [f"{one.duplicates:,} of {one.records:,} event records in {one.month}" for one in facts.months]
    fields = [
        ("project", f"{project_id}, {told['status']}"),
        ("arrived", f"{_minute(facts.since)} to {_minute(facts.now)}"),
        ("newest event", "none" if age is None else f"{timedelta(seconds=round(age))} ago"),
        ("lag", "unknown" if lag is None else ", ".join(f"{name} {n:,.1f} s" for name, n in lag.items())),
        ("duplicates", "; ".join(removed) or "unknown"),
        ("no project", f"{facts.nameless:,} dead letters of all senders name none, and may be of this one"),
    ]
    echo_fields(fields)
    console = Console()
    for title, rows in (("Stored events", told["names"]), ("Dead letters", told["dead_letters"])):
        if rows:
            console.print(_table(title, rows[:_SHOWN]))
        if len(rows) > _SHOWN:
            click.echo(f"and {len(rows) - _SHOWN:,} more: --json has all")
    click.echo(f"{click.style('Likely cause:', bold=True)} {printable(told['cause']['words'])}")


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name, value in rows[0].items():
        table.add_column(
            name.replace("_", " "), justify="right" if isinstance(value, int) else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(cell(_shown(value)) for value in row.values()))
    return table


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return _minute(value)
    return f"{value:,}" if isinstance(value, int) else value
