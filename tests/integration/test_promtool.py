"""Prometheus' own tool reads deploy/monitoring, and shows each alert firing and not."""

import subprocess

import pytest

from lab.stack.prometheus import MONITORING, program

PROMTOOL = program("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="make monitoring-test installs promtool")
@pytest.mark.parametrize("what", ["check config prometheus.yml", "test rules alerts_test.yml"])
def test_promtool_agrees(what: str) -> None:
    done = subprocess.run(
        [str(PROMTOOL), *what.split()], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.count("FAILED")) == (0, 0), done.stdout + done.stderr
