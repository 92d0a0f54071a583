"""Claims and delivers alerts, and closes months, round after round: what `amplitude-bridge usage watch` does.

It stands beside the job, not in it: neither a channel that hangs nor a wrong secret ever holds up a record. It can
be down, and several may run: thresholds are claimed once, and what is claimed stays until it is acknowledged.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from ops.metering.month_close import Closer
from ops.metering.webhook import Channel
from settings import Settings
from stores.alerts import Alerts, Notification
from stores.errors import StoreError
from stores.projects import Projects
from stores.usage import UsageTable

_AT_ONCE: Final = 8  # notifications on their way: one receiver, that may be slow
_LONGEST_PAUSE: Final = 60  # seconds between two attempts
_CLOSE_EVERY: Final = 60  # seconds
log = logging.getLogger("usage watch")


class Watch:
    """What is done in each round."""

    def __init__(self, settings: Settings, send: Channel) -> None:
        tables = settings.tables_address
        self.usage, self.projects, self.alerts = UsageTable(tables), Projects(tables), Alerts(tables)
        self.closer = Closer(settings)
        self.interval, self.send = settings.metering.watch_interval_seconds, send
        # nobody else sends what is on its way
        self.patience = timedelta(seconds=settings.metering.webhook_timeout_seconds * 3)
        self._waiting: dict[str, str] = {}
        self._trouble: dict[str, str] = {}

    def run(self, stopped: threading.Event) -> None:
        """Go round until stopped. A store that is away is logged once, and does not end it."""
        close_at = 0.0
        while not stopped.is_set():
            begin = time.monotonic()
            self._do("alerts", self.tell)
            if begin >= close_at:
                self._do("close of months", self.close)
                close_at = begin + _CLOSE_EVERY
            stopped.wait(max(0.0, begin + self.interval - time.monotonic()))

    def _do(self, what: str, step: Callable[[], None]) -> None:
        trouble = ""
        try:
            step()
        except StoreError as error:
            trouble = str(error)
        if trouble != self._trouble.get(what, ""):
            log.info("%s: %s", what, trouble or "all that is needed is there again")
        self._trouble[what] = trouble

    def tell(self) -> None:
        """Claim what totals have reached, then send what is due. Raises StoreError."""
        projects = {one.project_id: one for one in self.projects.list()}
        for total in self.usage.list():
            if (project := projects.get(total.project_id)) and (claim := self.alerts.claim(project, total)):
                log.info("%s reached: %s", _thresholds(claim), _what(claim))
        due = [one for one in self.alerts.pending() if one.retry_at <= _now().isoformat(timespec="milliseconds")]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="notification") as pool:
            for _ in pool.map(self._attempt, due):
                pass

    def _attempt(self, one: Notification) -> None:
        begun = self.alerts.begin(one, _now() + self.patience)
        if begun is None:
            return
        if error := self.send(begun):
            pause = min(_LONGEST_PAUSE, 2 ** min(begun.attempts, 6))
            self.alerts.failed(begun, error, _now() + timedelta(seconds=pause))
            log.info("%s not told, attempt %d: %s", one.notification_id, begun.attempts, error)
        else:
            self.alerts.acknowledge(begun)
            log.info("%s told, attempt %d", one.notification_id, begun.attempts)

    def close(self) -> None:
        """Close the months that are due. Raises StoreError."""
        closed = self.closer.look()
        for one in closed.statements:
            log.info("project %d, %s closed with %s events", one.project_id, one.month, f"{one.events:,}")
        for month, reason in closed.waiting.items():
            if self._waiting.get(month) != reason:
                log.info("%s is due to close and waits for %s", month, reason)
        self._waiting = closed.waiting


def _now() -> datetime:
    return datetime.now(UTC)


def _thresholds(one: Notification) -> str:
    return " and ".join(f"{threshold} %" for threshold in one.thresholds)


def _what(one: Notification) -> str:
    return f"project {one.project_id}, {one.month}, {one.events:,} events of {one.monthly_limit:,}"
