"""Erasures as typed, while records come and the TaskManager dies: nothing is off, and then the bytes are gone."""

import json
import os
import re
import shutil
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lab.proofs import verdict
from lab.sample import generator
from lab.sample.feed import Feed
from lab.sample.registry import create
from lab.stack.amplitude.deletions import PATH
from lab.stack.amplitude.process import running
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import scaled, wait_until
from settings import Settings, load
from stores.history import history_of
from stores.lake import EVENT_STORE, TABLES, Condition, Lake
from stores.stream import Stream
from stores.usage import UsageTable
from tests.e2e.crash import OPTIONS, crash
from udfs.model import EVENT_PREFIX


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-erase", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    found = load(stack.write_settings(maintenance={"restore_points": [f"file://{stack.folder}/savepoints"]}))
    create(found, shards=2)
    return found


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


def of(project_id: int) -> list[Condition]:
    return [Condition("project_id", "=", project_id)]


def erases(stack: Stack, project_id: int, *words: str) -> None:
    done = bridge(stack, "erase", str(project_id), *words, "--yes")
    assert done.returncode == 0, done.stderr
    assert "done " in done.stdout
    assert "snapshots of before go with the first `maintain --yes`" in done.stdout.replace("\n", " ")


@contextmanager
def deletions(lake: Lake, folder: Path, user: str) -> Iterator[list[str]]:
    """Amplitude's list of deletions names the user by its own id."""
    (number,) = {
        row["amplitude_id"] for row in lake.rows(EVENT_STORE, where=[Condition("user_id", "=", user)]).to_pylist()
    }
    (folder / "keys").write_text("key:secret")
    job = {"day": f"{datetime.now(UTC):%Y-%m-%d}", "status": "done", "amplitude_ids": [{"amplitude_id": number}]}
    with running(folder / "amplitude") as url:
        (folder / "amplitude/pairs").write_text("key:secret")
        (folder / "amplitude/deletions.json").write_text(json.dumps([job]))
        yield ["--from-amplitude", "--keys", str(folder / "keys"), "--endpoint", f"{url}{PATH}"]


def empty_commits(lake: Lake) -> None:
    """Let the job commit at each checkpoint, also to tables that get no rows: otherwise it does at each tenth."""
    for table in TABLES:
        with lake.table(table).transaction() as change:
            change.set_properties({"flink.max-continuous-empty-commits": "1"})


def test_a_user_is_erased_while_records_come_and_the_job_dies(
    stack: Stack, settings: Settings, job: str, tmp_path: Path
) -> None:
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

    # an event goes while the job stands still: from its savepoint it finds its commits below the exchange
    savepoint = stack.flink.stop(job)
    empty_commits(lake)
    name = f"{lake.rows(EVENT_STORE, ('name',), of(project_id)).to_pylist()[0]['name']}"
    erases(stack, project_id, "--event", name.removeprefix(EVENT_PREFIX))
    restored = stack.submit(stack.settings_path, "-s", savepoint)
    stack.flink.wait_until_running(restored, seconds=240)
    erases(stack, project_id, user_id)
    other_project, other = busiest(lake)
    with deletions(lake, tmp_path, other) as options:
        erases(stack, other_project, *options)
    erases(stack, project_id, "--property", "user_properties.spent")

    rows = lake.rows(EVENT_STORE).to_pylist()
    assert not [row for row in rows if (row["project_id"], row["name"]) == (project_id, name)]
    assert not [row for row in rows if row["project_id"] == project_id and "spent" in row["user_properties"]]
    assert [row for row in rows if "spent" in (row["user_properties"] or "")]
    gone(stack, settings, restored, savepoint, {user_id, other})
    stream = bridge(stack, "ledger", "check", "--stream")
    assert stream.stdout.endswith("residual 0\n"), stream.stdout
    totals = {(one.project_id, one.month): one.events for one in UsageTable(settings.tables_address).list()}
    assert {key: n for key, n in totals.items() if n} == made.truth.usage


def gone(stack: Stack, settings: Settings, job: str, savepoint: str, users: set[str]) -> None:
    """Have the bytes go as the receipt says: once the job has gone on, and the savepoint of before is deleted."""
    lake, warehouse = Lake(settings.lake_address), stack.folder / "warehouse"
    assert users == held(warehouse, users)

    def commits(table: str) -> int:
        since = takewhile(lambda one: not one.attempt, history_of(lake, table))
        return sum(one.job != "" for one in since)

    wait_until(lambda: min(map(commits, TABLES)) >= 3, 120, lambda: stack.flink.root_cause(job))
    told = bridge(stack, "maintain", "--erased")
    assert f"kept with erased rows in them: keep-{savepoint.rpartition('savepoint-')[2][:6]}-" in told.stdout, told
    shutil.rmtree(savepoint.removeprefix("file:"))
    # what the killed TaskManager has left is an orphan by its age
    for file in warehouse.rglob("*"):
        os.utime(file, (1, 1))
    done = bridge(stack, "maintain", "--erased", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert {one["table"]: one["hold_erased_left"] or 0 for one in json.loads(done.stdout)} == dict.fromkeys(
        TABLES, 0
    )
    assert held(warehouse, users) == set()


def held(warehouse: Path, users: set[str]) -> set[str]:
    """Those of the users whose ids stand in any file of the warehouse, of what snapshot ever."""
    return {user for text in texts(warehouse) for user in users if user in text}


def texts(warehouse: Path) -> Iterator[str]:
    """What the files say: rows, bounds of columns in manifests, metadata."""
    for file in warehouse.rglob("*"):
        if file.suffix == ".parquet":
            yield str(pq.read_table(file).to_pylist())
        elif file.suffix == ".avro":
            yield str(inflated(file.read_bytes()))
        elif file.is_file():
            yield str(file.read_bytes())


def inflated(avro: bytes) -> bytes:
    """The blocks of an Avro file, each between two of its marks, behind two numbers."""
    _, *blocks, _ = avro.split(avro[-16:])
    return b"".join(zlib.decompress(re.sub(rb"^([\x80-\xff]*[\0-\x7f]){2}", b"", block), -15) for block in blocks)
