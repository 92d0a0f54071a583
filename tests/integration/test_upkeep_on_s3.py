"""`maintain` and `erase` on a warehouse in an object store, moto's S3: by Iceberg's S3FileIO and by pyiceberg."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyarrow.fs import FileSelector
from pyflink.datastream import StreamExecutionEnvironment

from jobs import gateway, maintain, sinks
from lab.stack import emulators
from ops.cli.main import commands
from stores import files
from stores.care import Care, Step
from stores.history import history_of
from stores.lake import EVENT_STORE, Lake
from stores.project import linked
from tests.builders import PROJECT
from tests.integration import cluster

REGION = "ap-northeast-2"
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
_ROWS = """
    INSERT INTO {table} (project_id, user_id, name, server_upload_time, arrival, shard, sequence)
    SELECT CAST({project} AS BIGINT), u, 'e', TO_TIMESTAMP_LTZ({day}, 3), TO_TIMESTAMP_LTZ({day}, 3), 's', u
    FROM (VALUES ('mina'), ('jun')) AS v(u)
"""
INSERTS = 3


@pytest.fixture
def place(
    tmp_path: Path, dynamodb_endpoint: str, objects_port: int, monkeypatch: pytest.MonkeyPatch
) -> cluster.Place:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    at = {
        "warehouse": f"s3://{emulators.BUCKET}/{tmp_path.name}",
        "s3_endpoint": f"http://127.0.0.1:{objects_port}",
    }
    return cluster.place(
        tmp_path, dynamodb_endpoint, [linked(PROJECT, "acme", MIDNIGHT.replace(tzinfo=None))], lake=at
    )


@pytest.fixture
def lake(place: cluster.Place) -> Iterator[Lake]:
    """Three commits of Flink's, of a row of each of two users on a day that is over."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env._j_stream_execution_environment.getCheckpointConfig().disableCheckpointing()
    tables = gateway.table_environment(env)
    system: Any = gateway.get_gateway().jvm.java.lang.System
    for name in ("aws.accessKeyId", "aws.secretAccessKey"):
        system.setProperty(name, "local")
    address = place.settings.lake_address
    sinks.use_lake(tables, address)
    day = round((MIDNIGHT - timedelta(hours=12)).timestamp() * 1000)
    for _ in range(INSERTS):
        rows = _ROWS.format(table=sinks.lake_table(address, EVENT_STORE), project=PROJECT, day=day)
        tables.execute_sql(rows).wait()
    found = Lake(address)
    yield found
    found.catalog.close()


@pytest.fixture
def config(place: cluster.Place) -> Path:
    path = place.records.parent / "job.toml"
    dynamodb, lake = place.settings.dynamodb, place.settings.lake
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb.endpoint}"\ntable_prefix = "{dynamodb.table_prefix}"\n'
        f'[lake]\ncatalog_uri = "{lake.catalog_uri}"\nwarehouse = "{lake.warehouse}"\n'
        f's3_endpoint = "{lake.s3_endpoint}"\n'
    )
    return path


def says(config: Path, command: str, *words: str) -> str:
    done = CliRunner().invoke(commands, [command, "--config", str(config), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def users(lake: Lake) -> list[str]:
    found: list[str] = lake.rows(EVENT_STORE, ("user_id",))["user_id"].to_pylist()
    return sorted(found)


def stored(lake: Lake) -> list[str]:
    """The data files that are there, whoever refers to them."""
    there, folder = lake.place(f"{lake.table(EVENT_STORE).location()}/data")
    found = there.get_file_info(FileSelector(folder, recursive=True))
    return [one.path for one in found if one.is_file]


def test_files_are_merged_a_user_goes_and_then_the_bytes(lake: Lake, config: Path) -> None:
    (planned,) = json.loads(says(config, "maintain", "--table", EVENT_STORE, "--json"))
    assert (planned["before"]["data"], planned["before"]["small"], planned["steps"]) == (3, 3, ["compact"])
    (done,) = json.loads(says(config, "maintain", "--table", EVENT_STORE, "--yes", "--json"))
    assert (done["after"]["data"], users(lake)) == (1, ["jun"] * INSERTS + ["mina"] * INSERTS)

    says(config, "erase", str(PROJECT), "mina", "--yes")
    assert users(lake) == ["jun"] * INSERTS
    (receipt,) = json.loads(says(config, "erase", "show", str(PROJECT), "mina", "--json"))
    assert receipt["found"] == {EVENT_STORE: {"removed": INSERTS}}

    there, folder = lake.place(f"{lake.table(EVENT_STORE).location()}/data")
    with there.open_output_stream(f"{folder}/orphan.parquet") as orphan:
        orphan.write(b"nobody's")
    time.sleep(2)  # S3 tells the time in whole seconds
    before = datetime.now(UTC)
    assert len(files.orphans(lake, EVENT_STORE, before)) == 1
    assert len(stored(lake)) == INSERTS + 3  # what was merged, that, what is left of it, and the orphan
    for step in ("manifests", "expire", "orphans"):
        maintain.take(lake.address, care(step, before), step)
    assert (len(history_of(lake, EVENT_STORE)), len(stored(lake))) == (1, 1)
    assert users(lake) == ["jun"] * INSERTS


def care(step: Step, before: datetime) -> Care:
    """All that is older than a moment ago may go."""
    at = round(before.timestamp() * 1000)
    return Care(EVENT_STORE, (step,), "server_upload_time", f"{before:%Y-%m-%d}T00:00:00+00:00", at, 1, at)
