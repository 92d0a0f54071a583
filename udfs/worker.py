"""What a Python worker does for itself, because Flink 1.20 does not: it ends in time, and keeps nobody waiting."""

import os
import select
import sys
import threading
from pathlib import Path
from typing import Final

import __main__

_WORKER: Final = "pyflink.fn_execution.beam.beam_boot"
_FLINKS: Final = 1
"""seconds for which PyFlink keeps results back (beam_stream_fast.pyx), unless they are 10 MB"""
_OURS: Final = 0.03


def end_with_taskmanager() -> None:
    """Watch the shell and the TaskManager of this worker from now on; either's end is its own.

    Flink starts a worker behind a shell and ends that shell alone (`pyflink-udf-runner.sh`). A worker that hangs
    is then left behind beside its successor for as long as the machine runs; one whose TaskManager was killed
    lives on until its channels break.

    Does nothing in a process that is no worker (a mini cluster runs them as threads of the client), nor where the
    system has no pidfd: Flink's images are Linux, which has.
    """
    spec = getattr(__main__, "__spec__", None)
    if spec is None or spec.name != _WORKER or not hasattr(os, "pidfd_open"):
        return
    if not any(thread.name == _WORKER for thread in threading.enumerate()):
        threading.Thread(target=_watch, name=_WORKER, daemon=True).start()


def answer_soon() -> None:
    """Let results go to the JVM every 30 ms from now on.

    As PyFlink does it, the JVM gets the rows of some six batches at once, and Python waits while they are worked
    off. It has no setting for that; for each stream of results one of its threads says when.
    """
    for thread in threading.enumerate():
        # by its name: where it is imported from loads Beam, which is there in a worker alone
        if type(thread).__name__ == "PeriodicThread" and thread._interval == _FLINKS:  # type: ignore[attr-defined]
            thread._interval = _OURS  # type: ignore[attr-defined]


def end_bundles_at_once() -> None:
    """Let a bundle end as soon as its last row is done from now on.

    Beam samples what a bundle's time goes to, in a thread that sleeps for up to a fifth of it, and the end of a
    bundle waits for that thread. Flink reads nothing of what it finds.
    """
    if beam := sys.modules.get("apache_beam.runners.worker.statesampler"):
        beam.StateSampler.run = lambda _: None


def _watch() -> None:
    either = select.poll()
    try:
        shell = os.getppid()
        for pid in (shell, _parent(shell)):
            either.register(os.pidfd_open(pid), select.POLLIN)
    except OSError:  # gone already
        os._exit(1)
    either.poll()
    # no tidying up: whatever this worker held, Flink counts it as lost
    os._exit(1)


def _parent(pid: int) -> int:
    """The parent of a process. Raises OSError when it is gone."""
    # behind the command's name, which may hold blanks: state, parent
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
