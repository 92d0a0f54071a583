"""What may go wrong while the job works: each fault does its harm and mends what people and schedulers would mend.

None waits for the job to be well again, but for those that end it: these submit it anew from where it was.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from ops.local import Stack
from ops.process import StackError
from ops.proxy import Failure, Proxy
from stores.stream import Stream

_PATIENCE: Final = 60  # seconds to wait for a moment in which to strike
_RECOVERY: Final = 180  # seconds for a job to be well again


@dataclass
class Target:
    """A running job and all that it stands on."""

    stack: Stack
    settings_path: Path
    stream: Stream
    kinesis: Proxy
    dynamodb: Proxy
    rng: Random
    job: str = ""
    jobs: list[str] = field(default_factory=list)
    """all that were submitted, the newest last"""

    def submit(self, *flink_args: str) -> None:
        """Submit the job and wait until it runs."""
        self.job = self.stack.submit(self.settings_path, *flink_args)
        self.jobs.append(self.job)
        self.stack.flink.wait_until_running(self.job)

    def restore(self, *flink_args: str) -> None:
        """Submit the job from its latest complete checkpoint, whichever job has left it."""
        for job in reversed(self.jobs):
            if checkpoint := self.stack.latest_checkpoint(job):
                self.submit("-s", str(checkpoint), *flink_args)
                return
        msg = "no checkpoint is complete yet: nothing to restore from"
        raise StackError(msg)

    def stop(self, *more: str) -> str:
        """Stop the job with a savepoint, and return its path."""
        folder = self.stack.folder / "savepoints"
        said = self.stack.flink.cli("stop", "--savepointPath", f"file://{folder}", *more, self.job)
        found = re.search(r"Path: (\S+)", said)
        if found is None:
            msg = f"flink stop named no savepoint: {said.strip()}"
            raise StackError(msg)
        return found[1]

    def wait_for_checkpoint(self) -> None:
        """Return when one more is complete: before the first there is nothing to go back to."""
        before = self._completed()
        self.until(lambda: self._completed() != before)

    def checkpoint_begun(self) -> bool:
        """Whether a checkpoint is being written: on disk, because what REST answers is up to 3 s old."""
        newest = max(self._checkpoints(), key=lambda folder: int(folder.name[4:]), default=None)
        return newest is not None and not (newest / "_metadata").exists()

    def _completed(self) -> Path | None:
        return self.stack.latest_checkpoint(self.job)

    def _checkpoints(self) -> list[Path]:
        return list((self.stack.folder / "checkpoints" / self.job).glob("chk-*"))

    def wait_until_well(self) -> None:
        """Return once all tasks run and one more checkpoint is complete. Raises StackError otherwise."""
        deadline = time.monotonic() + _RECOVERY
        while True:
            try:
                self.stack.flink.wait_until_running(self.job, seconds=deadline - time.monotonic())
                before = self._completed()
                while self._completed() == before:
                    self.stack.flink.wait_until_running(self.job, seconds=deadline - time.monotonic())
                    time.sleep(0.1)
            except StackError:
                if time.monotonic() > deadline or self.stack.job_state(self.job) == "FAILED":
                    raise
            else:
                return

    def until(self, true: Callable[[], bool]) -> None:
        """Look closely until something is so. Raises StackError when it does not come."""
        deadline = time.monotonic() + _PATIENCE
        while not true():
            if time.monotonic() > deadline:
                msg = f"waited {_PATIENCE} s in vain: {self.stack.flink.root_cause(self.job)}"
                raise StackError(msg)
            time.sleep(0.01)


def taskmanager_killed(target: Target) -> None:
    """KILL to the TaskManager; another one comes up."""
    target.stack.kill_taskmanager()
    target.stack.start_taskmanager()


def killed_in_checkpoint(target: Target) -> None:
    """The same in the middle of a checkpoint."""
    target.until(target.checkpoint_begun)
    taskmanager_killed(target)


def killed_after_checkpoint(target: Target) -> None:
    """The same when a checkpoint has just become complete, and its rows are about to be committed."""
    target.wait_for_checkpoint()
    taskmanager_killed(target)


def taskmanager_stopped(target: Target) -> None:
    """The TaskManager hangs for longer than the heartbeat allows, and comes back."""
    with _stopped(target.stack.pid("taskmanager")):
        time.sleep(12)


def worker_killed(target: Target) -> None:
    """KILL to the Python workers alone."""
    for pid in target.stack.workers():
        os.kill(pid, signal.SIGKILL)


def worker_stopped(target: Target) -> None:
    """The Python workers hang for a while."""
    with _stopped(*target.stack.workers()):
        time.sleep(target.rng.uniform(3, 10))


def jobmanager_killed(target: Target) -> None:
    """KILL to the JobManager; it comes up again, and a person restores the job from its latest checkpoint."""
    target.wait_for_checkpoint()
    target.stack.kill_jobmanager()
    target.stack.start_jobmanager()
    target.restore()


def cancelled(target: Target) -> None:
    """The job is cancelled and restored from its latest checkpoint."""
    target.wait_for_checkpoint()
    target.stack.cancel(target.job)
    target.restore()


def stopped_with_savepoint(target: Target) -> None:
    """The job is stopped with a savepoint and goes on from it."""
    target.wait_for_checkpoint()
    target.submit("-s", target.stop())


def rescaled(target: Target) -> None:
    """The job goes on with twice the parallelism, on two TaskManagers."""
    target.wait_for_checkpoint()
    target.stack.cancel(target.job)
    if len(target.stack.flink.taskmanagers()) < 2:
        target.stack.start_taskmanager()
    target.restore("-p", "2")


def shard_split(target: Target) -> None:
    """A shard is split."""
    target.stream.split(target.rng.choice(target.stream.open_shards()))


def shards_merged(target: Target) -> None:
    """Two neighbouring shards are merged, after a split that makes sure that there are two."""
    shard_split(target)
    target.stream.merge()


def _failing(service: str, failure: Failure, share: float = 1.0, seconds: float = 0) -> Callable[[Target], None]:
    """This share of a service's requests fails for so long, or for a while."""

    def fault(target: Target) -> None:
        proxy: Proxy = getattr(target, service)
        proxy.fail(failure, share)
        try:
            time.sleep(seconds or target.rng.uniform(5, 20))
        finally:
            proxy.mend()

    return fault


