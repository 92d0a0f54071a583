"""What processes cost, out of /proc: CPU seconds, and the peak of resident memory.

A TaskManager leads a session that its Python workers share. They come and go with the job, and what a worker
has used is gone with it, so a thread looks at all of them twice a second and keeps the last it saw.
"""

import contextlib
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from lab.stack.machine import java

INTERVAL_SECONDS = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
"""Of the kernel's clock a second."""


class Cost(NamedTuple):
    """CPU seconds within the window, peak resident memory in MB."""

    cpu_seconds: float
    peak_mb: float


def total(costs: Iterable[Cost]) -> Cost:
    """Of several together; their peaks need not have been at one time."""
    cpu, peak = zip((0.0, 0.0), *costs, strict=True)
    return Cost(sum(cpu), sum(peak))


class Sampler:
    """Watches one session from entering to leaving; then `leader` and `others` say what it has cost."""

    def __init__(self, leader_pid: int) -> None:
        self._leader = leader_pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="bench-sampler", daemon=True)
        self._before: dict[int, float] = {}
        self._costs: dict[int, Cost] = {}

    def __enter__(self) -> Self:
        reset_peak(self._leader)
        self._before = {pid: cpu for pid in session(self._leader) if (cpu := cpu_seconds(pid)) is not None}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    @property
    def leader(self) -> Cost:
        """The leading process: a TaskManager's JVM."""
        return self._costs.get(self._leader, Cost(0, 0))

    @property
    def others(self) -> Cost:
        """All Python processes of the session together: the workers."""
        return total(cost for pid, cost in self._costs.items() if pid != self._leader)

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self._look()

    def _look(self) -> None:
        for pid in session(self._leader):
            if pid != self._leader and not _is_python(pid):
                continue  # a JVM's fork on its way to `chmod` still looks as large as the JVM
            cpu, peak = cpu_seconds(pid), peak_mb(pid)
            if cpu is not None and peak is not None:
                self._costs[pid] = Cost(cpu - self._before.get(pid, 0.0), peak)


def reset_peak(pid: int) -> None:
    """Let the peak start anew, at what is resident now; where the kernel refuses, it is that of the whole life."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak_mb(pid: int) -> float | None:
    """VmHWM of a process in MB; None when it is gone."""
    return _status_mb(pid, "VmHWM")


def resident_mb(pid: int) -> float | None:
    """VmRSS of a process in MB; None when it is gone."""
    return _status_mb(pid, "VmRSS")


def _status_mb(pid: int, field: str) -> float | None:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
    return None


def machine() -> str:
    """CPU model, cores, memory, the versions that matter and what else runs, in one line."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(": ")[1] for line in cpuinfo.splitlines() if line.startswith("model name")), "CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    version = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True).stderr
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GB; Linux {platform.release()}; "
        f"Python {sys.version.split()[0]}; {version.splitlines()[0]}; load at start {os.getloadavg()[0]:.1f}"
    )


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (stat := _stat(pid)) and int(stat[3]) == leader]


def _is_python(pid: int) -> bool:
    try:
        return b"pyflink" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def cpu_seconds(pid: int) -> float | None:
    """What a process has used, user and system; None when it is gone."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / TICKS if stat else None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat behind the command's name, which may hold blanks; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
