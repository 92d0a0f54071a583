"""`amplitude-bridge put`: a record of one's own on the stream, and how to see what becomes of it."""

import hashlib
import shlex
from pathlib import Path

import click

from ops.cli.terminal import config_option, echo_fields, example
from settings import load
from stores.stream import RECORD_BYTES_MAX, Stream
from udfs import kpl


@click.command(epilog=example("put record.json"))
@config_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def put(config: Path, file: str) -> None:
    """Put FILE on the stream as one record, byte for byte; `-` is the standard input.

    Prints SHARD:SEQUENCE, where the record stands, and the commands that tell what becomes of it.
    """
    stream = Stream(load(config).stream_address)
    with click.open_file(file, "rb") as source:
        data = source.read(RECORD_BYTES_MAX + 1)
    handle = ":".join(stream.put_one(kpl.partition_key(data) or hashlib.sha256(data).hexdigest(), data))
    click.echo(handle)
    given = f"--config {shlex.quote(str(config))}"
    commands = (
        ("what it must become", f"explain-record {given} --registry {shlex.quote(file)}"),
        ("what became of it", f"record {given} {handle}"),
        ("counts of its project", f"diagnose {given} PROJECT_ID --since 1h"),
    )
    echo_fields([(what, f"amplitude-bridge {command}") for what, command in commands])
    click.echo("Rows become visible with the next checkpoint: 5 s with `make run`, 30 s as shipped.")
