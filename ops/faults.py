"""What may go wrong while the job works: each fault does its harm and mends what people and schedulers would mend.

None waits for the job to be well again, but for those that end it: these submit it anew from where it was.
"""

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from ops.process import StackError
from ops.proxy import Failure, Proxy
from ops.target import Target
from settings import load

_KEPT_WITHIN: Final = 7  # seconds in which the emulator of Kinesis has written down what it has acknowledged
_SHUTDOWN: Final = 5  # seconds in which a JVM that cannot go on has ended
_NOT_HERE: Final = "this cluster has not what the fault strikes: start it with ops.torture.cluster, as root"
WAREHOUSE_FULL: Final = "disk of the warehouse full"


def taskmanager_killed(target: Target) -> None:
    """KILL to the TaskManager; another one comes up."""
    target.stack.kill_taskmanager()
    target.stack.start_taskmanager()


def killed_after_checkpoint(target: Target) -> None:
    """The same when a checkpoint has just become complete, and its rows are about to be committed."""
    target.wait_for_checkpoint()
    taskmanager_killed(target)


def killed_before_commit(target: Target) -> None:
    """The same between a complete checkpoint and the commit of its rows: the catalog is locked until then."""
    flink = target.stack.flink
    with _catalog(target) as catalog:
        before, failures = target.latest(), flink.failures(target.job)
        catalog.execute("BEGIN EXCLUSIVE")
        # an earlier checkpoint's commit may still be under way: that fails the job
        target.until(lambda: target.latest() != before or flink.failures(target.job) > failures)
        target.stack.kill_taskmanager()
    target.stack.start_taskmanager()


def killed_after_commit(target: Target) -> None:
    """The same when the rows of a checkpoint have just been committed."""
    with _catalog(target) as catalog:

        def committed() -> list[tuple[str, str]]:
            return catalog.execute("SELECT table_name, metadata_location FROM iceberg_tables").fetchall()

        before = committed()
        target.until(lambda: committed() != before)
    taskmanager_killed(target)


@contextmanager
def _catalog(target: Target) -> Iterator[sqlite3.Connection]:
    path = urlsplit(load(target.settings_path).lake.catalog_uri).path
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as catalog:
        yield catalog


def one_of_two_killed(target: Target) -> None:
    """KILL to one of the two TaskManagers that the job runs on; another one comes up."""
    if target.parallelism == 1:
        rescaled(target)
        target.wait_until_well()
    taskmanager_killed(target)


def taskmanager_stopped(target: Target) -> None:
    """The TaskManager hangs for longer than the heartbeat allows, and comes back."""
    with _stopped(target.stack.pid("taskmanager")):
        time.sleep(12)


def worker_killed(target: Target) -> None:
    """KILL to the Python workers alone."""
    for pid in target.stack.workers():
        with suppress(ProcessLookupError):  # some are shells, which end with their child
            os.kill(pid, signal.SIGKILL)


def worker_killed_thrice(target: Target) -> None:
    """The same three times in a row: the job fails over within a living TaskManager each time."""
    for _ in range(2):
        worker_killed(target)
        target.wait_until_well()
    worker_killed(target)


def worker_out_of_memory(target: Target) -> None:
    """The Python workers are given no more memory for a while, and are not killed, as a container's limit would.

    They may hang for ever: CPython 3.11 waits for a thread that had no memory to start. Checkpoints fail then.
    """
    pids = target.stack.workers()
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
    time.sleep(target.rng.uniform(5, 20))
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


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
    target.stack.flink.cancel(target.job)
    target.restore()


def stopped_with_savepoint(target: Target) -> None:
    """The job is stopped with a savepoint and goes on from it."""
    target.wait_for_checkpoint()
    target.submit("-s", target.stack.flink.stop(target.job))


def rescaled(target: Target) -> None:
    """The job goes on with parallelism 2, on two TaskManagers."""
    target.wait_for_checkpoint()
    target.stack.flink.cancel(target.job)
    if target.parallelism == 1:
        target.stack.start_taskmanager()
        target.parallelism = 2
    target.restore()


def shard_split(target: Target) -> None:
    """A shard is split."""
    target.stream.split(target.rng.choice(target.stream.open_shards()))


def shards_merged(target: Target) -> None:
    """Two neighbouring shards are merged, after a split that makes sure that there are two."""
    shard_split(target)
    target.stream.merge()


