"""The command line that submits a job: `--config FILE [--set section.key=value …] [--take-over]`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import settings
from errors import OneLineError
from settings import Settings


def run(
    name: str, description: str | None, arguments: Sequence[str], submit: Callable[[Settings, bool], None]
) -> int:
    """Call `submit` with the settings, and whether to take over from another job.

    Returns 0 when the job is on its way, 2 with one line on stderr when a setting or a store is wrong.
    """
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--config", type=Path, required=True, help="settings, like flink-conf/job.reference.toml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    parser.add_argument("--take-over", action="store_true", help="whatever job holds the tables is gone")
    options = parser.parse_args(arguments)
    try:
        submit(settings.load(options.config, options.overrides), options.take_over)
    except OneLineError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0
