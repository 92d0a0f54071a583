"""`amplitude-bridge dead-letters replay`: put on the stream again what was not taken."""

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from ops.answers.replayed import State
from ops.cli.letter_filters import filtered, where
from ops.cli.terminal import example, waiting
from ops.maintenance.replay import Letters, put
from settings import load


@click.command("replay", epilog=example("dead-letters replay --reason unknown_project --project 434735 --dry-run"))
@click.option(
    "--rate", default=500, show_default=True, type=click.IntRange(1), help="Records per second, at most."
)
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@filtered
@click.pass_obj
def replay(config: Path, /, *, rate: int, dry_run: bool, state: State, **filters: Any) -> None:
    """Put dead letters on the stream again, once what kept them out is mended.

    Name a reason, a project, a kind or a time. Those whose payload is cut or not kept are left out, and those that
    were replayed, unless --state says otherwise. Nothing is stored twice, however often this is done: the job
    removes copies of what it has taken.
    """
    conditions = where(filters)
    if not conditions:
        msg = "name what to replay: --reason, --project, --kind, --since or --until"
        raise click.UsageError(msg)
    settings = load(config)
    letters = Letters(settings, conditions, state)
    with waiting("counting"):
        found = letters.tally()
    if found.records and not dry_run:
        if found.unregistered:
            seconds = settings.ingest.projects_refresh_seconds
            click.echo(f"waiting {seconds} s, until every worker knows the registry as it is now", err=True)
            time.sleep(seconds)
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("records put", total=found.records)
            for records in put(settings, letters, found, rate):
                progress.advance(task, records)
    click.echo(f"{'to be ' if dry_run else ''}put on the stream again: {found.records:,}")
    if found.settled:
        others = "replayed before (--state all takes them too)" if state == "waiting" else "not replayed yet"
        click.echo(f"left out, {others}: {found.settled:,}")
    if twins := sum(map(len, found.twins.values())):
        click.echo(f"put as one with another of the same bytes: {twins:,}")
    if found.unkept:
        click.echo(f"left out, the payload is cut or not kept: {found.unkept:,}")
