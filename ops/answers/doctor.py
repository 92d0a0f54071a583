"""Whether an installation is well: what is looked at beside each other, each finding with its remedy.

A back end that is away is told once; the rest is looked at all the same, within bounded time.
"""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from ops.answers.connection import job_step, lag_step, stream_step, summary, tables
from ops.answers.month import closes_at
from ops.answers.steps import AWAY, State, Step, once, side_by_side
from ops.answers.usage import unclaimed
from ops.answers.waiting import Waiting, by_project, newest, overdue
from settings import Settings
from stores.alerts import Alerts
from stores.backfills import VALID, Backfills, Run
from stores.cohorts import CohortMembers, Cohorts
from stores.destinations import Destination, Destinations
from stores.errors import MissingError, StoreError
from stores.flink import Checkpoint, Checkpoints, Flink
from stores.lake import OUTBOX, TABLES, Lake, Totals
from stores.leases import MAINTAIN, REDELIVER, Lease, Leases, killed
from stores.profiles import Key, Profiles
from stores.projects import Projects
from stores.statements import Statements
from stores.usage import UsageTable

_SECONDS: Final = 25.0
_ATTEMPT: Final = 5.0
_OUTBOX: Final = 8.0
"""Seconds for what waits in the outbox, however much that is."""
_SUBMIT: Final = "start the ingest job, which creates what is missing: amplitude-bridge submit"
CHECKPOINT_AGE: Final = timedelta(minutes=5)
"""The alert `CheckpointsStopped` has the same limit; `CheckpointsSlow` the next."""
CHECKPOINT_TOOK: Final = timedelta(minutes=1)
_SLOWER: Final = 3  # times the median of those before
_MANY_RESTARTS: Final = 3
_MANY_FILES: Final = 1000  # of a table
_SMALL: Final = 16 * 2**20  # bytes of one on average
_CLOCKS: Final = (timedelta(seconds=5), timedelta(minutes=1))
"""Above the first records get wrong hours in what people read; AWS refuses requests that are 5 minutes off."""
_FREE: Final = (0.1, 0.03)
_WAITING: Final = timedelta(minutes=10)
_OVERDUE: Final = timedelta(hours=1)
_MIB: Final = 2**20


_IN_DYNAMODB: Final = ("tables", "job", "alerts", "months", "maintain", "backfills", "destinations", "redeliver")
_SECTIONS: Final = dict.fromkeys(_IN_DYNAMODB, "dynamodb") | {
    "stream": "kinesis",
    "lake": "lake",
}
"""By finding: the section of the settings that says where to look."""


class Place(NamedTuple):
    """What the settings do not say: where Flink and `usage watch` answer, and the jars that Flink needs."""

    flink: str
    watch: str
    jars: Set[str]
    """their names; none where this machine has no distribution of Flink to compare with"""


