"""One process at a time, by a lease that ends with its process."""

import logging
import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from errors import OneLineError
from settings import Settings
from stores.errors import StoreError
from stores.leases import Lease, LeaseLostError, Leases, killed

_VALID: Final = 60  # seconds
_STAND_BY: Final = 15  # seconds


class Leader:
    """A claim, such as to maintain the tables: one process at a time has it, and renews it as long as it lives."""

    def __init__(self, settings: Settings, name: str, does: str) -> None:
        self.leases, self._does = Leases(settings.tables_address, name=name), does
        self.lease = Lease(f"{socket.gethostname()}:{os.getpid()}", "", _VALID)
        self.lost = threading.Event()
        self._left = threading.Event()

    def __enter__(self) -> "Leader":
        """Take the lease. Raises StoreError in one line when another process has it."""
        self.leases.create()
        held, now = self.leases.current()
        free = held is None or held.left(now) < timedelta(0) or killed(held)
        if not (free and self.leases.take(self.lease, held)):
            holder, ago = (held.job_id, round(held.idle(now).total_seconds())) if held else ("another process", 0)
            msg = (
                f"{holder} {self._does}, seen {ago} s ago: wait until it is done; "
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


def stand_by(
    claim: Callable[[], Leader], lead: Callable[[Leader], None], log: logging.Logger, stopped: threading.Event
) -> None:
    """Lead whenever this process has the lease, until stopped; a store that is away ends that for a while."""
    trouble = ""
    while not stopped.is_set():
        try:
            with claim() as leader:
                trouble = ""
                log.info("leads")
                lead(leader)
        except OneLineError as error:
            # said once: of a process that stands by, the line is as long as the other one lives
            said = re.sub(r"\d+ s", "", str(error))
            if said != trouble:
                log.info("%s", error)
            trouble = said
        stopped.wait(_STAND_BY)
