"""What runs beside the job, by what it leaves: alerts, months, leases, runs, destinations."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from datetime import datetime, timedelta
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

from ops.answers.connection import tables
from ops.answers.month import closes_at
from ops.answers.steps import Step
from ops.answers.usage import unclaimed
from ops.answers.waiting import Waiting, by_project, newest, overdue
from settings import Settings
from stores.alerts import Alerts
from stores.backfills import VALID, Backfills, Run
from stores.destinations import Destination, Destinations
from stores.lake import LEDGER, OUTBOX, Condition, Lake
from stores.leases import MAINTAIN, REDELIVER, Lease, Leases, killed
from stores.projects import Projects
from stores.statements import Statements
from stores.usage import UsageTable

_ATTEMPT: Final = 5.0
_OUTBOX: Final = 8.0
"""Seconds for what waits in the outbox, however much that is."""
_WAITING: Final = timedelta(minutes=10)
_OVERDUE: Final = timedelta(hours=1)


def alerts(settings: Settings) -> Step:
    """Whether alerts are claimed and delivered."""
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


def months(settings: Settings) -> Step:
    """Whether every month that is over has closed, of those whose first record has not just arrived."""
    at = tables(settings)
    closed, now = {one[:2] for one in Statements(at).list()}, Leases(at).current()[1]
    due: defaultdict[str, set[int]] = defaultdict(set)
    for one in UsageTable(at).list():
        if one[:2] not in closed and closes_at(one.month, settings.close_after) + _OVERDUE < now:
            due[one.month].add(one.project_id)
    lake = Lake(settings.lake_address)
    if overdue := [month for month in sorted(due) if _counted(lake, month, due[month], now - _OVERDUE)]:
        fix = 'docs/operations.md, "An alert did not come, or a month does not close"'
        return Step("months", "failed", f"{', '.join(overdue)} should have closed, and has not", fix)
    return Step("months", "ok", "none is overdue")


def _counted(lake: Lake, month: str, projects: Set[int], before: datetime) -> bool:
    """Whether any record of a month and these projects had arrived before a time; reads no more than tells it."""
    where = [Condition("month", "=", month), Condition("hour", "<", before - timedelta(hours=1))]
    pieces = lake.pieces(LEDGER, ("project_id",), where)
    return any(not projects.isdisjoint(piece["project_id"].to_pylist()) for piece in pieces)


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


def maintain(settings: Settings) -> Step:
    """Whether somebody maintains the tables."""
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


def backfills(settings: Settings) -> Step:
    """Whether a backfill was cut off."""
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


def destinations(settings: Settings) -> Step:
    """Whether Amplitude takes what goes to each project."""
    return destinations_step(Destinations(tables(settings)).list())


def destinations_step(found: Sequence[Destination]) -> Step:
    """Whether Amplitude takes what goes to each project."""
    states = Counter(one.state for one in found)
    if refused := [one for one in found if one.state in {"auth_error", "blocked", "throttled"}]:
        named = (f"{one.project_id} is {one.state} since {one.since[:16]}: {one.words}" for one in refused)
        fix = "; ".join(f"amplitude-bridge destinations test {one.project_id}" for one in refused)
        return Step("destinations", "warning", ", ".join(named), fix)
    words = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return Step("destinations", "ok", words or "none is set")


def redeliver(settings: Settings) -> Step:
    """Whether what waits for Amplitude goes when it is due."""
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
