"""The Flink cluster: its version, its jars, the checkpoints of its job."""

from collections.abc import Set
from datetime import datetime, timedelta
from typing import Final

from ops.answers.connection import tables
from ops.answers.doctor.here import flink_here
from ops.answers.steps import Step
from settings import Settings
from stores.flink import Checkpoint, Checkpoints, Flink
from stores.leases import Leases

CHECKPOINT_AGE: Final = timedelta(minutes=5)
"""The alert `CheckpointsStopped` has the same limit; `CheckpointsSlow` the next."""
CHECKPOINT_TOOK: Final = timedelta(minutes=1)
_SLOWER: Final = 3  # times the median of those before
_MANY_RESTARTS: Final = 3
_MIB: Final = 2**20


def flink(settings: Settings, flink: Flink) -> Step:
    """Whether the cluster has the version that this machine submits for, and its job runs."""
    version, words = flink.version(), f"Flink {flink.version()} at {flink.url}"
    if version != flink_here():
        words += f", and this machine submits for {flink_here()}"
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


def jars(flink: Flink, wanted: Set[str]) -> Step:
    """Whether the JobManager has the jars that are wanted, by name."""
    if not wanted:
        return Step("jars", "not checked", "this machine has no jars to compare with", "make setup")
    if missing := sorted(wanted - flink.jars()):
        fix = "put them into lib/ of all hosts of the cluster, and restart that"
        return Step("jars", "failed", f"the JobManager has no {', '.join(missing)}", fix)
    return Step("jars", "ok", f"the JobManager has all {len(wanted)} jars, by name and version")


def checkpoints(settings: Settings, flink: Flink) -> Step:
    """Whether the job that holds the tables completes checkpoints."""
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
