"""`amplitude-bridge usage watch`: the process that delivers alerts and closes months."""

import threading
from pathlib import Path

import click

from ops.cli.terminal import example, listen_option, watching_with
from ops.metering.looks import log
from ops.metering.metrics import Metrics, serve
from ops.metering.survey import Survey
from ops.metering.watch import Watch
from ops.metering.webhook import channel
from settings import load


@click.command("watch", epilog=example("usage --config job.toml watch"))
@listen_option("127.0.0.1:9248")
@click.pass_obj
def watch(config: Path, /, *, listen: tuple[str, int]) -> None:
    """Deliver alerts, tell of destinations' states, and close months, until stopped.

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
