"""Several starters at once create the same tables, stream and bucket: each finds what another has made."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest

from jobs import sinks
from lab.stack import emulators
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.lake import TABLES, Lake
from stores.lake_address import LakeAddress
from stores.stream import Stream, StreamAddress
from stores.table import Table

STARTERS = 6


def at_once(start: Callable[[], object]) -> None:
    """Let all starters go at the same moment; raises what one of them raised."""
    gate = Barrier(STARTERS)

    def one() -> object:
        gate.wait()
        return start()

    with ThreadPoolExecutor(STARTERS) as pool:
        for started in [pool.submit(one) for _ in range(STARTERS)]:
            started.result()


def test_a_dynamodb_table(dynamodb_endpoint: str) -> None:
    address = TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{uuid4()}-")
    for name in "abcdefgh":
        at_once(lambda name=name: Table(address, name, {"key": "S"}).create())  # type: ignore[misc]
        described = address.client().describe_table(TableName=address.table(name))["Table"]
        assert (described["TableStatus"], described["ItemCount"]) == ("ACTIVE", 0)


def test_the_lake_from_its_catalog_to_its_columns(tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        address = LakeAddress(f"sqlite:///{folder}/c.db", f"file://{folder}/w", "amplitude", None, "eu-west-1")
        at_once(lambda address=address: sinks.create_tables(Lake(address)))  # type: ignore[misc]
        lake = Lake(address)
        columns = {table: lake.table(table).schema().column_names for table in TABLES}
        assert columns == {table: list(sinks.COLUMNS[table]) for table in TABLES}


def test_new_columns_of_a_lake_table(tmp_path: Path) -> None:
    address = LakeAddress(f"sqlite:///{tmp_path}/c.db", f"file://{tmp_path}/w", "amplitude", None, "eu-west-1")
    Lake(address).create("events", {"a": int}, [])
    at_once(lambda: Lake(address).create("events", {"a": int, "b": str}, []))
    assert Lake(address).table("events").schema().column_names == ["a", "b"]


def test_a_stream(kinesis_endpoint: str) -> None:
    address = StreamAddress(str(uuid4()), "ap-northeast-2", kinesis_endpoint)
    at_once(lambda: Stream(address).create(2))
    assert len(Stream(address).open_shards()) == 2


def test_a_bucket_of_the_local_object_store(objects_port: int) -> None:
    at_once(lambda: emulators.s3(objects_port, "ap-northeast-2").create_dir("at-once"))
    at_once(lambda: emulators.s3(objects_port, "ap-northeast-2").create_dir("at-once"))


def test_a_warehouse_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    lake = Lake(LakeAddress(f"sqlite:///{tmp_path}/c.db", "file:///proc/none", "amplitude", None, "eu-west-1"))
    with pytest.raises(StoreError, match=r"^warehouse file:///proc/none cannot be written: .+$"):
        lake.create("events", {"a": int}, [])
