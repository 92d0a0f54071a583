"""One process of the embedded stack: started with its output in a log file, waited for, ended for good."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from errors import OneLineError
from lab.stack.patience import Deadline, scaled
from ops.release.flink_cli import useful_line

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class StackError(OneLineError):
    """The stack, or a job on it, cannot go on; the message is one line that names what and where."""


class Process:
    """A process that leads its own session, so that a signal to its group reaches all it has started.

    That matters for a TaskManager: its Python workers outlive a `kill -9` of the JVM, and are found again by
    the group only. Ctrl-C in a terminal does not reach the group; if the starting Python thread
    dies, Linux sends the process a TERM (elsewhere it stays behind, and the taken port tells).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  one system call, no lock that a thread could hold
            )

    @property
    def pid(self) -> int:
        """The process itself: Flink's start scripts exec Java, so this is the JVM."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process itself is alive; what it started may outlive it."""
        return self._process.poll() is None

    def others(self) -> list[int]:
        """The living processes that it has started, and theirs: of a TaskManager the Python workers."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            try:
                if pid != self.pid and os.getsid(pid) == self.pid:
                    found.append(pid)
            except ProcessLookupError:
                continue
        return found

    def terminate(self) -> None:
        """Ask it to end; `stop` waits for that."""
        if self.running:
            self._process.terminate()

    def kill(self) -> None:
        """End the process itself as the kernel would, without warning, then what it leaves behind."""
        if self.running:
            self._process.kill()
        self._end_group()

    def wait(self, seconds: float) -> int:
        """Its exit status once it has ended by itself; subprocess.TimeoutExpired when it does not."""
        return self._process.wait(scaled(seconds))

    def stop(self, patience: float) -> None:
        """Ask it to end, wait `patience` seconds, then kill whatever is left of it and its group."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._end_group()

    def _end_group(self) -> None:
        deadline = Deadline(5)
        while _signal_group(self.pid, signal.SIGKILL) and not deadline.over:
            self._process.poll()
            time.sleep(0.02)
        self._process.wait(scaled(5))

    def check(self) -> None:
        """Raise StackError with the reason in its log when it has ended."""
        if not self.running:
            msg = f"{self.name} ended with code {self._process.returncode}: {self._reason()}"
            raise StackError(msg)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return once `ready` says so; raise StackError when the process ends before, or the time is over."""
        deadline = Deadline(seconds)
        while not ready():
            self.check()
            if deadline.over:
                msg = f"{self.name} is not ready after {deadline.elapsed:.0f} s: {self._reason()}"
                raise StackError(msg)
            time.sleep(0.1)

    def _reason(self) -> str:
        line = useful_line(self.log.read_text(encoding="utf-8", errors="replace"))
        return f"{line or 'it said nothing'} (log: {self.log})"


def answers(url: str) -> bool:
    """Whether an HTTP server answers there, with whatever status."""
    try:
        urllib.request.urlopen(url, timeout=scaled(2)).close()  # noqa: S310  our own http://127.0.0.1 addresses
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of 127.0.0.1, nor on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(leader: int, number: int) -> bool:
    """Signal a process group; False when nobody is left in it."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    return True
