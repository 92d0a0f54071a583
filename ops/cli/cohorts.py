"""`amplitude-bridge cohorts`: which project a cohort belongs to, and who is in it."""

import json
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers.strangers import printable
from ops.cli.terminal import PROJECT_ID, Commands, Whole, as_json_option, cell, example
from settings import load
from stores.cohorts import EVERYBODY, CohortMembers, Cohorts
from stores.errors import StoreError
from stores.projects import Projects

_LONGEST_ID: Final = 1000  # bytes, with room for the project's id in DynamoDB's key


def _as_cohort_id(text: str) -> str:
    if not text or not text.isprintable() or text != text.strip() or len(text.encode()) > _LONGEST_ID:
        msg = f"{text!r} is no cohort id: it is empty, too long, or has blanks around it or control characters"
        raise click.BadParameter(msg)
    return text


@click.group(cls=Commands)
def cohorts() -> None:
    """Amplitude's cohorts: which project each belongs to, and who is in it.

    Amplitude's cohort messages name no project. So a cohort id is registered, for one project only. Cohorts that
    come by HTTP belong to the project of the access key, and need no registration.
    """


@cohorts.command("add", epilog=example("cohorts add gs72ns 434735"))
@click.argument("cohort_id", type=_as_cohort_id)
@click.argument("project_id", type=PROJECT_ID)
@click.pass_obj
def add(config: Path, /, cohort_id: str, project_id: int) -> None:
    """Register Amplitude's COHORT_ID for PROJECT_ID, which must be registered itself."""
    address = load(config).tables_address
    Projects(address).get(project_id)
    registry = Cohorts(address)
    registry.create()
    CohortMembers(address).create()  # so that `members` can be asked before the first message comes
    registry.add(cohort_id, project_id)
    click.echo(f"cohort {cohort_id} is registered for project {project_id}")


@cohorts.command("list", epilog=example("cohorts list --json"))
@as_json_option
@click.pass_obj
def list_cohorts(config: Path, /, *, as_json: bool) -> None:
    """Show all registered cohorts."""
    known = Cohorts(load(config).tables_address).list()
    if as_json:
        click.echo(json.dumps([cohort._asdict() for cohort in known], indent=2))
        return
    table = Table("cohort", "project", "name")
    for cohort in known:
        table.add_row(*map(cell, cohort))
    Console().print(table)


@cohorts.command("members", epilog=example("cohorts members 434735 gs72ns --limit 5"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("cohort_id", type=_as_cohort_id)
@click.option("--limit", metavar="N", type=Whole(1), help="Only the first N, by user id. [default: all]")
@as_json_option
@click.pass_obj
def members(config: Path, /, project_id: int, cohort_id: str, limit: int | None, *, as_json: bool) -> None:
    """Show who is in COHORT_ID of PROJECT_ID: a user id a line, and how many there are."""
    address = load(config).tables_address
    Projects(address).get(project_id)
    table = CohortMembers(address)
    if not table.knows(project_id, cohort_id, EVERYBODY):  # what comes by an access key is registered nowhere
        owner = Cohorts(address).get(cohort_id).project_id
        if owner != project_id:
            msg = f"cohort {cohort_id} belongs to project {owner}, not to {project_id}: cohorts list shows all"
            raise StoreError(msg)
    shown = (member.user_id for member in table.members(project_id, cohort_id, limit))
    if as_json:
        user_ids = list(shown)
        total = len(user_ids) if limit is None else table.count(project_id, cohort_id)
        found = {"project_id": project_id, "cohort_id": cohort_id, "members": total, "user_ids": user_ids}
        click.echo(json.dumps(found, indent=2))
        return
    printed = 0
    for user_id in shown:
        click.echo(printable(user_id))
        printed += 1
    total = printed if limit is None else table.count(project_id, cohort_id)
    noun = "member" if total == 1 else "members"
    click.echo(f"{total:,} {noun}" if total == printed else f"the first {printed:,} of {total:,} {noun}")
