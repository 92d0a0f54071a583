"""Keeping the lake's tables: what each needs of Iceberg's maintenance, and that it is done.

Iceberg compacts, lets snapshots expire and removes orphans; this decides which days, snapshots and files that is
about. A snapshot that a checkpoint or savepoint needs is kept by a tag.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final, NamedTuple

from ops.maintenance.settled import remove_settled
from settings import Settings
from stores import checkpoints, erased, files, history
from stores.care import STEPS, Care
from stores.errors import StoreError
from stores.files import Files
from stores.history import Commit
from stores.lake import EXPORT_LEDGER, EXPORT_TABLES, OUTBOX, TABLES, Lake
from stores.rewind import Histories, beyond

KEEP_LAST: Final = 20
"""Snapshots that stay however old: three retained checkpoints, and what is written around them."""
_RETAINED: Final = 3
"""Commits of a job behind an erasure, for the checkpoints that Flink retains, before what is older may go."""
_MANIFESTS: Final = 10
_NEVER: Final = datetime.fromtimestamp(0, UTC)
Run = Callable[[Sequence[Care]], Iterator[tuple[str, str]]]
"""Has the steps taken by Iceberg; gives table and step of each that is done."""


@dataclass(frozen=True)
class Upkeep:
    """What a table needs, or has got."""

    table: str
    before: Files
    expire: int
    """snapshots"""
    orphans: int
    """files"""
    keep: dict[str, int]
    """the tags it shall have, with their snapshots"""
    care: Care
    newest: int
    """the snapshot that was current; 0 for none"""
    holding: int
    """snapshots that hold rows which were erased since"""
    held_for: tuple[str, ...]
    """the tags that keep some of these"""
    after: Files | None = None
    """None: nothing is done yet"""
    compacted: bool = False
    """whether a snapshot since has taken files away; the job may have added more small ones than that"""
    orphans_left: int = 0
    holding_left: int = 0

    @property
    def stuck(self) -> bool:
        """Whether a step has changed nothing: Iceberg tells why in Flink's log only."""
        if self.after is None:
            return False
        return ("compact" in self.care.steps and not self.compacted) or (
            "orphans" in self.care.steps and self.orphans_left >= self.orphans
        )


def _points(lake: Lake, folder: str) -> Iterator[tuple[str, int]]:
    """The checkpoints and savepoints in a folder, by path and id."""
    for path in checkpoints.restore_points(lake, folder):
        try:
            yield path, checkpoints.checkpoint_id(lake, path)
        except StoreError:  # Flink has dropped it meanwhile, unless it is still there
            if path in checkpoints.restore_points(lake, folder):
                raise


class Ages(NamedTuple):
    """From when on what nobody needs any more may go."""

    now: datetime
    snapshots: timedelta
    orphans: timedelta
    erased_at_once: bool = False
    """whether snapshots that hold erased rows may go however young"""


def planned(settings: Settings, tables: Iterable[str] = (), *, erased_at_once: bool = False) -> list[Upkeep]:
    """What each of these tables needs as of now, or each that there is. Raises StoreError."""
    lake, rules = Lake(settings.lake_address), settings.maintenance
    points = [point for folder in rules.restore_points for point in _points(lake, folder)]
    histories: dict[str, Sequence[Commit]] = {}
    wanted: dict[str, dict[str, int]] = {}
    # apart: each job has checkpoints of its own
    for of_job in (TABLES, EXPORT_TABLES if lake.exists(EXPORT_LEDGER) else ()):
        own = {table: history.history_of(lake, table) for table in of_job}
        histories |= own
        wanted |= kept_for(own, points)
    hours, days = timedelta(hours=rules.snapshot_hours), timedelta(days=rules.orphan_days)
    ages, erasures = Ages(datetime.now(UTC), hours, days, erased_at_once), erased.newest(lake)
    return [
        upkeep(lake, table, histories[table], wanted[table], ages, erased_at=erasures.get(table, _NEVER))
        for table in tables or histories
    ]


