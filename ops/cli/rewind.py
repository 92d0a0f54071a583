"""`amplitude-bridge rewind`: the tables as they were at an older checkpoint, so that it may be restored.

When the newest checkpoint cannot be read, the one before is the way on. But Iceberg skips what it has committed
already (jobs/restore.py): so what came after that checkpoint is taken out of the tables' history first, and the
restored job reads it from the stream again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from ops.cli.terminal import cell, config_option
from settings import load
from stores.checkpoints import checkpoint_id, job_of
from stores.errors import StoreError
from stores.history import history_of, set_back
from stores.lake import TABLES, Lake
from stores.rewind import Step, beyond, planned
from stores.stream import Stream

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@click.command()
@config_option
@click.argument("path", metavar="CHECKPOINT_PATH")
@click.option("--yes", is_flag=True, help="Do it; without this only what would be done is printed.")
def rewind(config: Path, path: str, *, yes: bool) -> None:
    """Set the tables back to CHECKPOINT_PATH, for `flink run -s` when no newer checkpoint can be read.

    Whatever was written to the tables since is taken out, by whomever. Stop the job first: this cannot see it.
    That the stream still has what comes again is judged by when the checkpoint was committed, not by how far the
    job was behind then.
    """
    settings = load(config)
    lake, job = Lake(settings.lake_address), job_of(path)
    if not job:
        msg = f"{path}: only a name that Flink gave says whose it is: JOB_ID/chk-N or savepoint-…"
        raise StoreError(msg)
    checkpoint = checkpoint_id(lake, path)
    histories = {table: history_of(lake, table) for table in TABLES}
    if "/savepoint-" in path and any(one.job.startswith(job) for one in beyond(histories, job, checkpoint)):
        # rows of such a savepoint are committed with the next checkpoint, and their manifests deleted
        msg = f"{path}: its job ran on, and Iceberg has deleted what its restore would read; take a chk-N"
        raise StoreError(msg)
    steps, at = planned(histories, job, checkpoint)
    if not steps:
        click.echo(f"the tables hold nothing that came after checkpoint {checkpoint} of job {job}")
        return
    stream = Stream(settings.stream_address)
    if (since := stream.retention(stream.now()).since) > at:
        name = settings.kinesis.stream
        msg = (
            f"{path} is of {at:{_TIME}}, and stream {name} has its records since {since:{_TIME}} only: "
            "not all that is taken out would come again"
        )
        raise StoreError(msg)
    _print(steps, checkpoint, job)
    if not yes:
        click.echo("nothing is done yet: stop the job, then repeat this with --yes")
        return
    for one in steps:
        set_back(lake, one.table, one.current, one.back_to)
    click.echo(f"done; now: flink run -s {path} …")


def _print(steps: Sequence[Step], checkpoint: int, job: str) -> None:
    table = Table("table", "back to", title=f"Checkpoint {checkpoint} of job {job}", title_justify="left")
    table.add_column("rows taken out", justify="right")
    for one in steps:
        back = f"{one.back_to.at:{_TIME}}" if one.back_to else "no rows"
        table.add_row(cell(one.table), cell(back), f"{one.rows:,}")
    Console().print(table)
