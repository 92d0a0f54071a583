"""`amplitude-bridge rewind`: set the tables back to an older checkpoint."""

from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from ops.cli.terminal import cell, config_option, example, waiting
from ops.maintenance.rewind import WayBack, carry_out, check_stream, undone, way_back
from settings import load
from stores.lake import Lake

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@click.command(epilog=example("rewind s3://BUCKET/checkpoints/JOB/chk-41 --yes"))
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
    lake = Lake(settings.lake_address)
    with waiting("reading the history of the tables"):
        found = way_back(lake, path)
    if not found.steps:
        click.echo(f"the tables hold nothing that came after checkpoint {found.checkpoint} of job {found.job}")
        return
    check_stream(settings, path, found)
    _print(found)
    for project_id, erasure in undone(lake, found):
        click.echo(
            f"project {project_id}: what erasure {erasure} took out is there again after this: repeat it then"
        )
    if not yes:
        click.echo("nothing is done yet: stop the job, then repeat this with --yes")
        return
    with waiting("setting the tables back"):
        carry_out(lake, found)
    click.echo(f"done; now: flink run -s {path} …")


def _print(found: WayBack) -> None:
    title = f"Checkpoint {found.checkpoint} of job {found.job}"
    table = Table("table", "back to", title=title, title_justify="left")
    table.add_column("rows taken out", justify="right")
    for one in found.steps:
        back = f"{one.back_to.at:{_TIME}}" if one.back_to else "no rows"
        table.add_row(cell(one.table), cell(back), f"{one.rows:,}")
    Console().print(table)
