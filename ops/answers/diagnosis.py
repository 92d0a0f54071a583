"""`amplitude-bridge diagnose`: why only some of a project's events arrive.

What is stored and what is not taken is read from the lake by arrival, within a window and a few files at a time;
what lies before the window is known by the monthly totals alone. `ops.answers.causes` puts it into words. User
updates and cohorts are not looked at.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers import replayed
from ops.answers.causes import Facts, Refused, Seen, likely_cause, meaning
from ops.answers.dead_letters import count
from settings import Settings
from stores.lake import EVENT_COUNTS, EVENT_STORE, Condition, Lake
from stores.projects import Projects
from stores.replays import Replay, Replays
from stores.usage import UsageTable
from udfs.model import Kind, Repair


def facts(settings: Settings, project_id: int, since: datetime, now: datetime) -> Facts:
    """Read all that is known of a project. Raises StoreError."""
    lake, tables = Lake(settings.lake_address), settings.tables_address
    window = [Condition("arrival", ">=", since), Condition("arrival", "<", now)]
    mine = [Condition("project_id", "=", project_id), *window]
    nobodys = [Condition("project_id", "=", None), *window]
    status = {project.project_id: project.status for project in Projects(tables).list()}
    totals = [total for total in UsageTable(tables).list() if total.project_id == project_id]
    names, delays, by_arrival = _events(lake, mine)
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
        delays=delays,
        by_arrival=by_arrival,
        months=[total for total in totals if total.month >= f"{since:%Y-%m}"],
    )


def _events(lake: Lake, where: Sequence[Condition]) -> tuple[dict[str, Seen], Counter[int], Counter[str]]:
    names: dict[str, Seen] = {}
    delays: Counter[int] = Counter()
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
        delay = pc.drop_null(pc.subtract(arrival, piece["server_upload_time"])).cast(pa.int64())
        for one in pc.value_counts(pc.divide(delay, 100_000)).to_pylist():
            delays[one["values"]] += one["counts"]
        without = piece.filter(pc.is_null(piece["server_upload_time"]))["repairs"]
        for one in pc.value_counts(without).to_pylist():
            by_arrival[_why_by_arrival(one["values"] or "")] += one["counts"]
    return names, delays, by_arrival


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


def delay_seconds(delays: Counter[int]) -> dict[str, float] | None:
    """Median, 95th percentile and maximum in seconds, by nearest rank; None when there are none."""
    if not delays:
        return None
    tenths = sorted(delays)
    reached = list(accumulate(delays[value] for value in tenths))
    ranks = {"p50": -(-reached[-1] * 50 // 100), "p95": -(-reached[-1] * 95 // 100), "max": reached[-1]}
    return {name: tenths[bisect_left(reached, rank)] / 10 for name, rank in ranks.items()}


def described(project_id: int, found: Facts) -> dict[str, Any]:
    """All facts and the cause, as JSON has them."""
    days = (found.now.date() - found.begun.date()).days + 1
    newest, cause = found.newest_event, likely_cause(found)
    by_name = sorted(found.names.items(), key=lambda item: (-item[1].stored, item[0]))
    by_reason = sorted(found.refused.items(), key=lambda item: (-item[1].records, item[0]))
    return {
        "project_id": project_id,
        "status": found.status or "unregistered",
        "since": found.since,
        "until": found.now,
        "newest_event_age_seconds": None if newest is None else round((found.now - newest).total_seconds(), 1),
        "delay_seconds": delay_seconds(found.delays),
        "months_by_arrival": dict(found.by_arrival),
        "names": [
            {"name": name, "received": seen.received, "stored": seen.stored, "duplicates": seen.duplicates}
            | {"not_taken": dict(seen.refused), "first_seen": seen.first, "last_seen": seen.last}
            | {"seen_exactly": seen.stored > 0, "days_without_data": days - len(seen.days)}
            for name, seen in by_name
        ],
        "months": [
            {"month": one.month, "records": one.records, "duplicates": one.duplicates} for one in found.months
        ],
        "dead_letters": [
            {"kind": kind, "reason": reason, "records": one.records, "meaning": meaning(reason)}
            for (kind, reason), one in by_reason
        ],
        "dead_letters_without_project": found.nameless,
        "cause": cause._asdict(),
    }
