"""`amplitude-bridge put` on the Kinesis emulator: the record is there byte for byte, where the command says."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ops.cli.main import commands
from settings import load
from stores.errors import StoreError
from stores.stream import RECORD_BYTES_MAX, Stream

RECORD = b'\xff\x00{"app": 434735}\n'


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, kinesis_endpoint: str) -> Path:
    path = tmp_path_factory.mktemp("put") / "job.toml"
    path.write_text(
        f'[kinesis]\nstream = "put"\nendpoint = "{kinesis_endpoint}"\n'
        '[dynamodb]\n[lake]\ncatalog_uri = "sqlite:////nowhere/catalog.db"\nwarehouse = "file:///nowhere"\n'
    )
    Stream(load(path).stream_address).create(2)
    return path


def put(config: Path, file: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(commands, ["put", "--config", str(config), file], input=data)


def on_the_stream(config: Path) -> list[bytes]:
    return [record.data for record in Stream(load(config).stream_address).records()]


def test_a_file_is_put_as_it_is_and_its_place_is_said(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "my record.json"
    file.write_bytes(RECORD)
    done = put(config, str(file))
    assert done.exit_code == 0, done.output
    handle, *more = done.output.splitlines()
    assert re.fullmatch(r"shardId-\d{12}:\d+", handle)
    assert f"amplitude-bridge explain-record --config {config} --registry '{file}'" in more[0]
    assert f"amplitude-bridge record --config {config} {handle}" in more[1]
    assert on_the_stream(config).count(RECORD) == 1


def test_standard_input_is_a_record_too(config: Path) -> None:
    done = put(config, "-", b"from a pipe")
    assert done.exit_code == 0, done.output
    assert f"amplitude-bridge explain-record --config {config} --registry -" in done.output
    assert b"from a pipe" in on_the_stream(config)


def test_what_no_record_can_hold_is_refused_in_one_line_and_not_put(config: Path) -> None:
    before = len(on_the_stream(config))
    done = put(config, "-", bytes(RECORD_BYTES_MAX + 1))
    assert isinstance(done.exception, StoreError)
    assert str(done.exception) == "a record of more than 10,485,760 bytes: Kinesis takes none"
    assert len(on_the_stream(config)) == before
