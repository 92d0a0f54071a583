"""A stand-in of Amplitude as a process, for tests and benchmarks that start no stack."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lab.stack.process import Process, answers, free_port

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a stand-in that is told what to do in a folder, which is made."""
    folder.mkdir()
    port = free_port()
    command: list[str | Path] = [sys.executable, "-m", "lab.stack.amplitude", str(port), folder]
    process = Process("amplitude", command, folder.parent / "amplitude.log", os.environ, ROOT)
    try:
        process.wait_until(partial(answers, f"http://127.0.0.1:{port}/"), seconds=30)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
