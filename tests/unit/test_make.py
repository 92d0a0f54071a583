"""`make test`: a stage that fails does not keep the next ones from running."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_stage_runs_and_those_that_failed_are_named_at_the_end() -> None:
    command = ["make", "--silent", "test", "STAGES=no-such-stage help another"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "soak" in done.stdout  # of `help`, behind a stage that failed
    assert done.stdout.splitlines()[-1] == "FAILED: no-such-stage another"


def test_stages_that_pass_are_named_too() -> None:
    done = subprocess.run(
        ["make", "--silent", "test", "STAGES=help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "PASSED: help"
