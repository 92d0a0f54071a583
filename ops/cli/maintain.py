"""`amplitude-bridge maintain`: keep the lake's tables in few files, and without what nobody needs any more."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ops.cli.submit import flink
from ops.cli.terminal import ForFlink, as_json_option, cell, config_option, example, watching_with, wide
from ops.maintenance.keep import Run, Upkeep, carry_out, done, planned
from ops.maintenance.keeper import log, maintainer, watch
from ops.release import job_zip
from ops.release.flink_cli import FlinkError, follow
from settings import load
from stores.care import MARK, Care
from stores.lake import EXPORT_TABLES, TABLES

_HERE: Final = ("-t", "local", "-D", "metrics.reporters=none")
"""Flink's options with which its jobs run in a JVM of this command, which no cluster has to have room for."""

_THOROUGH: Final = {"FLINK_ENV_JAVA_OPTS_CLI": "-XX:+UseParallelGC"}
"""In place of env.java.opts.client, which spares a client of seconds the compiler that this one needs."""


@click.command(
    cls=ForFlink,
    epilog=example(
        "maintain --config job.toml",
        "maintain --config job.toml --yes --table events",
        "maintain --config job.toml --yes --erased",
        "maintain --config job.toml --watch",
        "maintain --config job.toml --yes -- -m HOST:8081 -p 2",
    ),
)
@config_option
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Choice((*TABLES, *EXPORT_TABLES)),
    help="This one; the default is all.",
)
@click.option("--yes", is_flag=True, help="Do it; without this only what would be done is printed.")
@click.option("--erased", is_flag=True, help="Let snapshots that hold erased rows expire at once, however young.")
@click.option(
    "--watch", "watching", is_flag=True, help="Do it, now and at each maintenance.interval_hours, until stopped."
)
@as_json_option
@click.argument("flink_options", nargs=-1, type=click.UNPROCESSED)
def maintain(  # noqa: PLR0913  by name
    config: Path,
    tables: Sequence[str],
    flink_options: Sequence[str],
    *,
    yes: bool,
    erased: bool,
    watching: bool,
    as_json: bool,
) -> None:
    """Compact days that are over, let snapshots expire, remove orphans, rewrite manifests: by Iceberg itself.

    The ingest job may run. What checkpoints and savepoints in maintenance.restore_points need is kept. One process
    at a time: a second one is refused, or stands by with --watch. It works in a JVM of its own, or on the cluster
    that options of `flink run` name behind `--`: `maintain --yes -- -m HOST:8081 -p 2`.
    """
    if watching and (tables or as_json or erased):
        msg = (
            "--watch maintains all tables by their ages and prints its log: leave out --table, --erased and --json"
        )
        raise click.UsageError(msg)
    settings = load(config)
    run = _flink(config, flink_options)
    if watching:
        _watch(config, run)
        return
    plan_of = partial(planned, settings, tables, erased_at_once=erased)
    if not yes:
        plan = plan_of()
        _show(plan, as_json=as_json)
        if not as_json:
            click.echo("nothing is done yet: repeat this with --yes")
        return
    with maintainer(settings):
        plan = plan_of()  # a refusal comes with it, and is one line
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("maintaining", total=sum(len(one.care.steps) for one in plan))
            for table, step in carry_out(settings, plan, run):
                progress.update(task, advance=1, description=f"{table}: {step}")
        found = done(settings, plan)
    _show(found, as_json=as_json)
    if stuck := ", ".join(one.table for one in found if one.stuck):
        msg = f"nothing has changed in {stuck}: Flink's log (FLINK_LOG_DIR, else build/flink/log) says why"
        raise FlinkError(msg)


def _flink(config: Path, options: Sequence[str]) -> Run:
    """What has Flink take the steps."""

    def run(cares: Sequence[Care]) -> Iterator[tuple[str, str]]:
        home = flink()
        python = ("-pyexec", sys.executable, "-pyclientexec", sys.executable, "-pyfs", str(job_zip.build()))
        program = ("-pym", "jobs.maintain", "--config", str(config.resolve()), "--cares", json.dumps(cares))
        command = [str(home / "bin" / "flink"), "run", *python, *(options or _HERE), *program]
        for line in follow(command, {**_THOROUGH, **os.environ}, home):
            if line.startswith(MARK):
                table, step = line.removeprefix(MARK).split()
                yield table, step

    return run


def _watch(config: Path, run: Run) -> None:
    stopped = watching_with(log)
    watch(load(config), run, stopped)


def _show(found: Sequence[Upkeep], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=2))
        return
    Console().print(_table(found))
    for one in found:
        if one.holding:
            count = _change(one.holding, one.holding_left if one.after else None)
            click.echo(f"{one.table}: {count} snapshots hold rows that were erased since")
    if held := sorted({name for one in found for name in one.held_for}):
        click.echo(
            f"kept with erased rows in them: {', '.join(held)}: "
            "delete these checkpoints and savepoints, and repeat this, if the rows are to go sooner"
        )


def _table(found: Sequence[Upkeep]) -> Table:
    numbers = ("data files", "too small", "manifests", "snapshots", "to expire", "orphans", "kept")
    table = wide(["table"], numbers)
    for one in found:
        after = one.after
        table.add_row(
            cell(one.table),
            _change(one.before.data, after and after.data),
            _change(one.before.small, after and after.small),
            _change(one.before.manifests, after and after.manifests),
            _change(one.before.snapshots, after and after.snapshots),
            f"{one.expire:,}",
            _change(one.orphans, one.orphans_left if after else None),
            f"{len(set(one.keep.values())):,}",
        )
    return table


def _change(before: int, after: int | None) -> str:
    return f"{before:,}" if after in {None, before} else f"{before:,} → {after:,}"


def _plain(one: Upkeep) -> dict[str, object]:
    return {
        "table": one.table,
        "steps": one.care.steps,
        "before": one.before._asdict(),
        "after": one.after and one.after._asdict(),
        "snapshots_to_expire": one.expire,
        "orphans": one.orphans,
        "orphans_left": one.orphans_left if one.after else None,
        "kept": one.keep,
        "hold_erased": one.holding,
        "hold_erased_left": one.holding_left if one.after else None,
        "kept_with_erased": one.held_for,
    }
