"""Who maintains the lake's tables: one process at a time, by a lease; and the process that does so day by day."""

import logging
import os
import re
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Final

from errors import OneLineError
from ops.maintenance.keep import Run, carry_out, done, planned
from settings import Settings
from stores.errors import StoreError
from stores.leases import MAINTAIN, Lease, LeaseLostError, Leases

_VALID: Final = 60  # seconds
_STAND_BY: Final = 15  # seconds
log = logging.getLogger("maintain")


class Leader:
    """The claim to maintain the tables: one process at a time has it, and renews it as long as it lives."""

    def __init__(self, settings: Settings) -> None:
        self.leases = Leases(settings.tables_address, name=MAINTAIN)
        self.lease = Lease(f"{socket.gethostname()}:{os.getpid()}", "", _VALID)
        self.lost = threading.Event()
        self._left = threading.Event()

    def __enter__(self) -> "Leader":
        """Take the lease. Raises StoreError in one line when another process has it."""
        self.leases.create()
        held, now = self.leases.current()
        free = held is None or held.left(now) < timedelta(0) or _killed(held)
        if not (free and self.leases.take(self.lease, held)):
            holder, ago = (held.job_id, round(held.idle(now).total_seconds())) if held else ("another process", 0)
            msg = (
                f"{holder} maintains these tables, seen {ago} s ago: wait until it is done; "
                f"if it is gone, its claim ends {_VALID} s after its last sign"
            )
            raise StoreError(msg)
        threading.Thread(target=self._renew, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        with suppress(StoreError):  # it runs out by itself
            self.leases.release(self.lease.job_id)

    def _renew(self) -> None:
        # not fenced: two at once would only work in vain, because Iceberg lets no two replace the same files
        while not self._left.wait(_VALID / 4):
            with suppress(StoreError):
                try:
                    self.leases.renew(self.lease)
                except LeaseLostError:
                    self.lost.set()
                    return


def _killed(holder: Lease) -> bool:
    """Whether the holder was a process of this machine that is no more: its lease need not run out first."""
    host, _, pid = holder.job_id.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def watch(settings: Settings, run: Run, stopped: threading.Event) -> None:
    """Maintain all tables now and at each interval, as long as this process has the lease, until stopped."""
    trouble = ""
    while not stopped.is_set():
        try:
            with Leader(settings) as leader:
                trouble = ""
                log.info("leads")
                _lead(settings, run, leader, stopped)
        except OneLineError as error:
            # said once: of a process that stands by, the line is as long as the other one lives
            said = re.sub(r"\d+ s", "", str(error))
            if said != trouble:
                log.info("%s", error)
            trouble = said
        stopped.wait(_STAND_BY)


def _lead(settings: Settings, run: Run, leader: Leader, stopped: threading.Event) -> None:
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
