"""The clock inside a rival: from the first record it reads to its last row durable, over its whole session.

lab.bench.engines starts each rival as the leader of a session, so a JVM that it has started counts as well.
"""

import json
import os
import sys
import time
from collections.abc import Mapping

from lab.bench.processes import cpu_seconds, peak_mb, reset_peak, session

RESULT = '{"seconds"'
"""How the line of JSON begins that `report` prints."""

Counts = Mapping[tuple[int, str], int]
"""Events stored by project and month, such as (434735, '2026-03')."""


class Meter:
    """Starts at the first record; `stop` says what the work has cost."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._cpu = 0.0

    def start(self) -> None:
        """The first record is read; later calls change nothing, so it may stand where every batch passes."""
        if self._began is None:
            for pid in session(os.getsid(0)):
                reset_peak(pid)
            self._cpu = _cpu()
            self._began = time.monotonic()

    def stop(self) -> dict[str, float]:
        """The last row is durable: wall and CPU seconds since `start`, peak memory of all processes in MB.

        Raises ValueError when nothing was read.
        """
        if self._began is None:
            msg = "no record was read"
            raise ValueError(msg)
        peaks = [peak_mb(pid) or 0.0 for pid in session(os.getsid(0))]
        return {
            "seconds": time.monotonic() - self._began,
            "cpu_seconds": _cpu() - self._cpu,
            "peak_mb": sum(peaks),
        }


def report(cost: Mapping[str, float], counts: Counts) -> None:
    """Tell lab.bench.engines, by one line of standard output."""
    rows = [[project, month, count] for (project, month), count in sorted(counts.items())]
    sys.stdout.write(json.dumps({**cost, "counts": rows}) + "\n")
    sys.stdout.flush()


def _cpu() -> float:
    return sum(cpu_seconds(pid) or 0.0 for pid in session(os.getsid(0)))