def upkeep(  # noqa: PLR0913  by name, the last
    lake: Lake,
    table: str,
    commits: Sequence[Commit],
    keep: dict[str, int],
    ages: Ages,
    *,
    erased_at: datetime = _NEVER,
) -> Upkeep:
    """What one table needs, given its history, newest first, the tags that it shall have, and its last erasure."""
    day, before = files.day_column(lake, table), files.files(lake, table, ages.now.date())
    # all the way to the newest commit of a job: Iceberg's committer looks for it there, and no further
    newest = next((i for i, commit in enumerate(commits, 1) if commit.job), 0)
    clean, expire_before = _clean(commits), ages.now - ages.snapshots
    keep_last = min(max(KEEP_LAST, newest), clean or sys.maxsize)
    if clean and ages.erased_at_once:
        expire_before = max(expire_before, commits[clean - 1].at)
    expire = files.expired(lake, table, commits[:keep_last], expire_before, keep.values())
    # not counted from now: what a job has staged for its next commit waits as long as the job is down
    alive = min(ages.now, max((commit.at for commit in commits if commit.job), default=_NEVER))
    orphans_before = max(_NEVER, alive - ages.orphans)
    orphans = len(files.orphans(lake, table, orphans_before)) if commits else 0
    needed = (bool(before.small), before.manifests > _MANIFESTS, bool(expire), bool(orphans))
    care = Care(
        table,
        tuple(step for step, one in zip(STEPS, needed, strict=True) if one),
        day or "",
        f"{ages.now:%Y-%m-%d}T00:00:00+00:00",
        _millis(expire_before),
        keep_last,
        _millis(orphans_before),
    )
    holding = {one.snapshot for one in erased.holding(commits, erased_at)}
    return Upkeep(
        table,
        before,
        expire,
        orphans,
        keep,
        care,
        commits[0].snapshot if commits else 0,
        len(holding),
        tuple(sorted(name for name, snapshot in keep.items() if snapshot in holding)),
    )


def _clean(commits: Sequence[Commit]) -> int:
    """How many commits there are since the last erasure, from the job's first on; 0 when it has made too few.

    That first one is the oldest without a trace of the rows: the erasure's own manifests still have bounds.
    """
    erasing = next((i for i, commit in enumerate(commits) if commit.attempt), 0)
    jobs = [i for i, commit in enumerate(commits[:erasing], 1) if commit.job]
    return jobs[-1] if len(jobs) >= _RETAINED else 0


def _millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def kept_for(histories: Histories, points: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """By table the tags that keep what these checkpoints, by path and id, need: the newest commit not after each.

    It is a commit of a job: one of compaction does not say up to which checkpoint rows are committed. Left out are
    savepoints whose job ran on, which cannot be restored, and checkpoints of jobs that have no commit any more.
    """
    found: dict[str, dict[str, int]] = {table: {} for table in histories}
    committed = [commit for commits in histories.values() for commit in commits if commit.job]
    for path, checkpoint in points:
        job = checkpoints.job_of(path)
        if not any(commit.job.startswith(job) for commit in committed):
            continue
        later = beyond(histories, job, checkpoint)
        if "/savepoint-" in path and any(commit.job.startswith(job) for commit in later):
            continue
        for table, commits in histories.items():
            name = history.tag(job, checkpoint)
            needed = next((one for one in commits if one.job and one not in later), None)
            if needed and needed.serves(name):
                found[table][name] = needed.snapshot
    return found


def carry_out(settings: Settings, plan: Sequence[Upkeep], run: Run) -> Iterator[tuple[str, str]]:
    """Set the tags, then have all steps taken; gives table and step of each that is done. Raises StoreError.

    The outbox loses its settled rows first, if they are many.
    """
    lake, age = Lake(settings.lake_address), timedelta(days=settings.maintenance.restore_days)
    for one in plan:
        history.keep(lake, one.table, one.keep, age)
    if any(one.table == OUTBOX for one in plan) and remove_settled(lake):
        yield OUTBOX, "settled"
    if cares := [one.care for one in plan if one.care.steps]:
        yield from run(cares)


def done(settings: Settings, plan: Sequence[Upkeep]) -> list[Upkeep]:
    """The same tables as they are now."""
    lake = Lake(settings.lake_address)
    erasures = erased.newest(lake)

    def after(one: Upkeep) -> Upkeep:
        if not one.care.steps:
            return one
        since = datetime.fromtimestamp(one.care.orphans_before / 1000, UTC)
        left = len(files.orphans(lake, one.table, since)) if "orphans" in one.care.steps else 0
        commits = history.history_of(lake, one.table)
        later = takewhile(lambda commit: commit.snapshot != one.newest, commits)
        return replace(
            one,
            after=files.files(lake, one.table, datetime.now(UTC).date()),
            compacted=any(commit.taken for commit in later),
            orphans_left=left,
            holding_left=len(erased.holding(commits, erasures.get(one.table, _NEVER))),
        )

    return [after(one) for one in plan]