@dataclass(frozen=True)
class Health:
    """All findings."""

    findings: tuple[Step, ...]

    @property
    def worst(self) -> State:
        """`failed`, else `warning`, else `ok`."""
        states = {one.state for one in self.findings}
        return "failed" if "failed" in states else "warning" if "warning" in states else "ok"

    def described(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {**asdict(self), "worst": self.worst}


def examined(settings: Settings, place: Place) -> Health:
    """Look at everything, whatever is away, within 25 s."""
    flink = Flink(place.flink)
    questions: dict[str, Callable[[], Step]] = {
        "settings": partial(_settings, settings),
        "python": _python,
        "stream": partial(stream_step, settings),
        "tables": partial(_tables, settings),
        "lake": partial(_lake, settings),
        "job": partial(job_step, settings, place.flink),
        "flink": partial(_flink, settings, flink),
        "jars": partial(_jars, flink, place.jars),
        "lag": partial(lag_step, settings, place.flink),
        "checkpoints": partial(_checkpoints, settings, flink),
        "clocks": partial(_clocks, settings, flink),
        "disk": partial(_disk, settings),
        "alerts": partial(_alerts, settings),
        "months": partial(_months, settings),
        "usage watch": partial(watch_step, place.watch),
        "maintain": partial(_maintain, settings),
        "backfills": partial(_backfills, settings),
        "destinations": partial(_destinations, settings),
        "redeliver": partial(_redeliver, settings),
    }
    return Health(tuple(once(side_by_side(questions, _SECONDS, _unanswered))))


def _unanswered(name: str, why: str) -> Step:
    section = _SECTIONS.get(name)
    fix = f"see the network, the credentials, and [{section}] in the settings" if section else "see that it runs"
    return Step(name, "failed", f"{AWAY}{why}", fix)


def _settings(settings: Settings) -> Step:
    if settings.kinesis.on_gap == "continue":
        words = 'kinesis.on_gap is "continue": a start does not stop where records may have expired unread'
        return Step("settings", "warning", words, 'set it to "stop" when the gap is behind you')
    if settings.metering.webhook_url is None:
        return Step("settings", "ok", "they are well; without a webhook, usage watch logs alerts")
    return Step("settings", "ok", "they are well")


def _flink_here() -> str:
    return metadata.version("apache-flink")


def _python() -> Step:
    ours, running = metadata.metadata("notifly-amplitude"), ".".join(map(str, sys.version_info[:3]))
    words = f"Python {running}, notifly-amplitude {ours['Version']}, apache-flink {_flink_here()}"
    if sys.version_info[:2] != (3, 11):
        return Step("python", "failed", words, f"run it with Python {ours['Requires-Python']}")
    return Step("python", "ok", f"{words}, on this machine")


def _tables(settings: Settings) -> Step:
    """Read something of each table of DynamoDB. Raises StoreError when DynamoDB is away."""
    at = tables(settings)
    reads: dict[str, Callable[[], object]] = {
        "projects": Projects(at).list,
        "plans": partial(Projects(at).plan, "-"),
        "cohorts": Cohorts(at).list,
        "cohort_members": partial(CohortMembers(at).count, 0, "-"),
        "profiles": partial(Profiles(at).of_users, [Key(0, "-")]),
        "usage": UsageTable(at).list,
        "alerts": Alerts(at).list,
        "notifications": Alerts(at).pending,
        "statements": Statements(at).list,
        "leases": Leases(at).current,
    }
    missing = [name for name, read in reads.items() if _is_missing(read)]
    if missing:
        return Step("tables", "failed", f"DynamoDB has no {', '.join(missing)}", _SUBMIT)
    return Step("tables", "ok", f"all {len(reads)} tables of DynamoDB can be read")


def _is_missing(read: Callable[[], object]) -> bool:
    try:
        read()
    except MissingError:
        return True
    return False


def _lake(settings: Settings) -> Step:
    lake = Lake(settings.lake_address)
    found: dict[str, Totals] = {}
    for table in TABLES:
        try:
            found[table] = lake.totals(table)
        except StoreError as error:
            if "does not exist" not in str(error):
                raise
    if missing := [table for table in TABLES if table not in found]:
        fix = f"if they were there before, look at lake.catalog_uri; else {_SUBMIT}"
        return Step("lake", "failed", f"the catalog has no {', '.join(missing)}", fix)
    return files_step(found)


def files_step(found: Mapping[str, Totals]) -> Step:
    """Whether a table of the lake consists of too many small files."""
    words = ", ".join(f"{name} {one.data_files:,}" for name, one in found.items())
    small = {
        name: one
        for name, one in found.items()
        if one.data_files > _MANY_FILES and one.bytes < one.data_files * _SMALL
    }
    if not small:
        return Step("lake", "ok", f"data files: {words}")
    sizes = ", ".join(
        f"{name} has {one.data_files:,} files of {one.bytes / one.data_files / _MIB:.2f} MiB on average"
        for name, one in small.items()
    )
    return Step("lake", "warning", sizes, "amplitude-bridge maintain --yes")


def _flink(settings: Settings, flink: Flink) -> Step:
    version, words = flink.version(), f"Flink {flink.version()} at {flink.url}"
    if version != _flink_here():
        words += f", and this machine submits for {_flink_here()}"
        return Step("flink", "failed", words, "use the same version on both")
    held, _ = Leases(tables(settings)).current()
    if held is None:
        return Step("flink", "ok", words)
    job = flink.job(held.job_id)
    words += f": job {held.job_id} is {job.state}, {job.restarts or 0} restarts"
    if job.state != "RUNNING":
        return Step("flink", "failed", words, 'docs/operations.md, "The job is RESTARTING"')
    if (job.restarts or 0) > _MANY_RESTARTS:
        return Step("flink", "warning", words, 'docs/operations.md, "The job restarts again and again"')
    return Step("flink", "ok", words)


def _jars(flink: Flink, wanted: Set[str]) -> Step:
    if not wanted:
        return Step("jars", "not checked", "this machine has no jars to compare with", "make setup")
    if missing := sorted(wanted - flink.jars()):
        fix = "put them into lib/ of all hosts of the cluster, and restart that"
        return Step("jars", "failed", f"the JobManager has no {', '.join(missing)}", fix)
    return Step("jars", "ok", f"the JobManager has all {len(wanted)} jars, by name and version")


def _checkpoints(settings: Settings, flink: Flink) -> Step:
    held, _ = Leases(tables(settings)).current()
    if held is None:
        return Step("checkpoints", "not checked", "no job runs")
    return checkpoints_step(flink.checkpoints(held.job_id), flink.job(held.job_id).now)


def checkpoints_step(found: Checkpoints, now: datetime) -> Step:
    """Whether checkpoints complete, in time, and how their size goes."""
    fix = 'docs/operations.md, "Checkpoints fail"'
    if not found.completed:
        words = f"none has completed since the JobManager started, {found.failed} have failed"
        return Step("checkpoints", "failed", words, fix)
    newest, *before = found.completed
    age = now - newest.at
    words = (
        f"the newest is {age.total_seconds():.0f} s old, took {newest.took.total_seconds():.1f} s, refers to "
        f"{newest.state / _MIB:.1f} MiB{_trend(newest, before)}; {found.failed} have failed"
    )
    if age > CHECKPOINT_AGE:
        return Step("checkpoints", "failed", words, fix)
    slower = before and newest.took > _SLOWER * sorted(one.took for one in before)[len(before) // 2]
    if newest.took > CHECKPOINT_TOOK or (slower and newest.took > CHECKPOINT_TOOK / 6):
        return Step("checkpoints", "warning", words, fix)
    return Step("checkpoints", "ok", words)


def _trend(newest: Checkpoint, before: list[Checkpoint]) -> str:
    if not before or not before[-1].state:
        return ""
    oldest = before[-1]
    minutes = (newest.at - oldest.at).total_seconds() / 60
    return f" ({newest.state / oldest.state - 1:+.0%} in {minutes:.0f} min)"


def _clocks(settings: Settings, flink: Flink) -> Step:
    """How far other clocks are from this machine's; those that do not answer are left out."""

    def of_job() -> datetime:
        held, _ = Leases(tables(settings)).current()
        if held is None:
            msg = "no job, whose JobManager would tell"
            raise StoreError(msg)
        return flink.job(held.job_id).now

    clocks: dict[str, Callable[[], datetime]] = {
        "DynamoDB": lambda: Leases(tables(settings)).current()[1],
        "Kinesis": lambda: summary(settings).now,
        "Flink": of_job,
    }
    return clocks_step({name: off for name, ask in clocks.items() if (off := _offset(ask)) is not None})


def _offset(ask: Callable[[], datetime]) -> timedelta | None:
    """How far a clock is from this machine's; AWS tells whole seconds, so less than one says nothing."""
    before = datetime.now(UTC)
    try:
        theirs = ask()
    except StoreError:
        return None
    after = datetime.now(UTC)
    if before - timedelta(seconds=1) <= theirs <= after:
        return timedelta()
    return theirs - after if theirs > after else theirs - before


def clocks_step(offsets: Mapping[str, timedelta]) -> Step:
    """Whether the clocks agree."""
    if not offsets:
        return Step("clocks", "not checked", "no other clock can be asked")
    words = ", ".join(f"{name} {one.total_seconds():+.1f} s" for name, one in offsets.items())
    worst = max(map(abs, offsets.values()))
    state: State = "ok" if worst <= _CLOCKS[0] else "warning" if worst <= _CLOCKS[1] else "failed"
    fix = "" if state == "ok" else "set this machine's clock by NTP, or theirs where all the others agree"
    return Step("clocks", state, f"against this machine's: {words}", fix)


def _disk(settings: Settings) -> Step:
    places = [Path(tempfile.gettempdir())]
    uri, warehouse = urlsplit(settings.lake.catalog_uri), urlsplit(settings.lake.warehouse)
    if uri.scheme == "sqlite":
        places.append(Path(uri.path.replace("//", "/")).parent)
    if warehouse.scheme == "file":
        places.append(Path(warehouse.path))
    return disk_step({str(one): shutil.disk_usage(one)[::2] for one in places if one.exists()})


def disk_step(found: Mapping[str, tuple[int, int]]) -> Step:
    """Whether there is room, by path: bytes in all, and free."""
    free_of = (f"{path} {free / 2**30:.1f} GiB ({free / total:.0%})" for path, (total, free) in found.items())
    words = f"free on this machine: {', '.join(free_of)}"
    least = min((free / total for total, free in found.values()), default=1.0)
    state: State = "ok" if least > _FREE[0] else "warning" if least > _FREE[1] else "failed"
    fix = "" if state == "ok" else 'docs/operations.md, "A disk is full"'
    return Step("disk", state, words, fix)


def _alerts(settings: Settings) -> Step:
    at = tables(settings)
    pending, now = Alerts(at).pending(), Leases(at).current()[1]
    reached = unclaimed(Projects(at).list(), UsageTable(at).list(), Alerts(at).list())
    fix = 'docs/operations.md, "An alert did not come"'
    if pending and (wait := now - datetime.fromisoformat(pending[0].claimed_at)) > _WAITING:
        minutes, why = wait.total_seconds() // 60, pending[0].last_error or "nobody has tried"
        words = f"{len(pending)} wait, the oldest ({pending[0].notification_id}) for {minutes:.0f} min: {why}"
        return Step("alerts", "failed", words, fix)
    if reached:
        words = f"{len(reached)} thresholds are reached and unclaimed: since seconds ago, or usage watch is gone"
        return Step("alerts", "warning", words, fix)
    return Step("alerts", "ok", f"{len(pending)} wait, and no threshold is unclaimed")


def _months(settings: Settings) -> Step:
    at = tables(settings)
    closed, now = {one[:2] for one in Statements(at).list()}, Leases(at).current()[1]
    overdue = sorted(
        {
            one.month
            for one in UsageTable(at).list()
            if one[:2] not in closed and closes_at(one.month, settings.close_after) + _OVERDUE < now
        }
    )
    if overdue:
        fix = 'docs/operations.md, "An alert did not come, or a month does not close"'
        return Step("months", "failed", f"{', '.join(overdue)} should have closed, and has not", fix)
    return Step("months", "ok", "none is overdue")


def watch_step(url: str) -> Step:
    """Whether a `usage watch` answers at this address, and can do its work."""
    url = url.rstrip("/")
    fix = "start it: amplitude-bridge usage watch; or say where it answers: --watch http://HOST:PORT"
    try:
        with urlopen(f"{url}/health", timeout=_ATTEMPT):  # noqa: S310  http(s), see the option
            return Step("usage watch", "ok", f"it answers at {url}, and looks after alerts")
    except HTTPError as error:
        why = " ".join(error.read(1000).decode(errors="replace").split())
        return Step("usage watch", "failed", f"it answers at {url}: {why or error.code}", "look at its log")
    except (OSError, ValueError) as error:
        return Step("usage watch", "failed", f"nothing answers at {url} ({getattr(error, 'reason', error)})", fix)


def _maintain(settings: Settings) -> Step:
    return maintain_step(*Leases(tables(settings), name=MAINTAIN).current())


def maintain_step(held: Lease | None, now: datetime) -> Step:
    """Whether somebody maintains the tables, by the lease on that; `now` is DynamoDB's."""
    if held is None:
        words = "none runs now; a scheduled one shows only while it works"
        return Step("maintain", "not checked", words, "unless it is scheduled: amplitude-bridge maintain --watch")
    words = f"{held.job_id} was seen {max(0.0, held.idle(now).total_seconds()):.0f} s ago"
    if held.left(now) < timedelta() or killed(held):
        fix = "start it again: amplitude-bridge maintain --watch"
        return Step("maintain", "failed", f"{words}: it has ended without a word", fix)
    return Step("maintain", "ok", words)


def _backfills(settings: Settings) -> Step:
    at = tables(settings)
    return backfills_step(Backfills(at).list(), Leases(at).current()[1])


def backfills_step(runs: Iterable[Run], now: datetime) -> Step:
    """Whether a backfill was cut off; `now` is DynamoDB's."""
    open_ = [one for one in runs if one.ended_at is None]
    running = [one for one in open_ if one.holder and now - datetime.fromisoformat(one.seen_at) < VALID]
    if cut_off := [one for one in open_ if one not in running]:
        named = (f"{one.project_id} ({one.put:,} records put, begun {one.started_at[:16]})" for one in cut_off)
        fix = "repeat the command: amplitude-bridge backfill PROJECT_ID ARCHIVES, and it goes on"
        return Step("backfills", "warning", f"cut off before its end: of project {', '.join(named)}", fix)
    return Step("backfills", "ok", f"{len(running)} run, and none was cut off")


def _destinations(settings: Settings) -> Step:
    return destinations_step(Destinations(tables(settings)).list())


def destinations_step(found: Sequence[Destination]) -> Step:
    """Whether Amplitude takes what goes to each project."""
    states = Counter(one.state for one in found)
    if refused := [one for one in found if one.state in {"auth_error", "throttled"}]:
        named = (f"{one.project_id} is {one.state} since {one.since[:16]}: {one.words}" for one in refused)
        fix = "; ".join(f"amplitude-bridge destinations test {one.project_id}" for one in refused)
        return Step("destinations", "warning", ", ".join(named), fix)
    words = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return Step("destinations", "ok", words or "none is set")


def _redeliver(settings: Settings) -> Step:
    at, lake = tables(settings), Lake(settings.lake_address)
    states = {one.project_id: (one.state, one.words) for one in Destinations(at).list()}
    if not states:
        return Step("redeliver", "not checked", "no destination is set")
    waits, since = newest(lake, _OUTBOX) if lake.exists(OUTBOX) else (None, None)
    found = by_project(waits, states) if waits else []
    return redeliver_step(found, *Leases(at, name=REDELIVER).current(), since)


def redeliver_step(
    found: Sequence[Waiting], held: Lease | None, now: datetime, since: datetime | None = None
) -> Step:
    """Whether what waits for Amplitude goes when it is due; `held` is redeliver's lease, `now` DynamoDB's.

    Where not all could be read, what was found arrived `since` then.
    """
    late = overdue(found, now)
    if not late:
        part = f" of those that arrived since {since:%Y-%m-%d}; there are older ones" if since else ""
        return Step(
            "redeliver", "ok", f"{sum(one.events for one in found):,} events wait, and none is overdue{part}"
        )
    named = (f"{one.project_id} (the first of {one.events:,} since {one.due:%Y-%m-%dT%H:%M})" for one in late)
    words = f"events that wait are overdue: of project {', '.join(named)}"
    if held is None or held.left(now) < timedelta() or killed(held):
        fix = "does `redeliver --watch` run? start it: amplitude-bridge redeliver --watch"
        return Step("redeliver", "failed", f"{words}; no process has redeliver's lease", fix)
    fix = "look at the log of `redeliver --watch`, and at the export job's lag and checkpoints"
    return Step("redeliver", "warning", f"{words}; {held.job_id} looks after them", fix)
