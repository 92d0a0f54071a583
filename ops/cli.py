"""The command line, `amplitude-bridge`: run everything here, register projects.

Exit codes: 0 done, 1 the numbers are wrong, 2 something is not as it must be (one line on stderr says what).
"""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ops import run as local_run
from ops.machine import Ports
from ops.process import StackError
from settings import Settings, SettingsError, load
from stores.errors import StoreError
from stores.projects import DEFAULT_MONTHLY_LIMIT, Project, Projects

LOCAL_SETTINGS = Path("var/local/job.toml")


def main() -> None:
    """Run the command; a person's mistake is one line, never a stack trace."""
    try:
        commands()
    except (SettingsError, StoreError, StackError) as error:
        click.echo(f"amplitude-bridge: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """The bridge from Amplitude to Notifly."""


@commands.command()
@click.option("--once", is_flag=True, help="Stop after the sample; exit 0 only if every number is right.")
@click.option("--records", default=3200, show_default=True, help="Size of the sample.")
@click.option("--kinesis-port", default=Ports.kinesis, show_default=True)
@click.option("--dynamodb-port", default=Ports.dynamodb, show_default=True)
@click.option("--flink-port", default=Ports.flink_rest, show_default=True)
def run(*, once: bool, records: int, kinesis_port: int, dynamodb_port: int, flink_port: int) -> None:
    """Run the job on local emulators with sample data and show what came of it."""
    ports = Ports(kinesis_port, dynamodb_port, flink_port)
    if not local_run.run(Console(), ports, records, once=once):
        sys.exit(1)


@commands.group()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=LOCAL_SETTINGS,
    show_default=True,
    help="The job's settings; the default are those of `make run`.",
)
@click.pass_context
def projects(context: click.Context, config: Path) -> None:
    """The registry: which Notifly project an Amplitude project belongs to."""
    context.obj = load(config)


@projects.command("add")
@click.argument("project_id", type=click.IntRange(0, 2**63 - 1))
@click.argument("notifly_project")
@click.option("--monthly-limit", default=DEFAULT_MONTHLY_LIMIT, show_default=True, type=click.IntRange(1))
@click.pass_obj
def add(settings: Settings, project_id: int, notifly_project: str, monthly_limit: int) -> None:
    """Register Amplitude's PROJECT_ID for NOTIFLY_PROJECT; workers know it within seconds."""
    registry = Projects(settings.tables_address)
    registry.create()
    registry.add(Project(project_id, notifly_project, monthly_limit))
    click.echo(f"Amplitude project {project_id} is registered for {notifly_project}")


@projects.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
@click.pass_obj
def list_projects(settings: Settings, *, as_json: bool) -> None:
    """Show all registered projects."""
    known = Projects(settings.tables_address).list()
    if as_json:
        click.echo(json.dumps([project._asdict() for project in known], default=str, indent=2))
        return
    table = Table("project", "Notifly project", "monthly limit", "linked at")
    for project in known:
        table.add_row(
            str(project.project_id), project.notifly_project, f"{project.monthly_limit:,}", str(project.linked_at)
        )
    Console().print(table)
