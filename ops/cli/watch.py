"""`amplitude-bridge usage watch`: the process that delivers alerts and closes months."""

import logging
import signal
import sys
import threading
from pathlib import Path

import click

from ops.cli.terminal import example
from ops.metering.watch import Watch, log
from ops.metering.webhook import channel
from settings import load


@click.command("watch", epilog=example("usage --config job.toml watch"))
@click.pass_obj
def watch(config: Path, /) -> None:
    """Deliver alerts and close months, until stopped.

    Each threshold of a project's month is told of once, to the webhook of the settings (section `metering`), tried
    again until that has acknowledged it; without a webhook it is logged. A month closes
    metering.close_after_hours after its end.
    """
    logging.basicConfig(
        stream=sys.stdout, format="%(asctime)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z", level=logging.WARNING
    )
    log.setLevel(logging.INFO)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    settings = load(config)
    Watch(settings, channel(settings.metering)).run(stopped)
