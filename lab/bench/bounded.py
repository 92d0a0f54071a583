"""Runs a job over bounded input on a stack's cluster and says how long that took and what it cost.

Packaging, planning, deployment and the start of the Python processes come before: `seconds` and CPU count from
the moment the source task is RUNNING (Flink says so once all its operators are opened and its Python workers,
if it has any, are connected) until the job is FINISHED. A bounded job that has read everything still waits for
the next periodic checkpoint, up to a whole interval: `seconds` is no measure of speed, see lab.bench.engines.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from lab.bench.processes import Cost, Sampler, total
from lab.stack.flink_client import statuses
from lab.stack.local import Stack
from lab.stack.patience import Deadline

_AT_WORK = frozenset({"RUNNING", "FINISHED"})


class Checkpoint(NamedTuple):
    """When a completed checkpoint was triggered and ended, in seconds of the epoch."""

    triggered: float
    ended: float


class Run(NamedTuple):
    """One finished job."""

    job_id: str
    seconds: float
    checkpoints: list[Checkpoint]
    written: dict[str, int]
    """records that each task has sent to others, by its name"""
    jvm: Cost
    python: Cost


def run(  # noqa: PLR0913, PLR0917  all but the last are what is run, and where
    stack: Stack,
    script: Path,
    archive: Path,
    arguments: Sequence[str | Path],
    limit_seconds: float,
    flink_options: Sequence[str] = (),
) -> Run:
    """Submit a script and wait until its job is FINISHED. Raises StackError when it ends otherwise.

    `flink_options` such as -p 2. What it has cost is the sum over JobManager and TaskManagers.
    """
    job_id = stack.flink.run((*flink_options, "-pyfs", archive, "-py", script), arguments)
    deadline = Deadline(limit_seconds)
    stack.flink.wait_until(job_id, lambda job: set() < statuses(job) <= _AT_WORK, deadline)
    pids = [pid for name, pid in stack.pids().items() if name.startswith(("jobmanager", "taskmanager"))]
    with ExitStack() as watched:
        samplers = [watched.enter_context(Sampler(pid)) for pid in pids]
        job = stack.flink.wait_until(job_id, lambda job: job["state"] == "FINISHED", deadline)
    seconds = job["end-time"] / 1000 - _source_running(stack, job)
    written = {vertex["name"]: vertex["metrics"]["write-records"] for vertex in job["vertices"]}
    jvm, python = (total(costs) for costs in zip(*((one.leader, one.others) for one in samplers), strict=True))
    return Run(job_id, seconds, _checkpoints(stack, job_id), written, jvm, python)


def _source_running(stack: Stack, job: dict[str, Any]) -> float:
    """When the first source task began to run, in seconds of the epoch; vertices come in topological order."""
    vertex = job["vertices"][0]["id"]
    subtasks = stack.rest(f"/jobs/{job['jid']}/vertices/{vertex}")["subtasks"]
    return float(min(task["end-time"] - task["status-duration"]["RUNNING"] for task in subtasks)) / 1000


def _checkpoints(stack: Stack, job_id: str) -> list[Checkpoint]:
    """The last ten, oldest first; Flink remembers no more."""
    history = stack.rest(f"/jobs/{job_id}/checkpoints")["history"]
    return sorted(
        Checkpoint(one["trigger_timestamp"] / 1000, (one["trigger_timestamp"] + one["end_to_end_duration"]) / 1000)
        for one in history
        if one["status"] == "COMPLETED"
    )
