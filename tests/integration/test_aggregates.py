"""What the connector drops of KPL aggregates, found on the Kinesis emulator and put there again."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.answers import ledger
from ops.answers.aggregates import missing
from ops.cli.main import commands
from settings import load
from stores.stream import Stream
from tests.kpl import aggregate_of

HASHES = 2**128
FOREIGN = aggregate_of(["k0", "k2"], [(0, None, b"one"), (0, None, b"two"), (1, None, b"three")])
UNDEFINED = aggregate_of(["k0"], [(0, None, b"four"), (0, 0, b"five"), (0, None, b"six")], ["undefined"])
WHOLE = aggregate_of(["k0"], [(0, None, b"seven"), (0, None, b"eight")])
OTHER = "record 2 belongs to another shard, by its key 'k2'"
NO_KEY = "record 1 names no partition key or hash key that is there"


@pytest.fixture
def config(tmp_path: Path, kinesis_endpoint: str) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[kinesis]\nstream = "{tmp_path.name}"\nendpoint = "{kinesis_endpoint}"\n'
        '[dynamodb]\n[lake]\ncatalog_uri = "sqlite:////nowhere/catalog.db"\nwarehouse = "file:///nowhere"\n'
    )
    Stream(load(path).stream_address).create(3)
    return path


def recovered(config: Path, *options: str) -> str:
    done = CliRunner().invoke(commands, ["ledger", "--config", str(config), "recover", *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_what_the_connector_drops_is_named_and_put_on_the_stream_again_once(config: Path) -> None:
    stream = Stream(load(config).stream_address)
    places = [stream.put_one("k0", data) for data in (FOREIGN, UNDEFINED, WHOLE, b"five")]
    found = [":".join(place) for place in places]
    # five stands on the stream by itself too, and of the whole one nothing is missing
    lines = (
        f"{found[0]}: 3 of 3 records dropped by the connector: {OTHER}\n"
        f"{found[1]}: 1 of 3 records dropped by the connector: {NO_KEY}\n"
    )
    assert [str(one) for one in missing(stream)] == lines.splitlines()
    assert ledger.of_stream(stream.records()).total() == 1 + 2 + 1  # four; seven and eight; five
    assert recovered(config, "--dry-run") == f"{lines}to be put on the stream again: 4\n"
    assert recovered(config) == f"{lines}put on the stream again: 4\n"
    assert recovered(config) == "put on the stream again: 0\n"
    alone = sorted(one.data for one in stream.records() if len(one.data) < 9)
    assert alone == [b"five", b"one", b"six", b"three", b"two"]
    assert ledger.of_stream(stream.records()).total() == 4 + 4


def test_an_aggregate_that_was_dropped_in_an_aggregate_is_put_where_it_belongs(config: Path) -> None:
    stream = Stream(load(config).stream_address)
    stream.put_one("k0", aggregate_of(["k0", "k2"], [(1, None, aggregate_of(["k2"], [(0, None, b"inner")]))]))
    assert recovered(config).endswith("put on the stream again: 1\n")
    assert missing(stream) == []