FAULTS: Final[dict[str, Callable[[Target], None]]] = {
    "TaskManager killed": taskmanager_killed,
    "TaskManager killed in a checkpoint": killed_in_checkpoint,
    "TaskManager killed after a checkpoint": killed_after_checkpoint,
    "TaskManager hangs": taskmanager_stopped,
    "Python workers killed": worker_killed,
    "Python workers hang": worker_stopped,
    "JobManager killed": jobmanager_killed,
    "cancelled and restored": cancelled,
    "stopped with savepoint": stopped_with_savepoint,
    "rescaled": rescaled,
    "shard split": shard_split,
    "shards merged": shards_merged,
    "DynamoDB throttled": _failing("dynamodb", "throttled", 0.5),
    "DynamoDB errors": _failing("dynamodb", "errors", 0.5),
    "DynamoDB hangs": _failing("dynamodb", "hanging"),
    "DynamoDB down": _failing("dynamodb", "down"),
    "DynamoDB down for two minutes": _failing("dynamodb", "down", seconds=120),
    "Kinesis throttled": _failing("kinesis", "throttled", 0.5),
    "Kinesis errors": _failing("kinesis", "errors", 0.5),
    "Kinesis hangs": _failing("kinesis", "hanging"),
    "Kinesis down": _failing("kinesis", "down"),
}
"""By the word of the scoreboard."""


@contextmanager
def _stopped(*pids: int) -> Iterator[None]:
    """Processes do not run as long as the block lasts."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # it was ended meanwhile
                os.kill(pid, signal.SIGCONT)
