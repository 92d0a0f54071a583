"""The tables are kept while the job writes, with kills of either; then the oldest kept checkpoint is restored."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lab.proofs import report, verdict
from lab.sample import generator
from lab.sample.feed import Feed
from lab.sample.registry import create
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import scaled, wait_until
from ops.answers.ledger import unbalanced
from ops.cli.main import commands
from ops.maintenance.keep import KEEP_LAST
from settings import Settings, load
from stores.history import history_of, kept
from stores.lake import EVENT_STORE, TABLES, Lake
from stores.stream import Stream
from tests.e2e.crash import OPTIONS, crash

RETAINED = {"execution.checkpointing.interval": "1s", "execution.checkpointing.num-retained": "200"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-maintain", Ports.free(), flink_options=OPTIONS | RETAINED, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    points = {"restore_points": [stack.checkpoints.uri], "snapshot_hours": 0}
    found = load(stack.write_settings(maintenance=points))
    create(found, shards=2)
    return found


def started(stack: Stack) -> subprocess.Popen[str]:
    """`maintain --yes` with a group of its own, so that its JVM can be killed with it."""
    program = Path(sys.executable).parent / "amplitude-bridge"
    command = [program, "maintain", "--config", stack.settings_path, "--yes", "--json"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it says of the events."""
    said, trouble = process.communicate(timeout=scaled(240))
    assert process.returncode == 0, trouble
    return next(one for one in json.loads(said) if one["table"] == EVENT_STORE)


def test_kept_beside_the_job_and_restored_from_the_oldest_that_is_kept(
    stack: Stack, settings: Settings, job: str
) -> None:
    made, lake = generator.generate(1_500, seed=7, spread=True), Lake(settings.lake_address)
    feed = Feed(Stream(settings.stream_address), made.puts, per_second=25)
    feed.start()
    stack.flink.wait_until_running(job)
    wait_until(lambda: len(history_of(lake, EVENT_STORE)) > 5, 120, lambda: stack.flink.root_cause(job))

    # the maintenance is killed with all that it has started, when its JVM has had time for the first tables
    killed = started(stack)
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(10)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    # so is the job while the next one works
    beside = started(stack)
    crash(stack, job)
    ended(beside)

    feed.finish(seconds=240)

    def wrong() -> list[object]:
        return [*verdict.differences(report.gather(settings), made.truth), *unbalanced(settings)]

    wait_until(lambda: not wrong(), 120, wrong, pause=1)
    wait_until(
        lambda: len(history_of(lake, EVENT_STORE)) > KEEP_LAST + 5, 120, lambda: stack.flink.root_cause(job)
    )
    stack.flink.cancel(job)

    # of all checkpoints the oldest that has events is kept by hand, and a few that Flink would have retained
    numbers = {int(file.parent.name[4:]): file for file in stack.folder.glob(f"checkpoints/{job}/chk-*/_metadata")}
    histories = [[one.checkpoint for one in history_of(lake, table) if one.job] for table in TABLES]
    began = max(min(found) for found in histories if found)
    sound = [number for number in sorted(numbers) if number >= began]
    oldest = sound[0]
    for number in (*sound[1:-3], *(numbers.keys() - set(sound))):
        numbers[number].unlink()
    events = ended(started(stack))
    assert events["before"]["small"] > events["after"]["small"] == 0
    assert events["after"]["data"] < events["before"]["data"]
    assert events["snapshots_to_expire"] > 0
    after = history_of(lake, EVENT_STORE)
    assert len(after) <= KEEP_LAST + 3
    # the oldest of all, unless fewer than the last ones have come since
    tagged = kept(lake, EVENT_STORE)[f"keep-{job[:6]}-{oldest}"]
    (needed,) = (one for one in after if one.snapshot == tagged)
    assert not wrong()

    path = str(numbers[oldest].parent)
    command = ["rewind", "--config", str(stack.settings_path), path, "--yes"]
    done = CliRunner().invoke(commands, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert lake.rows(EVENT_STORE).num_rows == needed.rows < after[0].rows
    restored = stack.submit(stack.settings_path, "-s", path)
    stack.flink.wait_until_running(restored, seconds=240)
    wait_until(lambda: not wrong(), 180, wrong, pause=1)
