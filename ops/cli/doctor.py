"""`amplitude-bridge doctor`: whether an installation is well, and what to do where it is not."""

import json
import sys
from pathlib import Path
from typing import Final

import click

from ops.answers.doctor import Place, examined
from ops.answers.steps import State
from ops.cli.terminal import (
    FLINK,
    as_http,
    as_json_option,
    config_option,
    echo_steps,
    example,
    flink_option,
    waiting,
)
from ops.release.flink_home import installed_jars
from settings import load, of_stack

_WATCH: Final = "http://127.0.0.1:9248"
_EXIT: Final[dict[State, int]] = {"ok": 0, "warning": 1, "failed": 2}


@click.command(epilog=example("doctor --flink http://jobmanager:8081 --json"))
@config_option
@flink_option
@click.option(
    "--watch", metavar="URL", type=as_http,
    help=f"Where `usage watch` answers.  [default: {_WATCH}, or that of `make run`]",
)  # fmt: skip
@as_json_option
def doctor(config: Path, *, flink: str | None, watch: str | None, as_json: bool) -> None:
    """Examine the installation: settings, versions, stream, tables, job, checkpoints, clocks, disk, alerts.

    Each finding is ok, warning, failed, or not checked, with its remedy. What is away is told, and the rest is
    examined all the same. Exit code 0: all is well; 1: there are warnings; 2: something has failed.
    """
    settings = load(config)
    flink, watch = flink or of_stack(config, "flink_rest"), watch or of_stack(config, "usage_watch")
    with waiting("examining"):
        found = examined(settings, Place(flink or FLINK, watch or _WATCH, installed_jars()))
    if as_json:
        click.echo(json.dumps(found.described(), indent=2))
    else:
        echo_steps(found.findings)
    sys.exit(_EXIT[found.worst])
