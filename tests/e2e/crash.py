"""What the end-to-end tests do to a running stack: kill its TaskManager."""

import time

from ops.local import Stack

OPTIONS = {
    "execution.checkpointing.interval": "3s",
    "heartbeat.interval": "2s",
    "heartbeat.timeout": "8s",
}


def crash(stack: Stack, job: str) -> None:
    """Kill the TaskManager without warning, start another, wait until the job has noticed and runs again."""
    before = stack.flink.failures(job)
    stack.kill_taskmanager()
    stack.start_taskmanager()
    deadline = time.monotonic() + 120
    while stack.flink.failures(job) == before:
        assert time.monotonic() < deadline, "the job has not noticed that its TaskManager is gone"
        time.sleep(0.2)
    stack.flink.wait_until_running(job)
