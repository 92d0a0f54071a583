"""`amplitude-bridge dead-letters`: what the job did not take, how much of it, and why.

What was replayed waits no longer and is shown only to who asks for it.
"""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers import replayed
from ops.answers.dead_letters import (
    BY,
    LIGHT,
    Handle,
    Letter,
    count,
    find,
    handle_in,
    handle_of,
    key_of,
    newest,
    states,
)
from ops.answers.reasons import REASONS
from ops.answers.replayed import State
from ops.answers.strangers import pretty, printable
from ops.cli.letter_filters import filtered, where
from ops.cli.replay import replay, show_replays
from ops.cli.terminal import Commands, Whole, as_json_option, cell, echo_fields, example, waiting
from settings import load
from stores.errors import StoreError
from stores.lake import Condition, Lake

_SHOWN: Final = 20_000  # characters of a payload; more scrolls away what stands above it


def as_handle(text: str) -> Handle:
    """A handle as an argument takes it."""
    found = handle_in(text)
    if found is None:
        msg = f"{text!r} is not SHARD:SEQUENCE or SHARD:SEQUENCE:SUB_INDEX, as `list` prints it"
        raise click.BadParameter(msg)
    return found


def _as_columns(text: str) -> tuple[str, ...]:
    by = tuple(text.split(","))
    if not set(by) <= BY.keys() or len(set(by)) < len(by):
        msg = f"{text!r} is not made of {', '.join(BY)}, each at most once"
        raise click.BadParameter(msg)
    return by


@click.group("dead-letters", cls=Commands)
def dead_letters() -> None:
    """What the job did not take: how much, the newest, one in full."""


dead_letters.add_command(show_replays)


@dead_letters.command("stats", epilog=example("dead-letters stats --since 24h --by reason,project"))
@click.option(
    "--by",
    metavar="COLUMNS",
    type=_as_columns,
    default="reason",
    show_default=True,
    help=f"Any of {', '.join(BY)}, with commas.",
)
@filtered
@as_json_option
@click.pass_obj
def stats(config: Path, /, *, by: tuple[str, ...], as_json: bool, state: State, **filters: Any) -> None:
    """Count dead letters."""
    wanted = [BY[name] for name in by]
    with waiting("counting"):
        counts = count(replayed.pieces(load(config), wanted, where(filters), state), by)
    # the newest hour first, then what there is most of
    hour = by.index("hour") if "hour" in by else None
    ordered = sorted(counts.items(), key=lambda item: tuple(map(str, item[0])))
    ordered.sort(key=lambda item: item[1], reverse=True)
    if hour is not None:
        ordered.sort(key=lambda item: item[0][hour], reverse=True)
    if as_json:
        rows = [{**dict(zip(by, key, strict=True)), "records": n} for key, n in ordered]
        click.echo(json.dumps(rows, default=datetime.isoformat, indent=2))
    elif not counts:
        _say_none(state, filters)
    else:
        Console().print(_counted(by, ordered, state))


def _counted(by: Sequence[str], counts: Sequence[tuple[tuple[Any, ...], int]], state: State) -> Table:
    what = "dead letters" if state == "all" else f"{state} dead letters"
    table = Table(title=f"{sum(n for _, n in counts):,} {what}, by {', '.join(by)}", title_justify="left")
    for name in by:
        table.add_column(name)
    table.add_column("records", justify="right")
    alone = tuple(by) == ("reason",)  # beside other columns there is no room for words
    if alone:
        table.add_column("meaning")
    for key, n in counts:
        shown = [
            f"{value:%Y-%m-%d %H:00}" if name == "hour" else value for name, value in zip(by, key, strict=True)
        ]
        meaning = [_meaning(key[0])[0][1]] if alone else []
        table.add_row(*(cell(value) for value in (*shown, f"{n:,}", *meaning)))
    return table


@dead_letters.command("list", epilog=example("dead-letters list --reason invalid_json"))
@click.option("--limit", default=50, show_default=True, type=Whole(1, 10_000))
@filtered
@as_json_option
@click.pass_obj
def list_letters(config: Path, /, *, limit: int, as_json: bool, state: State, **filters: Any) -> None:
    """Show the newest dead letters, each with the handle that `show` takes."""
    settings, conditions = load(config), where(filters)
    with waiting("looking for the newest"):
        letters, total = newest(replayed.pieces(settings, LIGHT, conditions, state), limit)
        state_of = states(settings, letters, conditions if state != "waiting" else None)
    if as_json:
        rows = [{"handle": str(handle_of(letter)), **letter, **state_of[key_of(letter)]} for letter in letters]
        click.echo(json.dumps(rows, default=datetime.isoformat, indent=2))
        return
    if not letters:
        _say_none(state, filters)
        return
    for letter in letters:
        project = "no project" if letter["project_id"] is None else f"project {letter['project_id']}"
        reason = printable(letter["reason"]).ljust(18)
        click.echo(
            f"{click.style(printable(str(handle_of(letter))), bold=True)}\n"
            f"  {letter['arrival']:%Y-%m-%d %H:%M:%S}  {printable(letter['kind']):<11}  {reason}  {project}  "
            f"{_bytes(letter)}  {_in_words(state_of[key_of(letter)])}\n  {printable(letter['detail'] or '')}"
        )
    shown = f"the newest {len(letters):,} of {total:,}" if total > len(letters) else f"{total:,} in all"
    click.echo(f"\n{shown}; `amplitude-bridge dead-letters show HANDLE` explains one")


