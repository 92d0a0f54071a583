"""`amplitude-bridge profile`: what is known of a user, where each property came from and when."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ops.answers.causes import minute
from ops.answers.strangers import printable
from ops.cli.terminal import PROJECT_ID, Commands, as_json_option, cell, echo_fields, example
from settings import load
from stores.dynamodb import TablesAddress
from stores.erasures import Erasures, subject_of
from stores.errors import StoreError
from stores.profiles import Key, Profiles, StoredProfile
from stores.project import iso
from stores.projects import Projects
from udfs import clock
from udfs.profile import Explained, Profile

_SHOWN: Final = 500  # characters of a value; --json has them all


@click.group(cls=Commands)
def profile() -> None:
    """What is known of a user."""


@profile.command("show", epilog=example("profile show 434735 mina@example.com"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("user_id")
@as_json_option
@click.pass_obj
def show(config: Path, /, project_id: int, user_id: str, *, as_json: bool) -> None:
    """Show USER_ID of PROJECT_ID: each property, where it came from, and when that was uploaded."""
    tables = load(config).tables_address
    (found,) = Profiles(tables).of_users([Key(project_id, user_id)]).values()
    if not found.version:
        Projects(tables).get(project_id)
        why = _why(tables, project_id, user_id)
        msg = f"project {project_id} has no profile of user {printable(user_id)}: {why}"
        raise StoreError(msg)
    try:
        properties = Profile.load(found.properties, found.merge).explained()
    except ValueError as error:
        msg = (
            f"project {project_id}, user {printable(user_id)}: {printable(str(error))}; use the job's own version"
        )
        raise StoreError(msg) from None
    if as_json:
        click.echo(_json(found, properties))
    else:
        _print(found, properties)


def _why(tables: TablesAddress, project_id: int, user_id: str) -> str:
    """Why there is no profile: the newest receipt of the user's erasure, if there is one."""
    receipts = Erasures(tables).of_project(project_id)
    subject = subject_of(project_id, user_id)
    newest = next((one for one in receipts[::-1] if subject in {one.subject, *one.others}), None)
    if newest is None:
        return "nothing of this user has changed one yet, or the id is spelled otherwise"
    before = minute(datetime.fromisoformat(newest.before))
    return (
        f"the erasure of what arrived before {before} is {newest.status}, and nothing has come since: "
        "`erase show` has the receipt"
    )


def _print(found: StoredProfile, properties: Sequence[Explained]) -> None:
    fields = [
        ("project", str(found.project_id)),
        ("user", found.user_id),
        ("amplitude id", "unknown" if found.amplitude_id is None else str(found.amplitude_id)),
        ("device", "unknown" if found.device_id is None else found.device_id),
        ("version", str(found.version)),
    ]
    echo_fields(fields)
    table = Table("property", "value", "source", "uploaded")
    for one in properties:
        table.add_row(*map(cell, (one.name, _cut(one.value), one.source, _uploaded(one.uploaded))))
    Console().print(table)


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}… ({len(value):,} characters, --json has all)"


def _uploaded(microseconds: int) -> str:
    return iso(clock.instant(microseconds))


def _json(found: StoredProfile, properties: Sequence[Explained]) -> str:
    """A profile as JSON in ASCII; values keep their spelling, which reading and writing them would change."""
    described = [
        {
            "name": one.name,
            "value": msgspec.Raw(one.value.encode()),
            "source": one.source,
            "uploaded": _uploaded(one.uploaded),
            "sequence": str(one.sequence),  # as in the lake; longer than a number may be
        }
        for one in properties
    ]
    whole = {
        "project_id": found.project_id,
        "user_id": found.user_id,
        "amplitude_id": found.amplitude_id,
        "device_id": found.device_id,
        "version": found.version,
        "properties": described,
    }
    text = msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()
    return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)
