"""The JobManager killed in mid-stream, with high availability: it resumes its job by itself, nothing is lost."""

import sys
import time
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from lab.proofs import verdict
from lab.proofs.rest import at_rest, balanced
from lab.sample import generator
from lab.sample.feed import Feed
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline, wait_until
from lab.stack.process import StackError
from ops.answers.ledger import unbalanced
from settings import Settings
from stores.leases import Leases
from stores.stream import Stream
from tests.e2e.crash import OPTIONS

RECORDS, RECORDS_PER_SECOND = 1_200, 60
SECONDS_TO_RECOVER = 60


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-ha", Ports.free(), flink_options=OPTIONS, brief=True, high_availability=True) as running:
        yield running


def test_a_killed_jobmanager_resumes_its_job_from_the_latest_checkpoint(
    stack: Stack, settings: Settings, job: str, record_property: Callable[[str, object], None]
) -> None:
    made = generator.generate(RECORDS, seed=23)
    feed = Feed(Stream(settings.stream_address), made.puts, RECORDS_PER_SECOND)
    feed.start()
    feed.wait_for(0.2)
    wait_for_checkpoint(stack, job)
    feed.wait_for(0.4)
    before = stack.pids()

    deadline = Deadline(SECONDS_TO_RECOVER)
    stack.kill_jobmanager()
    assert feed.is_alive()
    stack.start_jobmanager()
    wait_until_it_runs_again(stack, job, deadline)
    seconds = round(deadline.elapsed, 1)
    record_property("recovery_seconds", seconds)
    sys.stdout.write(f"JobManager killed, all tasks RUNNING again after {seconds} s\n")

    assert [one["jid"] for one in stack.rest("/jobs/overview")["jobs"]] == [job]
    restored = stack.rest(f"/jobs/{job}/checkpoints")["latest"]["restored"]
    assert (restored["id"] > 0, restored["is_savepoint"]) == (True, False)
    after = stack.pids()
    assert after.pop("jobmanager") != before.pop("jobmanager")
    assert after == before, "another process than the JobManager was started again"
    held, _ = Leases(settings.tables_address).current()
    assert held
    assert held.job_id == job
    assert stack.flink.taskmanagers() == {"taskmanager-1": 1}

    feed.finish(seconds=120)
    quiet = Console(quiet=True)
    found = at_rest(quiet, settings, stack, job, made.truth.outcomes)
    assert verdict.differences(found, made.truth) == []
    balanced(quiet, settings)
    assert unbalanced(settings) == []


def wait_for_checkpoint(stack: Stack, job: str) -> None:
    """Return when one more is complete: that one has records of the feed."""
    before = stack.checkpoints.latest(job)
    wait_until(lambda: stack.checkpoints.latest(job) != before, 60, lambda: "no checkpoint is complete")


def wait_until_it_runs_again(stack: Stack, job: str, deadline: Deadline) -> None:
    """Return once all tasks run. Until a leader is elected and has found the job, REST knows neither."""
    while True:
        try:
            stack.flink.wait_until_running(job, seconds=deadline.left)
        except StackError:
            if deadline.over:
                raise
            time.sleep(0.2)
        else:
            return
