"""`amplitude-bridge erase`: take out all that is kept of users, and show what was taken out."""

import getpass
import json
import socket
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ops.answers.erasures import Receipt, receipts
from ops.answers.strangers import printable
from ops.cli.terminal import PROJECT_ID, WithDefault, as_json_option, cell, example, waiting
from ops.maintenance.erase import Counts, Erasing
from settings import load
from stores.amplitude.deletions import URLS, deleted
from stores.amplitude.http import keys

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@click.group(
    cls=WithDefault,
    default="users",
    subcommand_metavar="PROJECT_ID [USER_ID]... | show PROJECT_ID [USER_ID]...",
    context_settings={"ignore_unknown_options": True},
    epilog=example("erase 434735 mina@example.com", "erase show 434735 mina@example.com"),
)
def erase() -> None:
    """Take out all that is kept of users: rows, profile, memberships, dead letters; or an event, or a property.

    Without a command's name: the same as `users`.
    """


@erase.command(
    "users",
    epilog=example("erase users 434735 mina@example.com", "erase users 434735 --users-from ids.txt --yes"),
)
@click.argument("project_id", type=PROJECT_ID)
@click.argument("user_ids", metavar="[USER_ID]...", nargs=-1)
@click.option(
    "--users-from", metavar="FILE", type=click.File(encoding="utf-8"), help="A user id a line; - is stdin."
)
@click.option("--event", metavar="NAME", help="In place of users: all of this event, by Amplitude's name.")
@click.option(
    "--property", "path", metavar="PATH", help="In place of users: what stands at user_properties.email."
)
@click.option("--from-amplitude", is_flag=True, help="Whom Amplitude has deleted in the last 180 days.")
@click.option("--region", type=click.Choice([*URLS]), default="us", show_default=True, help="Of the organisation.")
@click.option(
    "--keys", type=click.Path(path_type=Path), help="A file that holds API_KEY:SECRET_KEY of the project."
)
@click.option("--endpoint", metavar="URL", help="Another address than Amplitude's, such as a stand-in's.")
@click.option("--by", metavar="NAME", help="Who asks for it, for the receipt. [default: user and host]")
@click.option("--yes", is_flag=True, help="Do it; without this only what would be done is printed.")
@click.pass_obj
def users(
    config: Path, /, project_id: int, user_ids: tuple[str, ...], *, yes: bool, by: str | None, **more: Any
) -> None:
    """Take out what PROJECT_ID has of these users and what arrived before now.

    Rows without a user id go too, if Amplitude's id says that they are this user's and nobody else's. Totals and
    statements stay as they are. The job may run. New events of the user are taken.
    """
    wanted = list(dict.fromkeys((*user_ids, *_lines(more["users_from"]))))
    if more["users_from"] and not wanted:
        msg = f"{more['users_from'].name} holds no user id: write one a line"
        raise click.UsageError(msg)
    if (bool(wanted), bool(more["event"]), bool(more["path"]), more["from_amplitude"]).count(True) != 1:
        msg = "name users, by USER_ID... or --users-from FILE, or give --from-amplitude, --event or --property"
        raise click.UsageError(msg)
    erasing = Erasing(load(config), project_id)
    if wanted:
        erasing.of_users(wanted)
    elif more["event"]:
        erasing.of_event(more["event"])
    elif more["path"]:
        erasing.of_property(more["path"])
    else:
        erasing.of_deleted(_deleted(project_id, erasing.before.date(), more))
    if not erasing.target.subjects:
        click.echo("nothing to do: whom Amplitude has deleted was erased")
        return
    if not yes:
        _preview(erasing)
        return
    steps = erasing.carry_out(by or f"{getpass.getuser()}@{socket.gethostname()}")
    first = next(steps, ("", 0, 0))  # a refusal comes with it, and is one line
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("")
        for table, done, total in chain([first], steps):
            progress.update(bar, description=table, completed=done, total=total)
    for receipt in receipts(load(config), project_id):
        if receipt.erasure.erasure == erasing.name:
            _show(receipt)
    click.echo("what was on its way meanwhile may come yet: repeat this after two checkpoints")


