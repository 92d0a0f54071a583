"""What may go wrong while the job works: each fault does its harm and mends what people and schedulers would mend.

None waits for the job to be well again, but for those that end it: these submit it anew from where it was.
`strike` lets several strike upon each other.
"""

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lab.proofs.target import Target
from lab.stack import intake
from lab.stack.patience import Deadline
from lab.stack.process import StackError
from lab.stack.proxy import Failure, Proxy
from settings import load

_KEPT_WITHIN: Final = 7  # seconds in which the emulator of Kinesis has written down what it has acknowledged
_SHUTDOWN: Final = 5  # seconds in which a JVM that cannot go on has ended
_OUTAGE: Final = 150  # seconds of the longest one, and some more
_NOT_HERE: Final = "this cluster has not what the fault strikes: start it with lab.proofs.torture.cluster, as root"
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
        _rescale(target, 2)
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
    """KILL to the JobManager; it comes up again.

    With high availability it resumes the job, else a person restores that from its latest checkpoint.
    """
    target.wait_for_checkpoint()
    target.stack.kill_jobmanager()
    target.stack.start_jobmanager()
    if not target.stack.high_availability:
        target.restore("--take-over")  # the new JobManager does not know that the job is gone


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
    """The job goes on with parallelism 2, on two TaskManagers, and then with 1 again."""
    _rescale(target, 2)
    target.wait_until_well()
    _rescale(target, 1)


def _rescale(target: Target, parallelism: int) -> None:
    target.wait_for_checkpoint()
    target.stack.flink.cancel(target.job)
    running = sum(name.startswith("taskmanager") for name in target.stack.pids())
    for _ in range(running, parallelism):
        target.stack.start_taskmanager()
    for _ in range(parallelism, running):  # an idle one would take the faults that come
        target.stack.kill_taskmanager()
    target.parallelism = parallelism
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


def intake_killed(target: Target) -> None:
    """KILL to all processes of the intake; it comes up again, as soon as what it needs is there."""
    if target.intake is None:
        raise StackError(_NOT_HERE)
    target.intake.kill()
    time.sleep(target.rng.uniform(0, 3))
    deadline = Deadline(_OUTAGE)
    while True:
        try:
            target.intake = intake.start(target.settings_path, target.intake.log)
        except StackError:
            if deadline.over:
                raise
            time.sleep(1)
        else:
            return


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


class Fault(NamedTuple):
    """What strikes, and how it goes with others."""

    strike: Callable[[Target], None]
    lasts: bool = False
    """the next one may strike while it lasts"""
    waits: bool = False
    """it needs a moment that comes only while the job is well, so it strikes upon no other"""


def _failing(service: str, failure: Failure, share: float = 1.0, seconds: float = 0) -> Fault:
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

    return Fault(fault, lasts=True)


FAULTS: Final[dict[str, Fault]] = {
    "TaskManager killed": Fault(taskmanager_killed),
    "TaskManager killed in a checkpoint": Fault(_in_checkpoint(taskmanager_killed), waits=True),
    "TaskManager killed after a checkpoint": Fault(killed_after_checkpoint, waits=True),
    "TaskManager killed before a commit": Fault(killed_before_commit, waits=True),
    "TaskManager killed after a commit": Fault(killed_after_commit, waits=True),
    "TaskManager hangs": Fault(taskmanager_stopped, lasts=True),
    "one of two TaskManagers killed": Fault(one_of_two_killed, waits=True),
    "Python workers killed": Fault(worker_killed),
    "Python workers killed three times": Fault(worker_killed_thrice, waits=True),
    "Python workers out of memory": Fault(worker_out_of_memory, lasts=True),
    "Python workers hang": Fault(worker_stopped, lasts=True),
    "JobManager killed": Fault(jobmanager_killed, waits=True),
    "cancelled and restored": Fault(cancelled, waits=True),
    "stopped with savepoint": Fault(stopped_with_savepoint, waits=True),
    "rescaled and back": Fault(rescaled, waits=True),
    "shard split": Fault(shard_split),
    "shard split in a checkpoint": Fault(_in_checkpoint(shard_split), waits=True),
    "shards merged": Fault(shards_merged),
    "shards merged in a checkpoint": Fault(_in_checkpoint(shards_merged), waits=True),
    "DynamoDB throttled": _failing("dynamodb", "throttled", 0.5),
    "DynamoDB errors": _failing("dynamodb", "errors", 0.5),
    "DynamoDB hangs": _failing("dynamodb", "hanging"),
    "DynamoDB down": _failing("dynamodb", "down"),
    "DynamoDB down for two minutes": _failing("dynamodb", "down", seconds=120),
    "DynamoDB restarted": Fault(dynamodb_restarted),
    "Kinesis throttled": _failing("kinesis", "throttled", 0.5),
    "Kinesis errors": _failing("kinesis", "errors", 0.5),
    "Kinesis hangs": _failing("kinesis", "hanging"),
    "Kinesis down": _failing("kinesis", "down"),
    "Kinesis restarted": Fault(kinesis_restarted),
    "intake killed": Fault(intake_killed),
    "object store throttled": _failing("objects", "throttled", 0.5),
    "object store errors": _failing("objects", "errors", 0.5),
    "object store hangs": _failing("objects", "hanging"),
    "object store down": _failing("objects", "down"),
    # over before the next one strikes: no TaskManager could start on a full disk
    "disk of the TaskManager full": Fault(_full("taskmanager")),
    WAREHOUSE_FULL: Fault(_full("warehouse"), lasts=True),
}
"""By the word of the scoreboard."""


def strike(target: Target, names: Sequence[str]) -> None:
    """All of these faults, each upon the one before: while that lasts, or as soon as it has struck."""
    with ThreadPoolExecutor() as pool:
        lasting = []
        for name in names:
            fault = FAULTS[name]
            if fault.lasts:
                lasting.append(pool.submit(fault.strike, target))
                time.sleep(target.rng.uniform(1, 4))
            else:
                fault.strike(target)
        for one in lasting:
            one.result()


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
