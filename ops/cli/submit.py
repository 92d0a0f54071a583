"""`amplitude-bridge submit`: a job to a Flink cluster. What stands in the way is one line, exit code 2.

`flink run` does the same with more to type, and hides the line above a Java stack trace. Settings, credentials,
stream and stores are looked at before a JVM starts.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ops.cli.terminal import ForFlink, config_option, example, waiting
from ops.release import flink_home, job_zip
from ops.release.flink_cli import FlinkError, call, submitted
from settings import Settings, load
from stores.lake import Lake
from stores.leases import EXPORT, INGEST, Leases
from stores.seal import Seal
from stores.stream import Stream

JOBS = (INGEST, EXPORT)
_SECONDS = 600
"""How long `flink run` may take: it waits for a lease of 90 s to run out, and for a cluster that is starting."""


@click.command(
    cls=ForFlink,
    epilog=example(
        "submit --config job.toml -- -p 2 -D execution.checkpointing.dir=s3://BUCKET/checkpoints",
        "submit --config job.toml -- -m HOST:8081 -s s3://BUCKET/savepoints/savepoint-…",
        "submit --config job.toml --job export",
    ),
)
@config_option
@click.option("--job", type=click.Choice(JOBS), default=JOBS[0], show_default=True, help="Which one.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting.")
@click.option("--take-over", is_flag=True, help="Whatever job holds the tables is gone.")
@click.option("--python", default=sys.executable, help="Python on the TaskManagers; the default is this one.")
@click.argument("flink_options", nargs=-1, type=click.UNPROCESSED)
def submit(  # noqa: PLR0913  one argument per option
    config: Path, job: str, overrides: Sequence[str], python: str, flink_options: Sequence[str], *, take_over: bool
) -> None:
    """Submit the ingest job, or the export job, to a Flink cluster; options of `flink run` stand after `--`.

    Flink is that of FLINK_HOME, else `flink` on the PATH, else build/flink, which is made of what `make setup` has
    installed.
    """
    check(load(config, overrides), job)
    home = flink()
    workers = ("-pyexec", python, "-pyclientexec", sys.executable, "-pyfs", str(job_zip.build()))
    program = ["--config", str(config.resolve()), *(part for one in overrides for part in ("--set", one))]
    options = (*workers, *flink_options, "-pym", f"jobs.{job}", *program, *(["--take-over"] if take_over else []))
    with waiting("flink run submits the job"):
        said = call([str(home / "bin" / "flink"), "run", "-d", *options], os.environ, home, _SECONDS)
    submitted(said)
    for line in said.splitlines():
        if line.startswith(f"jobs.{job}: "):
            click.echo(line.removeprefix(f"jobs.{job}: "))


def check(settings: Settings, job: str) -> None:
    """Raise StoreError in one line when stream, tables or lake cannot be reached as these settings say."""
    if job == EXPORT:
        Seal(settings.seal_keys)
    Stream(settings.export_stream_address if job == EXPORT else settings.stream_address).open_shards()
    Leases(settings.tables_address).create()
    Lake(settings.lake_address)


def flink() -> Path:
    """The folder of Flink's distribution. Raises FlinkError when there is none."""
    if given := os.environ.get("FLINK_HOME"):
        home = Path(given)
    elif found := shutil.which("flink"):
        home = Path(found).resolve().parent.parent
    else:
        home = flink_home.build()
    if not (home / "bin" / "flink").is_file():
        msg = f"{home} holds no bin/flink: set FLINK_HOME to a distribution of Flink 1.20, or unset it"
        raise FlinkError(msg)
    return home
