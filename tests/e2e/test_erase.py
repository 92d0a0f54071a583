"""A user erased as typed, while records come and the TaskManager dies: the job goes on, and nothing is off."""

import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from lab.proofs import verdict
from lab.sample import generator
from lab.sample.feed import Feed
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import scaled, wait_until
from settings import Settings
from stores.history import history_of
from stores.lake import EVENT_STORE, Lake
from stores.stream import Stream
from stores.usage import UsageTable
from tests.e2e.crash import OPTIONS, crash


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-erase", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


def bridge(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    command = [".venv/bin/amplitude-bridge", "--config", str(stack.settings_path), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=scaled(180), check=False)


def busiest(lake: Lake) -> tuple[int, str]:
    """Project and id of the user with most rows."""
    rows = lake.rows(EVENT_STORE, ("project_id", "user_id")).to_pylist()
    (found, _), *_ = Counter((row["project_id"], row["user_id"]) for row in rows if row["user_id"]).most_common(1)
    return found


def owned(lake: Lake, project_id: int, user_id: str) -> int:
    rows = lake.rows(EVENT_STORE, ("project_id", "user_id")).to_pylist()
    return sum((row["project_id"], row["user_id"]) == (project_id, user_id) for row in rows)


def test_a_user_is_erased_while_records_come_and_the_job_dies(stack: Stack, settings: Settings, job: str) -> None:
    made, lake = generator.generate(900, seed=7), Lake(settings.lake_address)
    feed = Feed(Stream(settings.stream_address), made.puts, per_second=20)
    feed.start()
    wait_until(lambda: lake.rows(EVENT_STORE, ("shard",)).num_rows > 200, 120, lambda: "no rows", pause=1)
    project_id, user_id = busiest(lake)

    done = bridge(stack, "erase", str(project_id), user_id, "--yes")
    assert done.returncode == 0, done.stderr
    # back to a checkpoint of before or of beside the erasure
    crash(stack, job)
    assert any(one.attempt for one in history_of(lake, EVENT_STORE))
    feed.finish(seconds=240)
    assert verdict.residuals(settings) == []

    # a job that starts from the newest checkpoint finds its commits below the exchange
    stack.flink.cancel(job)
    newest = max(
        stack.folder.glob(f"checkpoints/{job}/chk-*/_metadata"), key=lambda file: int(file.parent.name[4:])
    ).parent
    restored = stack.submit(stack.settings_path, "-s", str(newest))
    stack.flink.wait_until_running(restored, seconds=240)

    again = bridge(stack, "erase", str(project_id), user_id, "--yes")
    assert again.returncode == 0, again.stderr
    assert owned(lake, project_id, user_id) == 0
    stream = bridge(stack, "ledger", "check", "--stream")
    assert stream.stdout.endswith("residual 0\n"), stream.stdout
    totals = {(one.project_id, one.month): one.events for one in UsageTable(settings.tables_address).list()}
    assert {key: n for key, n in totals.items() if n} == made.truth.usage
