"""Puts a sample on the stream at a steady rate, in a thread, so that faults meet records in flight."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from lab.sample.generator import Put
from lab.stack.patience import scaled
from lab.stack.process import StackError

_AT_ONCE = 20


class Puts(Protocol):
    """Where records are put: a stream, or what stands before one."""

    def put(self, records: Iterable[tuple[str, bytes]]) -> Iterator[int]:
        """Put partition keys and data until all are acknowledged; yields how many more are."""


class Feed(threading.Thread):
    """Feeds until all puts are acknowledged; one that the stream refuses for the moment is put again."""

    def __init__(self, stream: Puts, puts: Sequence[Put], per_second: int) -> None:
        super().__init__(name="feed", daemon=True)
        self._putting = threading.Lock()
        self.stream, self.puts, self.per_second, self.done = stream, puts, per_second, 0

    def run(self) -> None:
        """Put one batch after the other."""
        for start in range(0, len(self.puts), _AT_ONCE):
            batch = self.puts[start : start + _AT_ONCE]
            with self._putting:
                self.done += sum(self.stream.put((put.partition_key, put.data) for put in batch))
            time.sleep(_AT_ONCE / self.per_second)

    def finish(self, seconds: float) -> None:
        """Return once all puts are acknowledged. Raises StackError when they are not."""
        self.join(scaled(seconds))
        if self.done < len(self.puts):
            msg = f"the feed has put {self.done} of {len(self.puts)} within {scaled(seconds):.0f} s"
            raise StackError(msg)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is put, and all that was is acknowledged, as long as the block lasts."""
        with self._putting:
            yield

    def wait_for(self, share: float) -> None:
        """Return once this share of the puts is acknowledged. Raises StackError when the feed has stopped."""
        while self.done < share * len(self.puts):
            if not self.is_alive():
                msg = f"the feed has stopped after {self.done} of {len(self.puts)} puts"
                raise StackError(msg)
            time.sleep(0.05)
