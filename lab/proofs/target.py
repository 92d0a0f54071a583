"""A running job and all that a fault may strike."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from lab.proofs.disk import Disk
from lab.sample.feed import Feed
from lab.stack.local import Stack
from lab.stack.patience import Deadline
from lab.stack.process import Process, StackError
from lab.stack.proxy import Proxy
from stores.stream import Stream

_PATIENCE: Final = 60  # seconds to wait for a moment in which to strike
_RECOVERY: Final = 300  # seconds for a job to be well again


class Disks(NamedTuple):
    """Small disks: under RocksDB and all else that a TaskManager has on disk, and under a warehouse."""

    taskmanager: Disk
    warehouse: Disk


@dataclass
class Target:
    """A running job and all that it stands on."""

    stack: Stack
    settings_path: Path
    stream: Stream
    kinesis: Proxy
    dynamodb: Proxy
    rng: Random
    objects: Proxy | None = None
    disks: Disks | None = None
    feed: Feed | None = None
    intake: Process | None = None
    parallelism: int = 1
    job: str = ""
    jobs: list[str] = field(default_factory=list)
    """all that were submitted, the newest last"""

    def submit(self, *flink_args: str, program_args: Sequence[str] = ()) -> None:
        """Submit the job and wait until it runs."""
        parallelism = ("-p", str(self.parallelism))
        self.job = self.stack.submit(self.settings_path, *parallelism, *flink_args, program_args=program_args)
        self.jobs.append(self.job)
        self.stack.flink.wait_until_running(self.job)

    def restore(self, *program_args: str) -> None:
        """Submit the job from its latest complete checkpoint, whichever job has left it."""
        for job in reversed(self.jobs):
            if checkpoint := self.stack.checkpoints.latest(job):
                self.submit("-s", checkpoint, program_args=program_args)
                return
        msg = "no checkpoint is complete yet: nothing to restore from"
        raise StackError(msg)

    def wait_for_checkpoint(self) -> None:
        """Return when one more is complete: before the first there is nothing to go back to."""
        before = self.latest()
        self.until(lambda: self.latest() != before)

    def latest(self) -> str | None:
        """The newest complete checkpoint of the job."""
        return self.stack.checkpoints.latest(self.job)

    def wait_until_well(self) -> None:
        """Return once all tasks run and one more checkpoint is complete. Raises StackError otherwise."""
        deadline = Deadline(_RECOVERY)
        while True:
            try:
                self.stack.flink.wait_until_running(self.job, seconds=deadline.left)
                before = self.latest()
                while self.latest() == before:
                    self.stack.flink.wait_until_running(self.job, seconds=deadline.left)
                    time.sleep(0.1)
            except StackError:
                if deadline.over or self._has_failed():
                    raise
                time.sleep(0.2)
            else:
                return

    def _has_failed(self) -> bool:
        with suppress(StackError):  # a JobManager that has come up again has not found its jobs yet
            return self.stack.flink.job_state(self.job) == "FAILED"
        return False

    def until(self, true: Callable[[], bool]) -> None:
        """Look closely until something is so. Raises StackError when it does not come."""
        deadline = Deadline(_PATIENCE)
        while not true():
            if deadline.over:
                msg = f"waited {deadline.elapsed:.0f} s in vain: {self.stack.flink.root_cause(self.job)}"
                raise StackError(msg)
            time.sleep(0.01)
