"""The newest checkpoint cannot be read: the tables go back to the one before, and the job goes on from there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.proofs import report, verdict
from lab.sample import generator
from lab.sample.feed import Feed
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import wait_until
from ops.answers.ledger import unbalanced
from ops.cli.main import commands
from ops.release.flink_cli import FlinkError
from settings import Settings
from stores.history import history_of
from stores.lake import EVENT_STORE, TABLES, Lake
from stores.stream import Stream
from tests.e2e.crash import OPTIONS


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-rewind", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


def rewind(stack: Stack, checkpoint: Path, *options: str) -> str:
    """What the command says, without the layout of its table."""
    command = ["rewind", "--config", str(stack.settings_path), str(checkpoint), *options]
    done = CliRunner().invoke(commands, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def rows(lake: Lake) -> dict[str, int]:
    return {table: lake.rows(table).num_rows for table in TABLES}


def wait_for_commits(stack: Stack, lake: Lake, job: str) -> None:
    """Return when the job has committed events of three checkpoints and more."""

    def commits() -> int:
        return len({one.checkpoint for one in history_of(lake, EVENT_STORE) if one.job == job})

    wait_until(lambda: commits() >= 3, 120, lambda: stack.flink.root_cause(job))


def test_the_job_goes_on_from_the_last_checkpoint_that_can_be_read(
    stack: Stack, settings: Settings, job: str
) -> None:
    made, lake = generator.generate(600, seed=5), Lake(settings.lake_address)
    feed = Feed(Stream(settings.stream_address), made.puts, per_second=20)
    feed.start()
    wait_for_commits(stack, lake, job)
    stack.flink.cancel(job)

    complete = {
        int(file.parent.name[4:]): file for file in stack.folder.glob(f"checkpoints/{job}/chk-*/_metadata")
    }
    committed = max(one.checkpoint for one in history_of(lake, EVENT_STORE) if one.job == job)
    # the newest may not be committed any more: then both are lost
    lost = {number: file for number, file in complete.items() if number >= committed}
    for file in lost.values():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    newest, sound = lost[max(lost)].parent, complete[max(complete.keys() - lost.keys())].parent

    with pytest.raises(FlinkError) as refused:
        stack.submit(stack.settings_path, "-s", str(newest))
    assert re.fullmatch(
        rf"flink run failed: jobs\.ingest: {newest} cannot be restored: [^\n]+", str(refused.value)
    )
    with pytest.raises(FlinkError, match=rf"{sound} is checkpoint \d+, and \d+ of job {job} is committed"):
        stack.submit(stack.settings_path, "-s", str(sound))

    before = rows(lake)
    said = rewind(stack, sound)
    assert said.endswith("nothing is done yet: stop the job, then repeat this with --yes")
    assert rows(lake) == before
    assert rewind(stack, sound, "--yes").endswith(f"done; now: flink run -s {sound} …")
    after = rows(lake)
    out = {table: int(count) for table, count in re.findall(r"│ (\w+) │[^│]+│ (\d+) │", said)}
    assert out[EVENT_STORE] > 0
    assert after == {table: count - out.get(table, 0) for table, count in before.items()}
    assert rewind(stack, sound) == (
        f"the tables hold nothing that came after checkpoint {sound.name[4:]} of job {job}"
    )

    restored = stack.submit(stack.settings_path, "-s", str(sound))
    stack.flink.wait_until_running(restored, seconds=240)
    feed.finish(seconds=120)

    def wrong() -> list[object]:
        return [*verdict.differences(report.gather(settings), made.truth), *unbalanced(settings)]

    wait_until(lambda: not wrong(), 120, wrong, pause=1)
