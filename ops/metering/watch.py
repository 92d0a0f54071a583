"""Claims and delivers alerts, and closes months, round after round: what `amplitude-bridge usage watch` does.

It stands beside the job, not in it: neither a channel that hangs nor a wrong secret ever holds up a record. It can
be down, and several may run: thresholds are claimed once, and what is claimed stays until it is acknowledged.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from ops.answers.month import closes_at
from ops.metering.looks import Look, go_round, log
from ops.metering.metrics import Metrics
from ops.metering.month_close import Closer
from ops.metering.webhook import Channel
from settings import Settings
from stores.alerts import Alerts, Notification
from stores.destinations import Destinations
from stores.projects import Projects
from stores.usage import UsageTable

_AT_ONCE: Final = 8  # notifications on their way: one receiver, that may be slow
_LONGEST_PAUSE: Final = 60  # seconds between two attempts
_CLOSE_EVERY: Final = 60  # seconds


class Watch:
    """What is done in each round."""

    def __init__(self, settings: Settings, send: Channel, metrics: Metrics) -> None:
        tables = settings.tables_address
        self.usage, self.projects, self.alerts = UsageTable(tables), Projects(tables), Alerts(tables)
        self.destinations = Destinations(tables)
        self.closer, self.metrics = Closer(settings), metrics
        self.interval, self.send = settings.metering.watch_interval_seconds, send
        # nobody else sends what is on its way
        self.patience = timedelta(seconds=settings.metering.webhook_timeout_seconds * 3)
        self._waiting: dict[str, str] = {}
        self._untold: dict[str, str] = {}
        """by destination's state: why it was not told"""

    def run(self, stopped: threading.Event) -> None:
        """Go round until stopped."""
        alerts = Look("alerts", self.tell, self.interval, self.metrics)
        states = Look("destinations", self.tell_states, self.interval, self.metrics)
        go_round([alerts, states, Look("close", self.close, _CLOSE_EVERY, self.metrics)], stopped)

    def tell(self) -> None:
        """Claim what totals have reached, then send what is due. Raises StoreError."""
        projects = {one.project_id: one for one in self.projects.list()}
        totals = self.usage.list()
        for total in totals:
            if (project := projects.get(total.project_id)) and (claim := self.alerts.claim(project, total)):
                log.info("%s reached: %s", _thresholds(claim), _what(claim))
                self.metrics.claimed.inc(len(claim.thresholds))
        self.metrics.used(totals, projects, f"{_now():%Y-%m}")
        pending = self.alerts.pending()
        due = [one for one in pending if one.retry_at <= _now().isoformat(timespec="milliseconds")]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="notification") as pool:
            told = {one.notification_id for one in pool.map(self._attempt, due) if one}
        self.metrics.waits((one.claimed_at for one in pending if one.notification_id not in told), _now())

    def _attempt(self, one: Notification) -> Notification | None:
        """Send it once, unless another does so; returns it when it is acknowledged."""
        begun = self.alerts.begin(one, _now() + self.patience)
        if begun is None:
            return None
        if error := self.send(begun):
            pause = min(_LONGEST_PAUSE, 2 ** min(begun.attempts, 6))
            self.alerts.failed(begun, error, _now() + timedelta(seconds=pause))
            log.info("%s not told, attempt %d: %s", one.notification_id, begun.attempts, error)
            self.metrics.failed_attempts.inc()
            return None
        self.alerts.acknowledge(begun)
        log.info("%s told, attempt %d", one.notification_id, begun.attempts)
        self.metrics.delivered.inc()
        return begun

    def tell_states(self) -> None:
        """Tell of each state of a destination that is news, again until it is acknowledged. Raises StoreError.

        Of several watches each may tell of it, with one id.
        """
        due = [one for one in self.destinations.list() if one.is_news]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="state") as pool:
            errors = list(pool.map(self.send, due))
        for one, error in zip(due, errors, strict=True):
            if not error:
                self.destinations.tell(one)
                log.info("told that the destination of project %d is %s: %s", one.project_id, one.state, one.words)
            elif self._untold.get(one.notification_id) != error:
                log.info("not told that the destination of project %d is %s: %s", one.project_id, one.state, error)
        self._untold = {one.notification_id: error for one, error in zip(due, errors, strict=True) if error}

    def close(self) -> None:
        """Close the months that are due. Raises StoreError."""
        closed = self.closer.look()
        for one in closed.statements:
            log.info("project %d, %s closed with %s events", one.project_id, one.month, f"{one.events:,}")
        for month, reason in closed.waiting.items():
            if self._waiting.get(month) != reason:
                log.info("%s is due to close and waits for %s", month, reason)
        self._waiting = closed.waiting
        ages = [(_now() - closes_at(month, self.closer.after)).total_seconds() for month in closed.waiting]
        self.metrics.statements.inc(len(closed.statements))
        self.metrics.months_due.set(len(ages))
        self.metrics.overdue.set(max(ages, default=0.0))


def _now() -> datetime:
    return datetime.now(UTC)


def _thresholds(one: Notification) -> str:
    return " and ".join(f"{threshold} %" for threshold in one.thresholds)


def _what(one: Notification) -> str:
    return f"project {one.project_id}, {one.month}, {one.events:,} events of {one.monthly_limit:,}"
