"""The way back in `make run`: the export job, fed with message events whose right outcomes are known."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

from rich.console import Console

from lab.sample import messages
from lab.sample.messages import EAGER, Message
from lab.sample.others import PROJECTS
from lab.stack import amplitude, machine
from lab.stack.local import Stack
from lab.stack.patience import Deadline
from ops.answers import export_ledger
from ops.cli.ledger import sent_table
from settings import Settings
from stores.destinations import Destination, Destinations
from stores.lake import Lake
from stores.seal import Seal
from stores.stream import Stream
from udfs.export.render import Kind
from udfs.export.sender import Outcome

EVENTS: Final = 1_000
MEMORY: Final = 5 * 10**9
"""Bytes that are to be free: a TaskManager may take 4 GiB."""
_SECONDS: Final = 180
_OUTCOMES: Final = {
    "fine": Outcome.ACCEPTED,
    "blocked": Outcome.REFUSED,
    "eager": Outcome.WAITING,
    "broken": Kind.REJECTED,
    "elsewhere": Kind.IGNORED,
}


def shown(console: Console, settings: Settings, stack: Stack) -> bool:
    """Start the export job beside the other, feed it, show what came of it; True when all numbers are right.

    It needs a TaskManager of its own; where there is no memory for one, it says so.
    """
    if (free := machine.free_memory()) < MEMORY:
        console.print(f"The way back is left out: {free / 10**9:.1f} GB of memory are free, of {MEMORY // 10**9}")
        return True
    _connect(settings, stack)
    stack.start_taskmanager()
    job = stack.submit(stack.settings_path, job="export")
    console.print(f"job {job} submitted: the way back, {EVENTS:,} message events to a stand-in of Amplitude")
    rng = Random(1)  # noqa: S311
    shops = [one.notifly_project for one in PROJECTS]
    made = messages.messages(rng, EVENTS, shops, datetime.now(UTC))
    stream = Stream(settings.export_stream_address)
    list(stream.put((put.partition_key, put.data) for put in messages.puts(rng, made)))
    return _concluded(console, Lake(settings.lake_address), stack, wanted(made))


def wanted(made: Sequence[Message]) -> Counter[str]:
    """What must become of message events, by outcome; copies count where nothing is sent."""
    counts: Counter[str] = Counter()
    for one in made:
        sent = one.fate not in {"broken", "elsewhere"}
        counts[_OUTCOMES[one.fate]] += 1 if sent else len(one.puts)
        counts[export_ledger.DUPLICATE] += len(one.puts) - 1 if sent else 0
    return counts


def _connect(settings: Settings, stack: Stack) -> None:
    Stream(settings.export_stream_address).create(1)
    destinations, seal = Destinations(settings.tables_address), Seal(settings.seal_keys)
    destinations.create()
    key = amplitude.API_KEY
    for one in PROJECTS:
        destinations.set(Destination(one.project_id, "us", seal.seal(one.project_id, key), key[-4:]))
    (stack.folder / "amplitude" / "throttled").write_text(EAGER, encoding="ascii")


def _concluded(console: Console, lake: Lake, stack: Stack, expected: Counter[str]) -> bool:
    deadline = Deadline(_SECONDS)
    while (found := _found(lake)) != expected or export_ledger.unbalanced(lake):
        if deadline.over:
            break
        time.sleep(1)
    console.print(sent_table(export_ledger.outcomes(lake)))
    left = export_ledger.unbalanced(lake)
    taken = len((stack.folder / "amplitude" / "taken.jsonl").read_text("utf-8").splitlines())
    right = found == expected and taken == expected[Outcome.ACCEPTED] and not left
    words = f"{taken:,} events are in Amplitude, {len(left)} residuals of the export ledger"
    console.print(f"[green]RIGHT[/] {words}" if right else f"[red]WRONG[/] {words}; wanted {dict(expected)}")
    return right


def _found(lake: Lake) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in export_ledger.outcomes(lake):
        counts[row["outcome"]] += row["events"]
    return counts
