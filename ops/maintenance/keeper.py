"""Who maintains the lake's tables: one process at a time, by a lease; and the process that does so day by day."""

import logging
import threading
import time
from functools import partial

from ops.maintenance.keep import Run, carry_out, done, planned
from ops.maintenance.leader import Leader, stand_by
from settings import Settings
from stores.leases import MAINTAIN

log = logging.getLogger("maintain")


def maintainer(settings: Settings) -> Leader:
    """The claim to maintain the tables."""
    return Leader(settings, MAINTAIN, "maintains these tables")


def watch(settings: Settings, run: Run, stopped: threading.Event) -> None:
    """Maintain all tables now and at each interval, as long as this process has the lease, until stopped."""
    stand_by(partial(maintainer, settings), partial(_lead, settings, run, stopped), log, stopped)


def _lead(settings: Settings, run: Run, stopped: threading.Event, leader: Leader) -> None:
    while not (stopped.is_set() or leader.lost.is_set()):
        begin = time.monotonic()
        plan = planned(settings)
        for table, step in carry_out(settings, plan, run):
            log.info("%s: %s done", table, step)
            if stopped.is_set():
                return
        for one in done(settings, plan):
            if one.stuck:
                log.info("%s: nothing has changed, Flink's log says why", one.table)
            elif one.after:
                log.info("%s: %d data files, were %d", one.table, one.after.data, one.before.data)
        until = begin + settings.maintenance.interval_hours * 3600
        while time.monotonic() < until and not (leader.lost.is_set() or stopped.wait(1)):
            pass
