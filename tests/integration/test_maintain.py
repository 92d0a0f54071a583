"""`amplitude-bridge maintain` on real tables: fewer files, the same rows, and nothing gone that anybody needs."""

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyflink.datastream import StreamExecutionEnvironment

from jobs import gateway, maintain, sinks
from lab.stack.patience import scaled, wait_until
from ops.cli.main import commands
from ops.maintenance import keep, keeper, leader
from ops.maintenance.keep import Ages, Upkeep, upkeep
from ops.maintenance.keeper import maintainer
from settings import Settings
from stores import files
from stores.errors import StoreError
from stores.history import history_of, kept, set_back
from stores.lake import DEAD_LETTERS, EVENT_STORE, TABLES, Lake
from stores.leases import MAINTAIN, Lease, Leases
from tests.integration import cluster

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=1)
INSERTS = 4
_ROWS = """
    INSERT INTO {table} (project_id, name, server_upload_time, arrival, shard, sequence)
    SELECT 434735 + MOD(i, 3), 'e', TO_TIMESTAMP_LTZ(CASE MOD(i, 4) {days} END, 3), CURRENT_TIMESTAMP, 's',
      CAST(i AS STRING) FROM (VALUES {values}) AS v(i)
"""
_LETTERS = (
    "INSERT INTO {table} (kind, arrival) SELECT 'rejected', TO_TIMESTAMP_LTZ({at}, 3) FROM (VALUES (1)) AS v(i)"
)


def millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> cluster.Place:
    return cluster.place(tmp_path_factory.mktemp("maintain"), dynamodb_endpoint, [])


@pytest.fixture(scope="module")
def config(place: cluster.Place) -> Path:
    return settings_file(place)


def settings_file(place: cluster.Place) -> Path:
    dynamodb, lake = place.settings.dynamodb, place.settings.lake
    path = place.records.parent / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb.endpoint}"\ntable_prefix = "{dynamodb.table_prefix}"\n'
        f'[lake]\ncatalog_uri = "{lake.catalog_uri}"\nwarehouse = "{lake.warehouse}"\n'
    )
    return path


@pytest.fixture(scope="module")
def lake(place: cluster.Place) -> Iterator[Lake]:
    """Four commits of Flink's: events of yesterday, the day before, today, no day; dead letters of yesterday."""
    address = place.settings.lake_address
    env = StreamExecutionEnvironment.get_execution_environment()
    env._j_stream_execution_environment.getCheckpointConfig().disableCheckpointing()
    tables = gateway.table_environment(env)
    sinks.use_lake(tables, address)
    times = [str(millis(TODAY - DAY)), str(millis(TODAY - 2 * DAY)), str(millis(TODAY)), "CAST(NULL AS BIGINT)"]
    days = " ".join(f"WHEN {i} THEN {at}" for i, at in enumerate(times))
    for insert in range(INSERTS):
        values = ", ".join(f"(CAST({insert * 24 + i} AS BIGINT))" for i in range(24))
        given = {"table": sinks.lake_table(address, EVENT_STORE), "days": days, "values": values}
        tables.execute_sql(_ROWS.format(**given)).wait()
        letters = {"table": sinks.lake_table(address, DEAD_LETTERS), "at": millis(TODAY - DAY)}
        tables.execute_sql(_LETTERS.format(**letters)).wait()
    found = Lake(address)
    yield found
    found.catalog.close()


def fingerprint(lake: Lake, table: str) -> str:
    """One digest of all rows, whatever their order."""
    rows = sorted(json.dumps(row, default=str, sort_keys=True) for row in lake.rows(table).to_pylist())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def call(config: Path, *options: str) -> Result:
    return CliRunner().invoke(commands, ["maintain", "--config", str(config), *options], catch_exceptions=False)


def told(config: Path, *options: str) -> dict[str, dict[str, Any]]:
    done = call(config, *options, "--json")
    assert done.exit_code == 0, done.output
    return {one["table"]: one for one in json.loads(done.stdout)}


