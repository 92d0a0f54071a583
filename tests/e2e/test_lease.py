"""One ingest job at a time: what follows a stop, a crash or a take-over starts; test_submit has the refusal."""

import time
from collections.abc import Iterator

import pytest

from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline
from settings import Settings
from stores.leases import Leases
from stores.stream import Stream
from tests.e2e.crash import OPTIONS

SLOTS = {"taskmanager.numberOfTaskSlots": "2"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-lease", Ports.free(), flink_options=OPTIONS | SLOTS, brief=True) as running:
        yield running


def holder(settings: Settings) -> str:
    held, _ = Leases(settings.tables_address).current()
    assert held
    return held.job_id


def test_one_job_at_a_time(stack: Stack, settings: Settings, job: str) -> None:
    savepoint = stack.flink.stop(job)
    restored = stack.submit(stack.settings_path, "-s", savepoint)
    stack.flink.wait_until_running(restored)
    assert holder(settings) == restored

    over = stack.submit(stack.settings_path, program_args=["--take-over"])
    stack.flink.wait_until_running(over)
    stream = Stream(settings.stream_address)
    deadline = Deadline(60)
    while "has lost its lease" not in (cause := stack.flink.root_cause(restored)):
        assert not deadline.over, cause
        assert list(stream.put([("key", b"{}")])) == [1]  # it notices where there is something to write
        time.sleep(1)
    assert f"job {restored} has lost its lease on these tables to job {over}" in cause
    stack.flink.cancel(restored)

    # without high availability its jobs end with the JobManager, and the next one knows nothing of them
    stack.kill_jobmanager()
    stack.start_jobmanager()
    deadline = Deadline(settings.lease_seconds + 60)
    again = stack.submit(stack.settings_path)
    assert not deadline.over
    assert holder(settings) == again
    stack.flink.cancel(again)
    last = stack.submit(stack.settings_path)
    assert holder(settings) == last
