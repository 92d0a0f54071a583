"""`amplitude-bridge dead-letters replay` and `replays`: put on the stream again what was not taken, and see it."""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ops.answers.replayed import State
from ops.answers.replays import replays
from ops.cli.letter_filters import filtered, where
from ops.cli.terminal import Whole, as_json_option, cell, example, waiting
from ops.cli.times import since_option
from ops.maintenance.replay import Letters, Refusal, Refused, Tally, put
from settings import load
from stores.project import iso
from udfs.model import Reason

_SHOWN: Final = 10


@click.command("replay", epilog=example("dead-letters replay --reason unknown_project --project 434735 --dry-run"))
@click.option("--rate", default=500, show_default=True, type=Whole(1), help="Records per second, at most.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@click.option(
    "--anyway", is_flag=True,
    help="Put those too that no project would take as the registry is now, or whose access key was not for them.",
)  # fmt: skip
@filtered
@as_json_option
@click.pass_obj
def replay(  # noqa: PLR0913  one of each option
    config: Path,
    /,
    *,
    rate: int,
    dry_run: bool,
    anyway: bool,
    as_json: bool,
    state: State,
    **filters: Any,
) -> None:
    """Put dead letters on the stream again, once what kept them out is mended.

    Name a reason, a project, a kind or a time. Those whose payload is cut or not kept are left out, and those that
    were replayed, unless --state says otherwise. Nothing is stored twice, however often this is done: the job
    removes copies of what it has taken.

    Those that no project would take, as the registry is now, are left out too and go on waiting: the job does not
    keep what was uploaded before its project was linked. So are those whose access key was not for them.

    Exit code 0: all that was named and is kept is put; 1: some would not be taken.
    """
    conditions = where(filters)
    if not conditions:
        msg = "name what to replay: --reason, --project, --kind, --since or --until"
        raise click.UsageError(msg)
    settings = load(config)
    letters = Letters(settings, conditions, state, anyway=anyway)
    with waiting("counting"):
        found = letters.tally()
    if found.records and not dry_run:
        if found.unregistered:
            seconds = settings.ingest.projects_refresh_seconds
            click.echo(f"waiting {seconds} s, until every worker knows the registry as it is now", err=True)
            time.sleep(seconds)
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("records put", total=found.records)
            for records in put(settings, letters, found, rate, _in_words(state, filters)):
                progress.advance(task, records)
        click.echo("amplitude-bridge dead-letters replays says what they come back as", err=True)
    if as_json:
        click.echo(json.dumps(_described(found, dry_run), indent=2))
    else:
        _print(found, state, dry_run)
    if found.refused:
        sys.exit(1)


def _described(found: Tally, dry_run: bool) -> dict[str, Any]:
    refused = [
        {**refusal._asdict(), "letters": some.letters, "uploaded_from": _uploaded_from(some)}
        for refusal, some in found.refused.items()
    ]
    return {
        "dry_run": dry_run,
        "records": found.records,
        "settled": found.settled,
        "twins": sum(map(len, found.twins.values())),
        "unkept": found.unkept,
        "not_taken": refused,
    }


def _print(found: Tally, state: State, dry_run: bool) -> None:
    click.echo(f"{'to be ' if dry_run else ''}put on the stream again: {found.records:,}")
    if found.settled:
        others = "replayed before (--state all takes them too)" if state == "waiting" else "not replayed yet"
        click.echo(f"left out, {others}: {found.settled:,}")
    if twins := sum(map(len, found.twins.values())):
        click.echo(f"put as one with another of the same bytes: {twins:,}")
    if found.unkept:
        click.echo(f"left out, the payload is cut or not kept: {found.unkept:,}")
    most = sorted(found.refused.items(), key=lambda one: one[1].letters, reverse=True)
    for refusal, some in most[:_SHOWN]:
        click.echo(f"left out, would come back as {refusal.reason}: {some.letters:,}{_remedy(refusal, some)}")
    if rest := most[_SHOWN:]:
        letters = sum(some.letters for _, some in rest)
        click.echo(f"left out, likewise of {len(rest):,} more projects: {letters:,} (--json has all)")


def _remedy(refusal: Refusal, some: Refused) -> str:
    """What a letter needs to be taken, behind whose it is and since when."""
    reason, project = refusal
    if reason == Reason.UNKNOWN_COHORT:
        return "; its detail in dead-letters list has the cohort's id: cohorts add registers it"
    since = _uploaded_from(some)
    whose = f" of project {project}" + (f", uploaded from {since} on" if since else "")
    linked_at = f" --linked-at {since}" if since else ""
    if reason == Reason.UNKNOWN_PROJECT:
        return f"{whose}: projects add {project} NOTIFLY_PROJECT{linked_at}"
    if reason == Reason.SCOPE_MISSING:
        return f"{whose}: the sender sends them with a key of that scope, or --anyway, if the project wants them"
    if reason == Reason.BEFORE_LINK:
        return f"{whose}: projects extend-link {project}{linked_at}"
    return f"{whose}: projects show {project} has the times in which it was linked"


def _uploaded_from(some: Refused) -> str | None:
    """In whole seconds, to be read and typed by people."""
    return None if some.uploaded_from is None else iso(some.uploaded_from.replace(microsecond=0))


def _in_words(state: State, filters: Mapping[str, Any]) -> str:
    """The options that name letters, as somebody would give them."""
    given = {name: value for name, value in {**filters, "state": state}.items() if value is not None}
    shown = {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" if isinstance(at, datetime) else at for name, at in given.items()}
    return " ".join(f"--{name} {value}" for name, value in shown.items())


@click.command("replays", epilog=example("dead-letters replays --since 7d"))
@since_option("Put from then on")
@as_json_option
@click.pass_obj
def show_replays(config: Path, /, *, since: datetime | None, as_json: bool) -> None:
    """Show who replayed which dead letters, when, and what they came back as."""
    found = replays(load(config), since)
    if as_json:
        rows = [dataclasses.asdict(one) | {"asked": one.asked and one.asked._asdict()} for one in found]
        click.echo(json.dumps(rows, indent=2))
        return
    if not found:
        click.echo("no dead letter was replayed")
        return
    table = Table("first put (UTC)", "by", "which", "letters", "came back as")
    for one in found:
        by, which = (one.asked.asked_by, one.asked.asked) if one.asked else ("an earlier version", "")
        became = "\n".join(f"{n:,} {words}" for words, n in one.outcomes.items())
        first = one.first[:19].replace("T", " ")
        table.add_row(cell(first), cell(by), cell(which), f"{one.letters:,}", Text(became))
    Console().print(table)
