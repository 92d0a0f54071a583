"""`amplitude-bridge redeliver`: what waits for Amplitude goes on the stream again."""

from pathlib import Path

import click

from ops.cli.terminal import config_option, example, listen_option, watching_with
from ops.maintenance.redeliver import Metrics, Redeliverer, log, redeliverer, watch
from ops.metering.metrics import serve
from settings import load


@click.command(epilog=example("redeliver --config job.toml", "redeliver --config job.toml --watch"))
@config_option
@click.option("--watch", "watching", is_flag=True, help="Do it again and again, until stopped.")
@listen_option("127.0.0.1:9247")
def redeliver(config: Path, *, watching: bool, listen: tuple[str, int]) -> None:
    """Put events that wait on the stream of message events again, once they are due.

    `destinations waiting` says what waits, and why. One process at a time: a second one is refused, or stands by
    with --watch. With --watch Prometheus reads /metrics, and /health answers 200 as long as this process leads or
    stands by, else 503 and why.
    """
    settings, metrics = load(config), Metrics()
    if watching:
        stopped = watching_with(log)
        serve(metrics, *listen)
        watch(settings, metrics, stopped)
        return
    with redeliverer(settings):
        put = Redeliverer(settings, metrics).look()
    for project_id, events in sorted(put.items()):
        click.echo(f"project {project_id}: {events:,} events put on the stream again")
    if not put:
        click.echo("nothing is due: `destinations waiting` says what waits")
