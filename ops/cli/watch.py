"""`amplitude-bridge usage watch`: the process that delivers alerts and closes months."""

import threading
from pathlib import Path

import click

from ops.cli.terminal import example, watching_with
from ops.metering.looks import log
from ops.metering.metrics import Metrics, serve
from ops.metering.survey import Survey
from ops.metering.watch import Watch
from ops.metering.webhook import channel
from settings import load


def _address(_: click.Context, __: click.Parameter, text: str) -> tuple[str, int]:
    host, _colon, port = text.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        msg = f"{text!r} is no address: write it like 127.0.0.1:9248"
        raise click.BadParameter(msg)
    return host.strip("[]"), int(port)


@click.command("watch", epilog=example("usage --config job.toml watch"))
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:9248",
    show_default=True,
    callback=_address,
    help="Where /metrics and /health answer.",
)
@click.pass_obj
def watch(config: Path, /, *, listen: tuple[str, int]) -> None:
    """Deliver alerts and close months, until stopped.

    Each threshold of a project's month is told of once, to the webhook of the settings (section `metering`), tried
    again until that has acknowledged it; without a webhook it is logged. A month closes
    metering.close_after_hours after its end. Prometheus reads /metrics. /health answers 200 as long as alerts are
    looked after, else 503 and why.
    """
    stopped = watching_with(log)
    settings, metrics = load(config), Metrics()
    watching = Watch(settings, channel(settings.metering), metrics)
    survey = Survey(settings, metrics)
    serve(metrics, *listen)
    threading.Thread(target=survey.run, args=[stopped], name="survey", daemon=True).start()
    watching.run(stopped)
