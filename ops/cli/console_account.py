"""`amplitude-bridge console-account`: who may come into the console with a password."""

from pathlib import Path

import click

from ops.cli.terminal import Commands, cell, example
from ops.console.people import AccountsError, Role, added, read, removed
from settings import load


@click.group("console-account", cls=Commands)
def console_account() -> None:
    """The console's local accounts, in the file console.accounts_file, which it reads whenever that changes."""


def _file(config: Path) -> str:
    file = load(config).console.accounts_file
    if file is None:
        msg = "console.accounts_file is not set: name the file that is to hold the accounts"
        raise AccountsError(msg)
    return file


@console_account.command("add", epilog=example("console-account add mina --role customer --project acme-shop"))
@click.argument("name")
@click.option("--role", type=click.Choice([*map(str, Role)]), required=True)
@click.option(
    "--project", "projects", multiple=True, help="A Notifly project that a customer has; may be repeated."
)
@click.pass_obj
def add(config: Path, /, name: str, role: str, projects: tuple[str, ...]) -> None:
    """Add NAME with a new password, which is printed once; one that is there gets it, and this role.

    operator may do everything; support sees everything but bytes of records and changes nothing; customer has its
    own projects.
    """
    password = added(_file(config), name, Role(role), projects)
    click.echo(f"{name} may come in as {role} with the password {password}")


@console_account.command("remove", epilog=example("console-account remove mina"))
@click.argument("name")
@click.pass_obj
def remove(config: Path, /, name: str) -> None:
    """Let NAME in no more; sessions of it end at once."""
    removed(_file(config), name)
    click.echo(f"{name} may come in no more")


@console_account.command("list", epilog=example("console-account list"))
@click.pass_obj
def list_accounts(config: Path, /) -> None:
    """Show all accounts."""
    for one in sorted(read(_file(config)), key=lambda one: one.name):
        click.echo(f"{cell(one.name)}  {one.role}  {', '.join(one.projects)}".rstrip())
