"""`amplitude-bridge console`: the pages on which customers, support and operators look and act."""

from pathlib import Path

import click

from ops.cli.terminal import FLINK, config_option, example, flink_option
from ops.console.server import serve
from settings import load, of_stack


@click.command(epilog=example("console --config job.toml"))
@config_option
@flink_option
def console(config: Path, flink: str | None) -> None:
    """Serve the console, until stopped.

    Address, accounts and keys are settings of [console]; console-account makes accounts. Prometheus reads
    /metrics, a load balancer /health/ready.
    """
    settings = load(config)
    click.echo(f"console: {settings.console.url or f'http://{settings.console.host}:{settings.console.port}'}")
    serve(settings, flink or of_stack(config, "flink_rest") or FLINK)
