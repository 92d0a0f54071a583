"""`amplitude-bridge dead-letters replay`: what was not taken, put on the stream again for the job to judge anew.

One front door: the stream. The job removes copies, so a replay may be repeated; what is still not taken becomes a
dead letter once more.
"""

import time
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import Progress

from ops.dead_letters import filtered, where
from settings import load
from stores.lake import DEAD_LETTERS, Condition, Lake
from stores.stream import Stream

_COLUMNS = ("sequence", "sub_index", "payload", "payload_sha256")


class Kept(NamedTuple):
    """A dead letter's bytes under a partition key that spreads them."""

    partition_key: str
    payload: bytes


@click.command("replay")
@click.option(
    "--rate", default=500, show_default=True, type=click.IntRange(1), help="Records per second, at most."
)
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@filtered
@click.pass_obj
def replay(config: Path, /, *, rate: int, dry_run: bool, **filters: Any) -> None:
    """Put dead letters on the stream again, once what kept them out is mended.

    Name a reason, a project, a kind or a time. Those whose payload is cut or not kept are left out. Nothing counts
    twice, however often this is done: the job removes copies of what it has taken.
    """
    conditions = where(filters)
    if not conditions:
        msg = "name what to replay: --reason, --project, --kind, --since or --until"
        raise click.UsageError(msg)
    settings = load(config)
    lake = Lake(settings.lake_address)
    whole, left_out = count(lake, conditions)
    if not dry_run:
        _put(Stream(settings.stream_address), kept(lake, conditions), whole, rate)
    click.echo(f"{'to be ' if dry_run else ''}put on the stream again: {whole:,}")
    if left_out:
        click.echo(f"left out, because the payload is cut or not kept: {left_out:,}")


def count(lake: Lake, conditions: Sequence[Condition]) -> tuple[int, int]:
    """How many records can be replayed, and how many dead letters can not."""
    letters = sum(piece.num_rows for piece in lake.pieces(DEAD_LETTERS, ("sequence",), conditions))
    whole = list(_whole(lake, conditions))
    return len({digest for digest, _ in whole}), letters - len(whole)


def kept(lake: Lake, conditions: Sequence[Condition]) -> Iterator[Kept]:
    """The distinct payloads: an envelope that could not be read has a dead letter for each reason."""
    seen = set()
    for digest, one in _whole(lake, conditions):
        if digest not in seen:
            seen.add(digest)
            yield one


def _whole(lake: Lake, conditions: Sequence[Condition]) -> Iterator[tuple[bytes, Kept]]:
    for piece in lake.pieces(DEAD_LETTERS, _COLUMNS, conditions):
        for row in piece.to_pylist():
            payload = row["payload"]
            if payload and row["payload_sha256"] is None:
                digest = blake2b(payload, digest_size=16).digest()
                yield digest, Kept(f"{row['sequence'][-40:]}-{row['sub_index'] or 0}", payload)


def _put(stream: Stream, records: Iterator[Kept], total: int, rate: int) -> None:
    begin, done = time.monotonic(), 0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("records put", total=total)
        for acknowledged in stream.put(records):
            done += acknowledged
            progress.advance(task, acknowledged)
            time.sleep(max(0.0, begin + done / rate - time.monotonic()))
