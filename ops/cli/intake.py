"""`amplitude-bridge intake`: the HTTP door in front of the stream."""

from pathlib import Path

import click

from ops.cli.terminal import config_option, example
from ops.intake.server import serve
from settings import load


@click.command(epilog=example("intake --config job.toml"))
@config_option
def intake(config: Path) -> None:
    """Take events over HTTP and put them on the stream, until stopped.

    A request is answered with 200 once Kinesis has it. Address, processes and limits are settings of [intake].
    Prometheus reads /metrics, a load balancer /health/ready. TERM lets what is being answered end first.
    """
    settings = load(config)
    click.echo(f"intake: http://{settings.intake.host}:{settings.intake.port}, /health/ready, /metrics")
    serve(settings)
