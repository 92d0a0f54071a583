"""What the end-to-end tests do to a running stack: kill its TaskManager."""

from lab.stack.local import Stack
from lab.stack.patience import wait_until

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
    wait_until(lambda: stack.flink.failures(job) > before, 120, lambda: "the job has not noticed the kill")
    stack.flink.wait_until_running(job)