def _in_checkpoint(fault: Callable[[Target], None]) -> Callable[[Target], None]:
    """The fault in the middle of a checkpoint."""

    def struck(target: Target) -> None:
        target.until(lambda: target.stack.checkpoints.begun(target.job))
        fault(target)

    return struck


def kinesis_restarted(target: Target) -> None:
    """KILL to the emulator of Kinesis, which comes up again with all that it had acknowledged."""
    if target.feed is None:
        raise StackError(_NOT_HERE)
    with target.feed.paused():
        time.sleep(_KEPT_WITHIN)
        target.stack.restart_emulator("kinesis")


def dynamodb_restarted(target: Target) -> None:
    """KILL to the emulator of DynamoDB, which comes up again with all that it had acknowledged."""
    target.stack.restart_emulator("dynamodb")


def _full(name: str) -> Callable[[Target], None]:
    """There is no room on a disk for a while; a TaskManager that ends of it is replaced."""

    def fault(target: Target) -> None:
        if target.disks is None:
            raise StackError(_NOT_HERE)
        disk = getattr(target.disks, name)
        disk.fill()
        time.sleep(target.rng.uniform(5, 20))
        disk.mend()
        time.sleep(_SHUTDOWN)
        if not any(process.startswith("taskmanager") for process in target.stack.pids()):
            target.stack.start_taskmanager()

    return fault


def _failing(service: str, failure: Failure, share: float = 1.0, seconds: float = 0) -> Callable[[Target], None]:
    """This share of a service's requests fails for so long, or for a while."""

    def fault(target: Target) -> None:
        proxy: Proxy | None = getattr(target, service)
        if proxy is None:
            raise StackError(_NOT_HERE)
        proxy.fail(failure, share)
        try:
            time.sleep(seconds or target.rng.uniform(5, 20))
        finally:
            proxy.mend()

    return fault


FAULTS: Final[dict[str, Callable[[Target], None]]] = {
    "TaskManager killed": taskmanager_killed,
    "TaskManager killed in a checkpoint": _in_checkpoint(taskmanager_killed),
    "TaskManager killed after a checkpoint": killed_after_checkpoint,
    "TaskManager killed before a commit": killed_before_commit,
    "TaskManager killed after a commit": killed_after_commit,
    "TaskManager hangs": taskmanager_stopped,
    "one of two TaskManagers killed": one_of_two_killed,
    "Python workers killed": worker_killed,
    "Python workers killed three times": worker_killed_thrice,
    "Python workers out of memory": worker_out_of_memory,
    "Python workers hang": worker_stopped,
    "JobManager killed": jobmanager_killed,
    "cancelled and restored": cancelled,
    "stopped with savepoint": stopped_with_savepoint,
    "rescaled": rescaled,
    "shard split": shard_split,
    "shard split in a checkpoint": _in_checkpoint(shard_split),
    "shards merged": shards_merged,
    "shards merged in a checkpoint": _in_checkpoint(shards_merged),
    "DynamoDB throttled": _failing("dynamodb", "throttled", 0.5),
    "DynamoDB errors": _failing("dynamodb", "errors", 0.5),
    "DynamoDB hangs": _failing("dynamodb", "hanging"),
    "DynamoDB down": _failing("dynamodb", "down"),
    "DynamoDB down for two minutes": _failing("dynamodb", "down", seconds=120),
    "DynamoDB restarted": dynamodb_restarted,
    "Kinesis throttled": _failing("kinesis", "throttled", 0.5),
    "Kinesis errors": _failing("kinesis", "errors", 0.5),
    "Kinesis hangs": _failing("kinesis", "hanging"),
    "Kinesis down": _failing("kinesis", "down"),
    "Kinesis restarted": kinesis_restarted,
    "object store throttled": _failing("objects", "throttled", 0.5),
    "object store errors": _failing("objects", "errors", 0.5),
    "object store hangs": _failing("objects", "hanging"),
    "object store down": _failing("objects", "down"),
    "disk of the TaskManager full": _full("taskmanager"),
    WAREHOUSE_FULL: _full("warehouse"),
}
"""By the word of the scoreboard."""


@contextmanager
def _stopped(*pids: int) -> Iterator[None]:
    """Processes do not run as long as the block lasts."""
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # it was ended meanwhile
                os.kill(pid, signal.SIGCONT)
