"""What the end-to-end tests do to a running stack: feed it steadily, kill its TaskManager."""

import threading
import time
from collections.abc import Sequence

from ops.local import Stack
from ops.sample import Put
from stores.stream import Stream

OPTIONS = {
    "execution.checkpointing.interval": "3s",
    "heartbeat.interval": "2s",
    "heartbeat.timeout": "8s",
}


class Feed(threading.Thread):
    """Puts records at a steady rate, so that kills hit records in flight."""

    def __init__(self, stream: Stream, puts: Sequence[Put], per_second: int) -> None:
        super().__init__(daemon=True)
        self.stream, self.puts, self.per_second, self.done = stream, puts, per_second, 0

    def run(self) -> None:
        for start in range(0, len(self.puts), 20):
            batch = self.puts[start : start + 20]
            self.done += sum(self.stream.put((put.partition_key, put.data) for put in batch))
            time.sleep(20 / self.per_second)

    def wait_for(self, share: float) -> None:
        while self.done < share * len(self.puts):
            assert self.is_alive(), "the feed has stopped"
            time.sleep(0.1)


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
