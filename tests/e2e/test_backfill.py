"""A backfill and a replay as typed beside a running job: killed halfway, repeated, each row accounted for."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import scaled, wait_until
from ops.answers.ledger import unbalanced
from settings import Settings
from stores.lake import DEAD_LETTERS, EVENT_STORE, Condition, Lake
from stores.project import linked
from stores.projects import Projects
from stores.stream import Stream
from stores.usage import UsageTable
from tests.archives import archive
from tests.builders import Record, encode, event
from tests.e2e.crash import OPTIONS

PROJECT, LATE = 555001, 555002  # of no sample
ROWS, STREAMED, REPLAYED = 3_000, 200, 600
SHARE = "0.04"  # 80 records/s of two shards: the archive takes 35 s


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-backfill", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def history() -> list[Record]:
    """Events of three hours, of half a year ago, all of one user."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=180)
    times = (begin + timedelta(hours=3) * n / ROWS for n in range(ROWS))
    return [
        event(app=PROJECT, uuid=f"back-{n}", event_type="page", server_upload_time=f"{at:%Y-%m-%d %H:%M:%S.%f}")
        for n, at in enumerate(times)
    ]


def begun(stack: Stack, name: str, *options: str) -> "subprocess.Popen[str]":
    program = Path(sys.executable).parent / "amplitude-bridge"
    command = [program, name, "--config", stack.settings_path, *options]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_backfill_that_is_killed_goes_on_and_accounts_for_each_row(
    stack: Stack, settings: Settings, job: str, history: list[Record], tmp_path: Path
) -> None:
    Projects(settings.tables_address).add(linked(PROJECT, "backfilled-shop", datetime(2020, 1, 1)))  # noqa: DTZ001
    time.sleep(scaled(settings.ingest.projects_refresh_seconds + 1))
    streamed = [(str(n), encode(row)) for n, row in enumerate(history[:STREAMED])]
    assert sum(Stream(settings.stream_address).put(streamed)) == STREAMED
    stored = Lake(settings.lake_address)
    count = lambda: stored.rows(EVENT_STORE, ("uuid",)).num_rows  # noqa: E731
    wait_until(lambda: count() == STREAMED, 120, lambda: f"{count()} rows")
    backfill = ("backfill", str(PROJECT), str(archive(tmp_path / "export.zip", history)))

    first = begun(stack, *backfill, "--share", SHARE)
    table = UsageTable(settings.tables_address)
    received = lambda: sum(one.records for one in table.list() if one.project_id == PROJECT)  # noqa: E731
    wait_until(lambda: received() > STREAMED + 600, 90, lambda: f"{received()} records")
    second = begun(stack, *backfill)
    _, refusal = second.communicate(timeout=scaled(60))
    assert second.returncode == 2
    assert f"another backfill of project {PROJECT} is running" in refusal.splitlines()[-1]
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()

    again = begun(stack, *backfill, "--json")
    out, said = again.communicate(timeout=scaled(180))
    assert again.returncode == 0, (out, said)
    assert "going on behind" in said
    found = json.loads(out)
    assert found["residual"] == 0
    columns = ("amplitude", "stored", "duplicates", "rejected", "missing", "twice")
    sums = {name: sum(hour[name] for hour in found["hours"]) for name in columns}
    assert sums == {"amplitude": ROWS, "stored": ROWS - STREAMED, "duplicates": STREAMED} | dict.fromkeys(
        columns[3:], 0
    )
    assert [hour["amplitude"] for hour in found["hours"]] == [ROWS // 3] * 3

    uuids = stored.rows(EVENT_STORE, ("uuid",))["uuid"].to_pylist()
    assert sorted(uuids) == sorted(row["uuid"] for row in history)
    wait_until(lambda: not unbalanced(settings), 60, lambda: str(unbalanced(settings)))
    assert received() <= ROWS + 500  # of one call to Kinesis


@pytest.mark.usefixtures("job")
def test_what_was_erased_since_stays_out(
    stack: Stack, settings: Settings, history: list[Record], tmp_path: Path
) -> None:
    """Behind the test above."""
    erase = begun(stack, "erase", str(PROJECT), history[0]["user_id"], "--yes")
    _, trouble = erase.communicate(timeout=scaled(120))
    assert erase.returncode == 0, trouble
    again = begun(stack, "backfill", str(PROJECT), str(archive(tmp_path / "export.zip", history)), "--json")
    out, said = again.communicate(timeout=scaled(120))
    assert again.returncode == 0, (out, said)
    found = json.loads(out)
    assert (found["put"], found["residual"]) == (0, 0)
    assert sum(hour["erased"] for hour in found["hours"]) == ROWS
    mine = [Condition("project_id", "=", PROJECT)]
    assert Lake(settings.lake_address).rows(EVENT_STORE, ("uuid",), mine).num_rows == 0
    wait_until(lambda: not unbalanced(settings), 60, lambda: str(unbalanced(settings)))


def test_a_replay_that_is_killed_goes_on_and_says_what_came_of_it(
    stack: Stack, settings: Settings, job: str
) -> None:
    waiting = [(str(n), encode(event(app=LATE, uuid=f"late-{n}", event_type="page"))) for n in range(REPLAYED)]
    assert sum(Stream(settings.stream_address).put(waiting)) == REPLAYED
    lake, mine = Lake(settings.lake_address), [Condition("project_id", "=", LATE)]
    letters = lambda: lake.rows(DEAD_LETTERS, ("sequence",), mine).num_rows  # noqa: E731
    wait_until(lambda: letters() == REPLAYED, 120, lambda: f"{letters()} dead letters")
    Projects(settings.tables_address).add(linked(LATE, "late-shop", datetime(2020, 1, 1)))  # noqa: DTZ001

    replay = ("dead-letters", "replay", "--project", str(LATE), "--rate", "50")
    first = begun(stack, *replay)
    table = UsageTable(settings.tables_address)
    received = lambda: sum(one.records for one in table.list() if one.project_id == LATE)  # noqa: E731
    wait_until(lambda: received() >= 100, 90, lambda: f"{received()} records")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    out, said = begun(stack, *replay).communicate(timeout=scaled(120))
    assert "left out, replayed before" in out, (out, said)

    def stored() -> list[str]:
        return lake.rows(EVENT_STORE, ("uuid",), mine)["uuid"].to_pylist()  # type: ignore[no-any-return]

    wait_until(lambda: len(stored()) == REPLAYED, 120, lambda: f"{len(stored())} rows")
    assert len(set(stored())) == REPLAYED
    assert received() <= REPLAYED + 50  # of one call to Kinesis
    done = json.loads(begun(stack, "dead-letters", "replays", "--json").communicate(timeout=scaled(60))[0])
    assert [one["asked"]["asked"] for one in done] == [f"--project {LATE} --state waiting"] * 2
    assert sum(one["letters"] for one in done) == REPLAYED
    assert sum(one["outcomes"].get("event", 0) for one in done) >= REPLAYED - 50, done
    wait_until(lambda: not unbalanced(settings), 60, lambda: str(unbalanced(settings)))