def test_days_that_are_over_come_into_one_file_per_partition_and_orphans_go(
    lake: Lake, config: Path, place: cluster.Place
) -> None:
    folder = Path(lake.table(EVENT_STORE).location().removeprefix("file://")) / "data"
    old, young = folder / "old.parquet", folder / "young.parquet"
    for orphan in (old, young):
        orphan.write_bytes(b"nobody's")
    os.utime(old, (1, 1))
    before = {table: fingerprint(lake, table) for table in TABLES}

    planned = told(config)
    assert list(planned) == list(TABLES)
    events = planned[EVENT_STORE]
    partitions = events["before"]["data"] // INSERTS  # three projects in as many buckets at most, on four "days"
    assert events["before"]["data"] == partitions * INSERTS
    assert events["before"]["small"] == events["before"]["data"] * 3 // 4
    assert (events["after"], events["orphans"], events["snapshots_to_expire"]) == (None, 1, 0)
    assert events["steps"] == ["compact", "orphans"]
    assert planned[DEAD_LETTERS]["steps"] == ["compact"]
    assert [one["steps"] for table, one in planned.items() if table not in {EVENT_STORE, DEAD_LETTERS}] == [[]] * 5
    assert call(config).stdout.endswith("nothing is done yet: repeat this with --yes\n")
    assert (files.files(lake, EVENT_STORE, TODAY.date()).small, old.exists()) == (events["before"]["small"], True)

    done = told(config, "--yes")
    assert done[EVENT_STORE]["before"] == events["before"]
    assert done[EVENT_STORE]["after"]["data"] == partitions * 3 // 4 + events["before"]["data"] // 4
    assert (done[EVENT_STORE]["after"]["small"], done[EVENT_STORE]["orphans_left"]) == (0, 0)
    assert (old.exists(), young.exists()) == (False, True)
    assert done[DEAD_LETTERS]["after"]["data"] == 1
    assert {table: fingerprint(lake, table) for table in TABLES} == before
    assert [one["steps"] for one in told(config, "--yes").values()] == [[]] * 7
    assert Leases(place.settings.tables_address, name=MAINTAIN).current()[0] is None


def test_a_second_one_is_refused_in_one_line(config: Path, place: cluster.Place) -> None:
    with (
        maintainer(place.settings),
        pytest.raises(StoreError, match=r"^\S+:\d+ maintains these tables, seen \d+ s ago: "),
    ):
        call(config, "--yes")


def test_one_that_is_gone_is_waited_for_until_its_lease_has_run_out(place: cluster.Place) -> None:
    leases = Leases(place.settings.tables_address, name=MAINTAIN)
    leases.create()
    leases.take(Lease("gone:1", "", -1), leases.current()[0])
    with maintainer(place.settings):
        held, _ = leases.current()
        assert held
        assert held.job_id == f"{os.uname().nodename}:{os.getpid()}"
    assert leases.current()[0] is None


def test_one_that_watches_stands_by_and_then_leads(
    place: cluster.Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "_STAND_BY", 0.2)
    caplog.set_level("INFO", "maintain")
    stopped, leases = threading.Event(), Leases(place.settings.tables_address, name=MAINTAIN)
    watching = threading.Thread(target=keeper.watch, args=(place.settings, lambda _: iter(()), stopped))
    with maintainer(place.settings):
        watching.start()
        wait_until(lambda: len(caplog.messages) == 1, 30, lambda: caplog.messages)
        time.sleep(1)
    wait_until(lambda: len(caplog.messages) == 2, 30, lambda: caplog.messages)
    assert re.fullmatch(r"\S+ maintains these tables, seen \d+ s ago: .+", caplog.messages[0])
    assert caplog.messages[1] == "leads"
    assert leases.current()[0] is not None
    stopped.set()
    watching.join(30)
    assert leases.current()[0] is None


def expiring(lake: Lake, keep_tags: dict[str, int], keep_last: int) -> Upkeep:
    """What the events need when all but the last snapshots are too old."""
    ages = Ages(datetime.now(UTC) + timedelta(seconds=1), timedelta(0), 3 * DAY)
    found = upkeep(lake, EVENT_STORE, history_of(lake, EVENT_STORE)[:keep_last], keep_tags, ages)
    return replace(found, care=found.care._replace(steps=("manifests", "expire"), keep_last=keep_last))


