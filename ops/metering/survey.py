"""What `usage watch` looks at beside alerts, in a thread of its own: both read the lake, which may take long."""

import threading
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Final

from ops.answers.ledger import Residual, of_hour
from ops.answers.silence import silent, usual_silence
from ops.metering.looks import Look, go_round, log
from ops.metering.metrics import Metrics
from settings import Settings
from stores.lake import Lake
from stores.projects import Projects
from stores.usage import UsageTable

_EVERY: Final = 300  # seconds
_HOURS: Final = 24
"""How many hours are looked after: what is older, `ledger check` compares."""
_SETTLED: Final = timedelta(hours=1)
"""How long an hour must be over: the job has counted and committed it by then, or the lag has raised its alarm."""


class Survey:
    """Compares each hour's counts with what is stored, and finds projects that have stopped sending."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.lake, self.metrics = Lake(settings.lake_address), metrics
        self.usage, self.projects = UsageTable(settings.tables_address), Projects(settings.tables_address)
        self._usual = lru_cache(10_000)(partial(usual_silence, self.lake))
        self._silent: set[int] = set()
        self._balanced: set[datetime] = set()
        self._differing: dict[datetime, set[Residual]] = {}
        """by hour that does not balance, that looked at longest ago first: its residuals then"""
        self._lasting: dict[datetime, set[Residual]] = {}
        """by hour: residuals that two looks have found alike"""

    def run(self, stopped: threading.Event) -> None:
        """Go round until stopped."""
        steps = {"ledger": self.check, "silence": self.find_silent}
        go_round([Look(name, step, _EVERY, self.metrics) for name, step in steps.items()], stopped)

    def check(self) -> None:
        """Compare one hour: a new one, else one that has not balanced yet. Raises StoreError.

        Rows and their counts become visible in different commits, so a residual counts once it is found twice.
        """
        hours = _hours(_now())
        for known in (self._differing, self._lasting):
            for hour in known.keys() - set(hours):
                del known[hour]
        self._balanced &= set(hours)
        new = [hour for hour in hours if hour not in self._balanced and hour not in self._differing]
        if due := new or list(self._differing):
            self._compare(due[0])
        self.metrics.residuals.set(sum(map(len, self._lasting.values())))
        self.metrics.hours_balanced.set(len(self._balanced))

    def _compare(self, hour: datetime) -> None:
        found = set(of_hour(self.lake, hour))
        before = self._differing.pop(hour, set())
        lasting = found & before
        for one in sorted(lasting - self._lasting.get(hour, set())):
            log.info("residual %s", one)
        self._lasting[hour] = lasting
        if found:
            self._differing[hour] = found
        else:
            self._balanced.add(hour)

    def find_silent(self) -> None:
        """Find the projects that have stopped sending. Raises StoreError."""
        now = _now()
        found = silent(self.projects.list(), self.usage.last_raised(), now, self._usual)
        for one in found:
            if one.project_id not in self._silent:
                words = "project %d (%s) has sent nothing since %s; its longest silence before was %s"
                log.info(words, one.project_id, one.notifly_project, f"{one.since:%Y-%m-%d %H:%M}", one.usual)
        self._silent = {one.project_id for one in found}
        self.metrics.silent_projects.set(len(found))


def _now() -> datetime:
    return datetime.now(UTC)


def _hours(now: datetime) -> list[datetime]:
    """The hours that are looked after, the newest first."""
    newest = (now - _SETTLED).replace(minute=0, second=0, microsecond=0)
    return [newest - timedelta(hours=back) for back in range(1, _HOURS + 1)]
