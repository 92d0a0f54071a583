"""What `usage watch` tells of itself over HTTP: /metrics is for Prometheus, /health says whether it is well.

Labels have bounds: the looks are few, and projects are the `TOP` of the month that have most events.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from heapq import nlargest
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, make_wsgi_app, start_http_server

from errors import OneLineError
from stores.project import Project
from stores.usage import Usage

TOP: Final = 20
"""Projects that have a series of their own."""
_FRESH: Final = 120
"""Seconds for which one look at alerts proves health: two slow attempts at a webhook, and a pause."""


class Metrics:
    """The metrics of one `usage watch`; docs/data.md says what each means."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        gauge, counter = partial(Gauge, registry=self.registry), partial(Counter, registry=self.registry)
        self.last_look = gauge("usage_watch_last_look_timestamp_seconds", "End of the last good look", ["look"])
        self.failed_looks = counter("usage_watch_failed_looks", "Looks that found a store away", ["look"])
        self.claimed = counter("usage_watch_thresholds_claimed", "Thresholds claimed")
        self.delivered = counter("usage_watch_notifications_delivered", "Notifications acknowledged")
        self.failed_attempts = counter("usage_watch_failed_attempts", "Notifications not acknowledged, by attempt")
        self.waiting = gauge("usage_watch_notifications_waiting", "Notifications not acknowledged yet")
        self.longest_wait = gauge("usage_watch_longest_wait_seconds", "Since the oldest of them was claimed")
        self.statements = counter("usage_watch_statements", "Projects' months closed")
        self.months_due = gauge("usage_watch_months_due", "Months that are due to close")
        self.overdue = gauge("usage_watch_month_overdue_seconds", "Since the first of them was due")
        self.residuals = gauge(
            "usage_watch_residuals", "Residuals of the last 24 hours that two looks found alike"
        )
        self.hours_balanced = gauge("usage_watch_hours_balanced", "Of these hours, those without any residual")
        self.silent_projects = gauge("usage_watch_silent_projects", "Projects that used to send and have stopped")
        of_project = ["project_id", "notifly_project"]
        self.events = gauge("usage_watch_project_events", "Distinct events of this month", of_project)
        self.limit = gauge("usage_watch_project_limit", "Limit of this month", of_project)
        self.trouble = "usage watch has not looked yet"
        self._looked = 0.0

    def begin(self, look: str) -> None:
        """Begin the series of a look: one that never succeeds must not be one that nobody misses."""
        self.failed_looks.labels(look)
        self.last_look.labels(look).set_to_current_time()

    def looked(self, look: str, trouble: str) -> None:
        """Note that a look has ended; `trouble` is empty when it was a good one."""
        if trouble:
            self.failed_looks.labels(look).inc()
        else:
            self.last_look.labels(look).set_to_current_time()
        if look == "alerts":
            self.trouble, self._looked = trouble, time.monotonic()

    def waits(self, claims: Iterable[str], now: datetime) -> None:
        """Note when the notifications that wait were claimed: ISO 8601."""
        ages = [(now - datetime.fromisoformat(one)).total_seconds() for one in claims]
        self.waiting.set(len(ages))
        self.longest_wait.set(max(ages, default=0.0))

    def used(self, totals: Iterable[Usage], projects: Mapping[int, Project], month: str) -> None:
        """Note the largest totals of a month, of registered projects, beside their limits."""
        of_month = (one for one in totals if one.month == month and one.project_id in projects)
        self.events.clear()
        self.limit.clear()
        for one in nlargest(TOP, of_month, key=lambda one: one.events):
            project = projects[one.project_id]
            named = (str(one.project_id), project.notifly_project)
            self.events.labels(*named).set(one.events)
            self.limit.labels(*named).set(project.terms_of(month).monthly_limit)

    def health(self) -> str:
        """Why alerts are not looked after; empty when they are."""
        age = time.monotonic() - self._looked
        if self._looked and age > _FRESH:
            return f"the last look at alerts was {age:.0f} s ago"
        return self.trouble


class Served(Protocol):
    """Metrics of a process, and whether it is well."""

    registry: CollectorRegistry

    def health(self) -> str:
        """Why it is not well; empty when it is."""


def serve(metrics: Served, host: str, port: int) -> None:
    """Answer at this address, in threads that end with the process. Raises OneLineError when it cannot be used."""
    try:
        server, _ = start_http_server(port, host, metrics.registry)
    except OSError as error:
        msg = f"{host}:{port} cannot be listened at: {error.strerror}; give another address by --listen"
        raise OneLineError(msg) from None
    server.set_app(_app(metrics))


def _app(metrics: Served) -> Callable[..., Any]:
    scrape = make_wsgi_app(metrics.registry)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] != "/health":
            return scrape(environ, start_response)
        trouble = metrics.health()
        status = "503 Service Unavailable" if trouble else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{trouble or 'ok'}\n".encode()]

    return answer