def test_a_snapshot_with_a_tag_outlives_the_expiry_and_the_table_goes_back_to_it(
    lake: Lake, place: cluster.Place
) -> None:
    commits = history_of(lake, EVENT_STORE)
    compaction, newest, needed = commits[0], commits[1], commits[2]
    assert [one.job != "" for one in commits] == [False] + [True] * INSERTS
    rows, before = needed.rows, fingerprint(lake, EVENT_STORE)
    plan = expiring(lake, {"keep-aaaaaa-3": needed.snapshot}, 2)
    assert plan.expire == 2

    def run(cares: Any) -> Iterator[tuple[str, str]]:
        for care in cares:
            for step in care.steps:
                maintain.take(lake.address, care, step)
                yield care.table, step

    settings = place.settings.model_copy()
    assert list(keep.carry_out(settings, [plan], run)) == [(EVENT_STORE, "manifests"), (EVENT_STORE, "expire")]
    after = history_of(lake, EVENT_STORE)
    # the rewrite of manifests, the compaction, and what the tag keeps
    assert [one.snapshot for one in after[1:]] == [compaction.snapshot, needed.snapshot]
    assert newest.snapshot not in {one.snapshot for one in after}
    assert files.files(lake, EVENT_STORE, TODAY.date()).manifests == 1
    assert fingerprint(lake, EVENT_STORE) == before

    set_back(lake, EVENT_STORE, after[0], after[-1])
    assert lake.rows(EVENT_STORE).num_rows == rows == 24 * (INSERTS - 1)
    assert kept(lake, EVENT_STORE) == {"keep-aaaaaa-3": needed.snapshot}
    keep.carry_out(settings, [replace(plan, keep={})], run)
    assert Settings.model_validate(settings)


LARGEST = 1_200_000
"""Bytes of the largest file that a process may write: more than what the JVM unpacks, less than the events."""
_NOISE = """
    INSERT INTO {table} (project_id, name, server_upload_time, arrival, event_properties)
    SELECT CAST(434735 AS BIGINT), 'e', TO_TIMESTAMP_LTZ({at}, 3), CURRENT_TIMESTAMP, CONCAT({noise})
    FROM (VALUES {values}) AS v(i)
"""


def test_a_full_disk_is_told_in_one_line_and_a_repeated_call_finishes(
    tmp_path: Path, dynamodb_endpoint: str
) -> None:
    place = cluster.place(tmp_path, dynamodb_endpoint, [])
    address = place.settings.lake_address
    tables = gateway.table_environment(StreamExecutionEnvironment.get_execution_environment())
    sinks.use_lake(tables, address)
    given = {"table": sinks.lake_table(address, EVENT_STORE), "at": millis(TODAY - DAY)}
    given |= {"noise": ", ".join(["UUID()"] * 170), "values": ", ".join(f"({i})" for i in range(200))}
    for _ in range(2):
        tables.execute_sql(_NOISE.format(**given)).wait()
    program = Path(sys.executable).parent / "amplitude-bridge"
    words = ["maintain", "--table", EVENT_STORE, "--yes", "--json", "--config", settings_file(place)]

    def typed(limit: int) -> subprocess.CompletedProcess[str]:
        limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        command = [program, *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=scaled(120), preexec_fn=limited
        )

    full = typed(LARGEST)
    assert (full.returncode, full.stdout) == (2, "")
    assert full.stderr.splitlines()[-1].endswith(
        f"table {address.namespace}.{EVENT_STORE}, compact: java.io.IOException: File too large: "
        "make room there, then repeat this"
    )
    done = typed(resource.RLIM_INFINITY)
    assert done.returncode == 0, done.stderr
    (events,) = json.loads(done.stdout)
    assert (events["before"]["data"], events["after"]["data"]) == (2, 1)
    assert Lake(address).rows(EVENT_STORE).num_rows == 400
