"""`amplitude-bridge keys`: the access keys with which a project's senders come to the HTTP intake."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from ops.cli.terminal import PROJECT_ID, Commands, as_json_option, cell, example
from ops.cli.times import as_seconds
from ops.maintenance.whoami import whoami
from settings import load
from stores.access_keys import AccessKey, AccessKeys, Given, Scope
from stores.projects import Projects

_SCOPES: Final = [scope.value for scope in Scope]


@click.group(cls=Commands)
def keys() -> None:
    """Access keys: with one a project's sender comes to the HTTP intake.

    A key is shown once, when it is made: only its SHA-256 is kept. All that comes in with it is its project's.
    """


@keys.command(
    "create",
    epilog=example(
        "keys create 434735 --name back-end",
        "keys create 434735 --scope events --expires 90d --app-id com.acme.shop --json",
    ),
)
@click.argument("project_id", type=PROJECT_ID)
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), default=_SCOPES, show_default=True,
    help="What the key may send; may be given twice.",
)  # fmt: skip
@click.option("--name", help="What you call it.")
@click.option("--app-id", "app_ids", multiple=True, help="An app that requests may name. [default: any]")
@click.option("--expires", metavar="SPAN", type=as_seconds, help="How long it opens, such as 90d. [default: ever]")
@as_json_option
@click.pass_obj
def create(  # noqa: PLR0913  one of each option
    config: Path,
    /,
    project_id: int,
    *,
    scopes: tuple[str, ...],
    name: str | None,
    app_ids: tuple[str, ...],
    expires: int | None,
    as_json: bool,
) -> None:
    """Make an access key for PROJECT_ID, which must be registered, and show it this once."""
    address = load(config).tables_address
    Projects(address).get(project_id)
    table = AccessKeys(address)
    table.create()
    lasts = None if expires is None else timedelta(seconds=expires)
    _show_once(
        project_id, table.add(project_id, scopes, whoami(), lasts=lasts, name=name, app_ids=app_ids), as_json
    )


@keys.command("list", epilog=example("keys list 434735", "keys list --json"))
@click.argument("project_id", type=PROJECT_ID, required=False)
@as_json_option
@click.pass_obj
def list_keys(config: Path, /, project_id: int | None, *, as_json: bool) -> None:
    """Show all access keys, or those of PROJECT_ID: what each may do, and who made and ended it when."""
    found = [_described(one) for one in AccessKeys(load(config).tables_address).list(project_id)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("project", "prefix", "name", "state", "scopes", "apps", "made", "expires", "ended")
    for one in found:
        ended = _by(one, "revoked") or (f"replaced by {one['replaced_by']}" if one["replaced_by"] else "")
        listed = [" ".join(one[name]) for name in ("scopes", "app_ids")]
        head = [one[name] for name in ("project_id", "prefix", "name", "state")]
        table.add_row(*map(cell, (*head, *listed, _by(one, "created"), one["expires_at"], ended)))
    Console().print(table)


@keys.command("rotate", epilog=example("keys rotate 434735 3f9a1c0b7d2e --overlap 7d"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("prefix")
@click.option(
    "--overlap", metavar="SPAN", type=as_seconds, default="1d", show_default=True,
    help="How long the old key opens too; 0: no longer.",
)  # fmt: skip
@as_json_option
@click.pass_obj
def rotate(config: Path, /, project_id: int, prefix: str, *, overlap: int, as_json: bool) -> None:
    """Make a key that takes the place of PROJECT_ID's key PREFIX, and show it this once.

    It may do the same and lasts as long.
    """
    table = AccessKeys(load(config).tables_address)
    _show_once(project_id, table.rotate(project_id, prefix, whoami(), timedelta(seconds=overlap)), as_json)


@keys.command("revoke", epilog=example("keys revoke 434735 3f9a1c0b7d2e"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("prefix")
@click.pass_obj
def revoke(config: Path, /, project_id: int, prefix: str) -> None:
    """Let PROJECT_ID's key PREFIX open nothing any more: within 15 s, and for good."""
    AccessKeys(load(config).tables_address).revoke(project_id, prefix, whoami())
    click.echo(f"access key {prefix} of project {project_id} is revoked: within 15 s no request comes in with it")


def _show_once(project_id: int, key: Given, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"project_id": project_id, "prefix": key.prefix, "key": key.text}, indent=2))
        return
    click.echo(key.text)
    click.echo("keep it now: it is not shown again; a request has it in `Authorization: Bearer KEY`", err=True)


def _described(key: AccessKey) -> dict[str, Any]:
    """A key without what proves it."""
    values = key._asdict() | {"state": key.state(datetime.now(UTC))}
    return {name: value for name, value in values.items() if name not in {"secret_sha256", "version"}}


def _by(one: dict[str, Any], done: str) -> str:
    return f"{one[f'{done}_at']} by {one[f'{done}_by']}" if one[f"{done}_at"] else ""
