"""`amplitude-bridge record`: what became of one record of the stream, told by where it stands."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from ops.answers.causes import minute
from ops.answers.dead_letters import Handle
from ops.answers.replayed import nothing, passed
from ops.answers.trace import Row, trace
from ops.cli.dead_letters import as_handle
from ops.cli.terminal import as_json_option, config_option, echo_fields, example, waiting
from ops.cli.times import since_option
from settings import load
from stores.lake import DEAD_LETTERS, Lake

_SHOWN: Final = 50  # rows of an envelope; --json has all
_WORDS: Final = {"project_id": "project", "user_id": "user", "sub_index": "part", "name": "", "detail": ""}


@click.command("record", epilog=example("record shardId-000000000000:49667 --since 24h"))
@config_option
@click.argument("handle", type=as_handle, metavar="HANDLE")
@since_option("Arrived from then on", default="7d", show_default=True)
@as_json_option
def record(config: Path, handle: Handle, *, since: datetime, as_json: bool) -> None:
    """Say what became of the record at HANDLE: SHARD:SEQUENCE, or SHARD:SEQUENCE:SUB_INDEX for a part of it.

    `put` prints a handle, and each row of the lake has one. Exit code 0: all of it is taken; 1: a part is not, or
    nothing is stored.
    """
    lake = Lake(load(config).lake_address)
    with waiting("looking for what became of it"):
        rows = trace(lake, *handle, since)
    lost = sum(row["table"] == DEAD_LETTERS for row in rows)
    if as_json:
        click.echo(json.dumps(rows, default=datetime.isoformat, indent=2))
    elif rows:
        echo_fields([(row["table"], _in_words(row)) for row in rows[:_SHOWN]])
        if len(rows) > _SHOWN:
            click.echo(f"and {len(rows) - _SHOWN:,} more: --json has all")
        why = "`amplitude-bridge dead-letters show HANDLE` says why"
        click.echo(f"{lost:,} of {len(rows):,} not taken: {why}" if lost else "all of it is taken")
    else:
        why = nothing(passed(lake, handle.shard, handle.sequence, since))
        click.echo(f"nothing of it is stored that arrived since {minute(since)}: {why}")
    if lost or not rows:
        sys.exit(1)


def _in_words(row: Row) -> str:
    shown = (name for name in row if name not in {"table", "arrival"})
    words = (f"{_WORDS.get(name, name)} {row[name]}".strip() for name in shown)
    return f"{', '.join(words)}, arrived {row['arrival']:%Y-%m-%d %H:%M:%S} UTC"