def _in_words(state: Mapping[str, str]) -> str:
    if state["state"] == "waiting":
        return "waiting"
    return f"replayed {state['replayed_at'][:19].replace('T', ' ')}: {printable(state['outcome'])}"


@dead_letters.command(
    "show",
    epilog=example(
        "dead-letters show shardId-000000000000:49667",
        "dead-letters show shardId-000000000000:49667:2 --raw > record.json",
    ),
)
@click.argument("handle", type=as_handle, metavar="HANDLE")
@click.option("--raw", is_flag=True, help="Only the payload's exact bytes, for a file or `explain-record -`.")
@as_json_option
@click.pass_obj
def show(config: Path, /, *, handle: Handle, raw: bool, as_json: bool) -> None:
    """Explain one dead letter: SHARD:SEQUENCE or SHARD:SEQUENCE:SUB_INDEX, as `list` prints it."""
    if raw and as_json:
        msg = "--raw and --json exclude each other"
        raise click.UsageError(msg)
    if raw and _at_a_terminal():
        msg = "--raw is for a pipe or a file: bytes of strangers may steer a terminal"
        raise click.UsageError(msg)
    settings = load(config)
    with waiting("looking for it"):
        letter = find(Lake(settings.lake_address), handle)
    arrived = letter["arrival"]
    at = [Condition("arrival", ">=", arrived), Condition("arrival", "<", arrived + timedelta(microseconds=1))]
    (state,) = states(settings, [letter], at).values()
    payload: bytes | None = letter["payload"]
    if raw:
        if payload is None:
            msg = f"the payload of {handle} is not kept"
            raise StoreError(msg)
        click.echo(payload, nl=False)
        if letter["payload_sha256"]:
            click.echo(f"only the first {len(payload):,} of {letter['payload_length']:,} bytes are kept", err=True)
    elif as_json:
        encoded = None if payload is None else base64.b64encode(payload).decode()
        words = dict(_meaning(letter["reason"]))
        whole = {"handle": str(handle), **letter, **state, **words, "payload": encoded}
        click.echo(json.dumps(whole, default=datetime.isoformat, indent=2))
    else:
        _explain(handle, letter, state)


def _at_a_terminal() -> bool:
    return sys.stdout.isatty()


def _explain(handle: Handle, letter: Letter, state: Mapping[str, str]) -> None:
    payload: bytes | None = letter["payload"]
    click.echo(click.style(printable(f"{letter['kind']}: {letter['reason']}"), bold=True))
    cut = ", cut" if payload and letter["payload_sha256"] else ""
    cut += f"; SHA-256 of all {letter['payload_sha256']}" if letter["payload_sha256"] else ""
    fields = [
        ("arrival", f"{letter['arrival']:%Y-%m-%d %H:%M:%S.%f} UTC"),
        ("record", str(handle) + (" (a part of an envelope)" if handle.sub_index is not None else "")),
        ("project", "none" if letter["project_id"] is None else str(letter["project_id"])),
        *([("request", f"{letter['request_id']}, by the intake")] if letter["request_id"] else []),
        ("size", _bytes(letter) + cut),
        ("detail", letter["detail"] or ""),
        ("state", _in_words(state) + (f", as {state['replayed_as']}" if "replayed_as" in state else "")),
        *_meaning(letter["reason"]),
    ]
    echo_fields(fields)
    if not payload:
        click.echo("\nThe payload is not kept." if payload is None else "\nThe payload is empty.")
        return
    text = pretty(payload)
    click.echo(f"\n{text[:_SHOWN]}")
    if cut or len(text) > _SHOWN:
        kept = f"the {len(payload):,} bytes that are kept" if cut else f"all {len(payload):,} bytes"
        click.echo(f"\n… cut here; --raw writes {kept}")
    if cut:
        click.echo("The whole record is on the stream at its shard and sequence while that retains it.")


def _meaning(reason: str) -> list[tuple[str, str]]:
    """The words for a reason, by name."""
    known = REASONS.get(reason)
    if known is None:
        return [("meaning", "not a reason of this version")]
    return list(known._asdict().items())


def _bytes(letter: Letter) -> str:
    length = letter["payload_length"]
    return "unknown size" if length is None else f"{length:,} byte{'s' if length != 1 else ''}"


def _say_none(state: State, filters: Mapping[str, Any]) -> None:
    what = "no dead letters match" if any(v is not None for v in filters.values()) else "no dead letters"
    click.echo(what if state == "all" else f"{what} that are {state}; --state all has all")


dead_letters.add_command(replay)
