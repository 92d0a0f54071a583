"""Whether records expired before a job read them: what it has counted against what the stream still holds.

Kinesis gives no error for a position that has expired: the source goes on with the oldest record there is. So this
is asked before a start. What is proven is only that nothing was lost; a gap is where that cannot be proven.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import pyarrow.compute as pc

from settings import Settings
from stores.errors import StoreError
from stores.history import committed_at
from stores.lake import (
    COHORT_MESSAGES,
    DEAD_LETTERS,
    DELIVERIES,
    EVENT_STORE,
    EXPORT_DEAD_LETTERS,
    EXPORT_LEDGER,
    LEDGER,
    USER_UPDATES,
    Condition,
    Lake,
)
from stores.stream import Retention, Stream
from udfs.export.redelivery import MARK

_SETTLE: Final = timedelta(minutes=10)
"""What arrives so shortly before a commit may not be in it: an interval of counting, a slow checkpoint, clocks."""
_BLUR: Final = timedelta(seconds=1)
"""How much two clients of Kinesis may differ in the arrival of one record: it comes as a decimal fraction."""
_HOUR: Final = timedelta(hours=1)
_BACK: Final = (timedelta(hours=2), timedelta(days=2), timedelta(days=40))
"""How far before its last commit the ledger is read, in steps, while shards are missing; then all of it."""


class Job(NamedTuple):
    """What a job counts and keeps of its stream."""

    name: str
    ledger: str
    stored: tuple[str, ...]
    """where the records are that the ledger counts, but for further copies of them"""
    elsewhere: str
    """who else has what has expired"""
    again: bytes | None = None
    """how records begin that the ledger counts where they stood before"""


INGEST: Final = Job(
    "jobs.ingest",
    LEDGER,
    (EVENT_STORE, USER_UPDATES, COHORT_MESSAGES, DEAD_LETTERS),
    "Amplitude's Export API has the events of these hours",
)
EXPORT: Final = Job(
    "jobs.export",
    EXPORT_LEDGER,
    (DELIVERIES, EXPORT_DEAD_LETTERS),
    "Notifly has the message events of these hours",
    MARK,
)


class Held(NamedTuple):
    """A shard that the stream lists, and when the oldest record arrived that it still holds."""

    shard: str
    parents: tuple[str, ...]
    first: datetime | None


class Gap(NamedTuple):
    """Records of a shard that arrived in this time may have expired before the job read them."""

    shard: str
    since: datetime
    until: datetime


def check(config: Settings, stream: Stream, job: Job) -> int:
    """Raise StoreError when records may have expired unread, unless settings say to go on.

    Then it says so on stderr, and returns of how many shards.
    """
    found = gaps(Lake(config.lake_address), stream, stream.now(), job)
    if found:
        line = described(stream.address.name, found, job.elsewhere)
        if config.kinesis.on_gap == "stop":
            raise StoreError(line)
        print(f"{job.name}: {line}", file=sys.stderr)
    return len(found)


def gaps(lake: Lake, stream: Stream, now: datetime, job: Job = INGEST) -> list[Gap]:
    """The gaps between what a job has counted and what the stream holds. Raises StoreError."""
    shards = stream.shards()
    parents = {one.shard: one.parents for one in shards}
    committed = committed_at(lake, job.ledger)
    hours = _last_hours(lake, job, parents, committed or now)
    if not hours and committed is None:
        return []
    held = [Held(one.shard, one.parents, stream.first_arrival(one.shard, job.again)) for one in shards]
    counted = _last_arrivals(lake, job, hours, held)
    return rule(held, counted, committed or max(hours.values()), stream.retention(now), now)


def rule(
    held: Sequence[Held],
    counted: Mapping[str, datetime],
    committed: datetime,
    retention: Retention,
    now: datetime,
) -> list[Gap]:
    """The gaps, by the last arrival that was counted of each shard and the time of the job's last commit.

    At its last commit the job had read all shards, unless one still holds older records that are not counted: on
    that one it was behind. The stream has all records since `retention.since`, unless a younger one is gone: then
    its retention period was raised, and what had expired before did not come back.
    """
    parents = {one.shard: one.parents for one in held}
    first = {one.shard: one.first for one in held if one.first}
    gone = (at for shard, at in counted.items() if shard not in first or at + _BLUR < first[shard])
    raised = any(at > retention.since + _SETTLE for at in gone)
    horizon = min(first.values(), default=now) if raised else retention.since
    settled = committed - _SETTLE
    if committed >= retention.created:
        settled = max(settled, retention.created)
    found = []
    for one in held:
        last = _last(one.shard, counted, parents)
        behind = one.first is not None and one.first < settled
        read = last if last is not None and (behind or last > settled) else settled
        until = min(one.first or horizon, horizon)
        if read < until:
            found.append(Gap(one.shard, read, until))
    return found


def described(stream: str, found: Iterable[Gap], elsewhere: str) -> str:
    """One line that says what may be lost and what to do."""
    windows = ", ".join(
        f"{one.shard} from {one.since:%Y-%m-%dT%H:%M:%SZ} to {one.until:%Y-%m-%dT%H:%M:%SZ}" for one in found
    )
    return (
        f"records of Kinesis stream {stream} may have expired before they were read: {windows}; "
        f"{elsewhere}; to start without them: "
        '--set kinesis.on_gap=continue (docs/operations.md, "Records may have expired")'
    )


def _last(shard: str, counted: Mapping[str, datetime], parents: Mapping[str, tuple[str, ...]]) -> datetime | None:
    """The last arrival counted of a shard, or of its parents: they end before it begins."""
    if shard in counted:
        return counted[shard]
    before = (_last(parent, counted, parents) for parent in parents.get(shard, ()))
    return max((at for at in before if at), default=None)


def _last_hours(
    lake: Lake, job: Job, parents: Mapping[str, tuple[str, ...]], committed: datetime
) -> dict[str, datetime]:
    """By shard the last hour of arrival in the ledger, read no further back than for shards that are listed."""
    hours: dict[str, datetime] = {}
    seen: list[Condition] = []
    for back in (*_BACK, None):
        since = [Condition("hour", ">=", committed - back)] if back else []
        for piece in lake.pieces(job.ledger, ["hour", "shard"], [*since, *seen]):
            for row in piece.group_by("shard").aggregate([("hour", "max")]).to_pylist():
                hours[row["shard"]] = max(row["hour_max"], hours.get(row["shard"], row["hour_max"]))
        if all(_last(shard, hours, parents) for shard in parents):
            break
        seen = [one._replace(comparison="<") for one in since]
    return hours


def _last_arrivals(
    lake: Lake, job: Job, hours: Mapping[str, datetime], held: Sequence[Held]
) -> dict[str, datetime]:
    """By shard the last arrival that was counted; its hour where the stream still holds all of that."""
    first = {one.shard: one.first for one in held}
    of_interest = first.keys() | {parent for one in held for parent in one.parents}
    arrivals = {}
    for shard, hour in hours.items():
        if shard in of_interest:
            at = first.get(shard)
            arrivals[shard] = hour if at and at <= hour else _last_arrival(lake, job, shard, hour)
    return arrivals


def _last_arrival(lake: Lake, job: Job, shard: str, hour: datetime) -> datetime:
    """When the last record arrived that is stored of a shard's hour; the hour's end when all were copies."""
    where = [
        Condition("arrival", ">=", hour),
        Condition("arrival", "<", hour + _HOUR),
        Condition("shard", "=", shard),
    ]
    latest = [
        pc.max(piece["arrival"]).as_py()
        for table in job.stored
        for piece in lake.pieces(table, ["arrival"], where)
        if piece.num_rows
    ]
    return max(latest, default=hour + _HOUR)
