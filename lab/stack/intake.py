"""`amplitude-bridge intake` as a process of the local stack, of tests and of proofs."""

import os
import sys
from functools import partial
from pathlib import Path

from lab.stack.process import Process, answers
from settings import load


def start(config: Path, log: Path) -> Process:
    """Start it for these settings; returns once it answers."""
    program = Path(sys.executable).parent / "amplitude-bridge"
    env = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    process = Process("intake", [program, "intake", "--config", config], log, env)
    settings = load(config).intake
    process.wait_until(partial(answers, f"http://127.0.0.1:{settings.port}/health/live"), seconds=30)
    return process
