"""`amplitude-bridge test-connection`: whether what a customer sends from Amplitude will arrive."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from ops.answers.connection import Place, awaited, checked
from ops.cli.terminal import (
    FLINK,
    PROJECT_ID,
    as_json_option,
    config_option,
    echo_steps,
    example,
    flink_option,
    waiting,
)
from ops.cli.times import as_seconds
from settings import load, of_stack
from stores.projects import Projects


@click.command(
    "test-connection", epilog=example("test-connection 434735 --role arn:aws:iam::123456789012:role/amplitude")
)
@config_option
@click.argument("project_id", type=PROJECT_ID)
@click.option("--role", metavar="ARN", help="The role that Amplitude assumes, to be looked at in IAM.")
@click.option(
    "--wait", metavar="SPAN", type=as_seconds, default="5m", show_default=True, help="For a record; 0: one look."
)
@flink_option
@as_json_option
def test_connection(  # noqa: PLR0913  options, by name
    config: Path, project_id: int, *, role: str | None, wait: int, flink: str | None, as_json: bool
) -> None:
    """Say whether what PROJECT_ID sends from Amplitude arrives, step by step, and what to mend.

    Then wait for a record of the project, or for the test record that Amplitude sends when its destination is
    saved, and say what became of it. Exit code 0: nothing has failed; 1: something has.
    """
    settings, begun = load(config), datetime.now(UTC)
    with waiting("looking at stream, role, registry and job"):
        place = Place(flink or of_stack(config, "flink_rest") or FLINK, role)
        found = checked(settings, project_id, place)
    if not as_json:
        echo_steps(found.steps)
    with waiting(f"waiting for a record of project {project_id}: test the destination in Amplitude now"):
        last = awaited(settings, found, begun, wait)
    found = replace(found, steps=(*found.steps, last))
    if as_json:
        click.echo(json.dumps(found.described(), indent=2))
    else:
        echo_steps([last], found.steps)
    if not found.registered:
        Projects(settings.tables_address).get(project_id)
    if found.failed:
        sys.exit(1)
