"""`amplitude-bridge destinations`: the Amplitude projects that Notifly's message events go to."""

import json
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from errors import OneLineError
from ops.answers.attempts import Attempt, attempts
from ops.answers.refused import conditions, refused
from ops.answers.waiting import by_project, overdue
from ops.answers.waiting import waiting as waits
from ops.cli.key_file import sealed_key
from ops.cli.terminal import PROJECT_ID, Commands, Whole, as_json_option, cell, example, waiting, wide
from ops.cli.times import as_moment, since_option
from ops.maintenance.destination import bring_into
from ops.maintenance.destination import set_destination as set_destination_of
from ops.maintenance.destination import test as tested
from ops.maintenance.replay_refused import check, put
from settings import load
from stores.amplitude import HOSTS
from stores.destinations import Destination, Destinations
from stores.lake import Lake
from stores.stream import Stream
from udfs.export.answers import UNSENT, Refused, State
from udfs.export.message import LONGEST_EVENT, message_event
from udfs.export.taxonomy import PERSONAL, Personal


@click.group(cls=Commands)
def destinations() -> None:
    """Where Notifly's message events go: the way back to Amplitude.

    A destination has an API key, which is sealed before it is stored and never shown.
    """


def _personal(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        field, _, form = one.partition("=")
        if field not in PERSONAL or form not in set(Personal):
            msg = f"{one!r}: write it as {' or '.join(PERSONAL)}, =, and {' or '.join(Personal)}"
            raise click.BadParameter(msg)
        found[field] = form
    return found


@destinations.command(
    "set",
    epilog=example(
        "destinations set 434735 --region eu --api-key-file key.txt",
        "destinations set 434735 --api-key-file - --personal email_address=sha256",
    ),
)
@click.argument("project_id", type=PROJECT_ID)
@click.option(
    "--region", type=click.Choice(tuple(HOSTS)), default="us", show_default=True, help="Amplitude's data region."
)
@click.option(
    "--api-key-file",
    required=True,
    type=click.Path(allow_dash=True),
    help="Holds the project's API key; - reads it from stdin.",
)
@click.option(
    "--personal", multiple=True, metavar="FIELD=FORM", callback=_personal,
    help="Send a personal field too: email_address or phone_number, plain or sha256. [default: none]",
)  # fmt: skip
@click.pass_obj
def set_destination(
    config: Path, /, project_id: int, region: str, api_key_file: str, personal: dict[str, str]
) -> None:
    """Send message events to PROJECT_ID, which must be registered; replaces what was set before."""
    settings = load(config)
    sealed = sealed_key(settings, project_id, api_key_file, "API key")
    set_destination_of(settings, project_id, region, sealed, personal)
    key = f"key …{sealed[1]}"
    click.echo(f"message events go to project {project_id} ({region}, {key}); `destinations test` tries it")


@destinations.command("show", epilog=example("destinations show", "destinations show 434735 --json"))
@click.argument("project_id", type=PROJECT_ID, required=False)
@as_json_option
@click.pass_obj
def show(config: Path, /, project_id: int | None, *, as_json: bool) -> None:
    """Show all destinations, or that of PROJECT_ID, and how it stands with each."""
    table = Destinations(load(config).tables_address)
    found = table.list() if project_id is None else [table.get(project_id)]
    if as_json:
        click.echo(json.dumps([_shown(one) for one in found], indent=2))
        return
    Console().print(_table(found))
    for one in found:
        if one.personal:
            forms = ", ".join(f"{field} {form}" for field, form in sorted(one.personal.items()))
            click.echo(f"personal fields that go to project {one.project_id}: {forms}")


def _table(found: Sequence[Destination]) -> Table:
    shown = wide(("project", "region", "key", "state", "since (UTC)"), texts=["why"])
    for one in found:
        since = one.since[:16].replace("T", " ")
        values = (one.project_id, one.region, f"…{one.key_end}", one.state, since, one.words)
        shown.add_row(*map(cell, values))
    return shown


def _shown(one: Destination) -> dict[str, Any]:
    """A destination without its key."""
    values = one._asdict() | {"key_end": f"…{one.key_end}", "personal": dict(one.personal)}
    return {name: value for name, value in values.items() if name not in {"api_key", "told"}}


@destinations.command("test", epilog=example("destinations test 434735"))
@click.argument("project_id", type=PROJECT_ID)
@click.pass_obj
def test(config: Path, /, project_id: int) -> None:
    """Send one event, `[Notifly] Connection Test`, to PROJECT_ID; exit 1 when Amplitude does not take it.

    A key that Amplitude refuses puts the destination into `auth_error`; one that it takes brings it back.
    """
    with waiting(f"an event for project {project_id}"):
        one, found = tested(load(config), project_id)
    told = f"{found.words}: {found.fix}" if found.fix else ""
    if found.accepted:
        paused = (
            "; the destination is paused: `destinations resume` sends again" if one.state == State.PAUSED else ""
        )
        click.echo(f"Amplitude ({one.region}) has taken the test event of project {project_id}{paused}")
        return
    click.echo(f"Amplitude ({one.region}) has not taken the test event of project {project_id}: {told}")
    sys.exit(1)


@destinations.command("pause", epilog=example('destinations pause 434735 --why "the customer migrates"'))
@click.argument("project_id", type=PROJECT_ID)
@click.option("--why", default="", help="A word for whoever looks next.")
@click.pass_obj
def pause(config: Path, /, project_id: int, why: str) -> None:
    """Send nothing to PROJECT_ID until it is resumed."""
    bring_into(load(config), project_id, State.PAUSED, why)
    click.echo(f"nothing is sent to project {project_id}; `destinations resume` sends again")


@destinations.command("resume", epilog=example("destinations resume 434735"))
@click.argument("project_id", type=PROJECT_ID)
@click.pass_obj
def resume(config: Path, /, project_id: int) -> None:
    """Send to PROJECT_ID again, whatever has stopped it."""
    bring_into(load(config), project_id, State.OK, "")
    click.echo(f"message events go to project {project_id} again")


@destinations.command("waiting", epilog=example("destinations waiting", "destinations waiting 434735 --json"))
@click.argument("project_id", type=PROJECT_ID, required=False)
@as_json_option
@click.pass_obj
def waiting_events(config: Path, /, project_id: int | None, *, as_json: bool) -> None:
    """Say how many events wait for each project, or for PROJECT_ID, since when, why, and when the next one is due.

    What waits goes when `redeliver` puts it on the stream again.
    """
    settings = load(config)
    with waiting("reading what waits"):
        states = {one.project_id: (one.state, one.words) for one in Destinations(settings.tables_address).list()}
        found = by_project(waits(Lake(settings.lake_address)), states)
    found = [one for one in found if project_id in {None, one.project_id}]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
        return
    if not found:
        click.echo("nothing waits")
        return
    shown = wide(("project", "state", "since (UTC)"), ["events"], ("next one due", "why"))
    for one in found:
        due = f"{one.due:%Y-%m-%d %H:%M:%S}" if one.due else "when it is ok again"
        since = f"{one.since:%Y-%m-%d %H:%M}"
        shown.add_row(*map(cell, (one.project_id, one.state, since, f"{one.events:,}", due, one.why)))
    Console().print(shown)
    if late := overdue(found, datetime.now(UTC)):
        named = ", ".join(str(one.project_id) for one in late)
        click.echo(f"events of {named} are due for more than 10 minutes: does `redeliver --watch` run?")


@destinations.command("put", epilog=example("destinations put message-event.json"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.pass_obj
def put_event(config: Path, /, file: str) -> None:
    """Put FILE, one message event, on the stream of message events; `-` is the standard input.

    Prints SHARD:SEQUENCE, where it stands, and the command that tells what becomes of it.
    """
    with click.open_file(file, "rb") as source:
        data = source.read(LONGEST_EVENT + 1)
    try:
        event = message_event(data)
    except ValueError as error:
        msg = f"{file} is no message event: {error}; docs/message-event.schema.json has its form"
        raise OneLineError(msg) from None
    stream = Stream(load(config).export_stream_address)
    click.echo(":".join(stream.put_one(event.event_id, data)))
    explained = shlex.join(("amplitude-bridge", "destinations", "explain", "PROJECT_ID", event.event_id))
    click.echo(f"what becomes of it, after the export job's next checkpoint: {explained}")


@destinations.command(
    "explain", epilog=example("destinations explain 434735 6f1c2a", "destinations explain 434735 6f1c2a --json")
)
@click.argument("project_id", type=PROJECT_ID)
@click.argument("event_id")
@as_json_option
@click.pass_obj
def explain(config: Path, /, project_id: int, event_id: str, *, as_json: bool) -> None:
    """Say what became of the message event EVENT_ID on its way to PROJECT_ID: each attempt, and what was answered.

    EVENT_ID is the message event's `event_id`, which is Amplitude's `insert_id`. Exit 1 when there is no attempt.
    """
    with waiting("reading the attempts"):
        found = attempts(Lake(load(config).lake_address), project_id, event_id)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
    elif found:
        _print_attempts(found)
    else:
        click.echo(
            f"no attempt to send event {event_id} to project {project_id} is in the tables. One shows up with the "
            "export job's next checkpoint. Events are ignored while their Notifly project has no destination, and "
            "rejected where they are none: `ledger show --export` counts both, table export_dead_letters has the "
            "rejected ones"
        )
    sys.exit(0 if found else 1)


def _print_attempts(found: Sequence[Attempt]) -> None:
    first = found[0]
    click.echo(f"arrived {first.arrival:%Y-%m-%d %H:%M:%S} UTC in {first.shard} as {first.sequence}")
    shown = wide(("answered (UTC)", "outcome", "reason"), ["attempt"], ("next one due", "words"))
    for one in found:
        due = f"{one.due:%Y-%m-%d %H:%M:%S}" if one.due else ""
        if one.reason in UNSENT and one is found[-1]:
            due = "when it is ok again"
        answered = f"{one.answered:%Y-%m-%d %H:%M:%S}"
        shown.add_row(*map(cell, (answered, one.outcome, one.reason or "", one.attempt, due, one.words or "")))
    Console().print(shown)


@destinations.command(
    "replay",
    epilog=example(
        "destinations replay 434735 --since 2026-03-01T09:00 --until 2026-03-01T12:00 --dry-run",
        "destinations replay 434735 --since 24h --reason blocked_by_amplitude",
    ),
)
@click.argument("project_id", type=PROJECT_ID)
@since_option("Events that arrived from then on")
@click.option("--until", metavar="TIME", type=as_moment, help="Events that arrived before then.")
@click.option("--reason", type=click.Choice([one.value for one in Refused]), help="See docs/data.md.")
@click.option("--rate", default=500, show_default=True, type=Whole(1), help="Events per second, at most.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@click.pass_obj
def replay(config: Path, /, project_id: int, *, rate: int, dry_run: bool, **which: Any) -> None:
    """Put what Amplitude has refused of PROJECT_ID on the stream again, once what was wrong is mended.

    What waits needs no replay: it goes when `redeliver` puts it on the stream. An event is sent as it was frozen,
    once, however often this is repeated; until the job has answered it is counted as refused.
    """
    settings = load(config)
    if not dry_run:
        check(Destinations(settings.tables_address).get(project_id))
    where = conditions(project_id, which["since"], which["until"])
    with waiting("reading what was refused"):
        found = refused(Lake(settings.lake_address), where, which["reason"])
    for why, events in sorted(Counter(one.reason for one in found.values()).items()):
        click.echo(f"{why}: {events:,}")
    if dry_run:
        click.echo(f"to be put on the stream again: {len(found):,}")
        return
    done = 0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("events put", total=len(found))
        for events in put(settings, where, found, rate):
            progress.advance(task, events)
            done += events
    click.echo(f"put on the stream again: {done:,}")
    if done < len(found):
        click.echo(f"left out, erased since: {len(found) - done:,}")
