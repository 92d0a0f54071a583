"""What is done again and again beside the job, and goes on when a store is away."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from ops.metering.metrics import Metrics
from stores.errors import StoreError

log = logging.getLogger("usage watch")


class Look:
    """A step that is taken every so many seconds. A store that is away is logged once, and does not end it."""

    def __init__(self, name: str, step: Callable[[], None], seconds: float, metrics: Metrics) -> None:
        self.name, self.step, self.seconds, self.metrics = name, step, seconds, metrics
        self.due = 0.0
        """by the monotonic clock"""
        self._trouble = ""
        metrics.begin(name)

    def take(self) -> None:
        """Take the step now. What it raises beside StoreError ends the caller."""
        begin, trouble = time.monotonic(), ""
        try:
            self.step()
        except StoreError as error:
            trouble = str(error)
        if trouble != self._trouble:
            log.info("%s: %s", self.name, trouble or "all that is needed is there again")
        self.due, self._trouble = begin + self.seconds, trouble
        self.metrics.looked(self.name, trouble)


def go_round(looks: Sequence[Look], stopped: threading.Event) -> None:
    """Take each look when it is due, one after the other, until stopped."""
    while not stopped.is_set():
        for look in looks:
            if look.due <= time.monotonic():
                look.take()
        stopped.wait(max(0.0, min(look.due for look in looks) - time.monotonic()))