def _preview(erasing: Erasing) -> None:
    with waiting("counting what there is"):
        found = erasing.tally()
    if found:
        _print("Of them there are", found)
        click.echo("nothing is done yet: repeat this with --yes")
    else:
        click.echo("nothing is kept of them; repeat this with --yes for a receipt that says so")


def _deleted(project_id: int, today: date, asked: Mapping[str, Any]) -> dict[int, date]:
    if asked["keys"] is None:
        msg = "--from-amplitude needs --keys"
        raise click.UsageError(msg)
    with waiting("asking Amplitude"):
        return deleted(asked["endpoint"] or URLS[asked["region"]], keys(asked["keys"]), project_id, today)


def _lines(file: Any) -> Iterator[str]:
    return (user for line in file or () if (user := line.rstrip("\r\n")))


@erase.command("show", epilog=example("erase show 434735 mina@example.com --json"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("user_ids", metavar="[USER_ID]...", nargs=-1)
@as_json_option
@click.pass_obj
def show(config: Path, /, project_id: int, user_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Show the receipts of PROJECT_ID, all or those of some users: what was found, when, and for whom."""
    found = receipts(load(config), project_id, user_ids)
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=2))
        return
    for one in found:
        _show(one)
    if not found:
        click.echo("nothing was erased")


def _show(receipt: Receipt) -> None:
    one = receipt.erasure
    state = f"done {one.done_at}" if one.done_at else f"{one.status}: repeat the command that began it"
    click.echo(f"erasure {one.erasure} by {printable(one.requested_by)}: {state}")
    click.echo(f"subject {one.subject}, what arrived before {one.before}")
    if receipt.found:
        Console().print(_found(receipt))
    else:
        click.echo("nothing was found")
    if one.query:
        click.echo(f"proof, 0 expected: {one.query}")
        click.echo(f"bytes: {_bytes(receipt)}")


def _found(receipt: Receipt) -> Table:
    table = Table("table")
    for name in ("removed", "cut", "snapshots of before"):
        table.add_column(name, justify="right")
    for name, changes in receipt.found.items():
        numbers = (changes.get("removed", 0), changes.get("cut", 0), receipt.held.get(name, 0))
        table.add_row(cell(name), *(f"{number:,}" for number in numbers))
    return table


def _bytes(receipt: Receipt) -> str:
    """Until when files hold what was erased, and how to have them go sooner."""
    when = "the first `maintain --yes`, or round of `maintain --watch`, after"
    strays = f"files that a job has left uncommitted go with {when} {receipt.strays_go:{_TIME}}"
    if receipt.snapshots_go is None:
        return f"no snapshot of before is left; {strays}"
    kept = (
        f", but for those of {', '.join(receipt.kept_for)} (delete that to have them go)"
        if receipt.kept_for
        else ""
    )
    return (
        f"snapshots of before go with {when} {receipt.snapshots_go:{_TIME}}{kept}; "
        f"sooner: `maintain --yes --erased`, once the job has committed three times; {strays}"
    )


def _plain(receipt: Receipt) -> dict[str, object]:
    return {
        **receipt.erasure._asdict(),
        "found": receipt.found,
        "snapshots": receipt.held,
        "kept_for": receipt.kept_for,
        "snapshots_go": receipt.snapshots_go and receipt.snapshots_go.isoformat(),
        "strays_go": receipt.strays_go and receipt.strays_go.isoformat(),
    }


def _print(title: str, counts: Counts) -> None:
    table = Table("table", "change", title=title, title_justify="left")
    table.add_column("rows", justify="right")
    for (name, change), rows in sorted(counts.items()):
        table.add_row(cell(name), cell(change), f"{rows:,}")
    Console().print(table)
