"""How long to wait: seconds of a machine with nothing else to do, and more of one that is busy."""

import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

Answer = TypeVar("Answer")

_MOST: Final = 10
"""A deadline is put off to ten times its seconds at most: what never comes must fail some day."""


def slowness() -> float:
    """How often a process that wants to run waits for its turn here: load per core, from 1 to `_MOST`."""
    return min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), _MOST)


def scaled(seconds: float) -> float:
    """As many seconds as this much work may take now; for calls that want a number."""
    return seconds * slowness()


class Deadline:
    """So many seconds from now; those in which the machine is busy count for less."""

    def __init__(self, seconds: float) -> None:
        self.begin = self._seen = self._resumed = time.monotonic()
        self._left = seconds

    @property
    def left(self) -> float:
        """Seconds until it is over, if the machine is no busier until then; 0 when it is over."""
        now = time.monotonic()
        self._left -= (now - self._seen) / slowness()
        self._seen = now
        return max(0.0, self._left)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.left == 0

    @property
    def elapsed(self) -> float:
        """Seconds by the clock since it was set."""
        return time.monotonic() - self.begin

    def pause(self, least: float) -> None:
        """Wait before the next look: `least` seconds, and as long as this look has taken.

        What a look costs is taken from what is waited for: it is to have at least half of the machine's time.
        """
        time.sleep(max(least, time.monotonic() - self._resumed))
        self._resumed = time.monotonic()


def wait_until(
    reached: Callable[[], Answer], seconds: float, instead: Callable[[], object] = str, pause: float = 0.1
) -> Answer:
    """Ask again and again until the answer is true, and return it. TimeoutError tells what there is `instead`."""
    deadline = Deadline(seconds)
    while not (answer := reached()):
        if deadline.over:
            msg = f"not reached after {deadline.elapsed:.0f} s: {instead()}"
            raise TimeoutError(msg)
        deadline.pause(pause)
    return answer
