"""The way back in `make run`: the export job, fed with message events whose right outcomes are known."""

from collections import Counter
from datetime import UTC, datetime
from typing import Final

from rich.console import Console

from lab.proofs import export
from lab.proofs.rest import progress_bar
from lab.stack import machine
from lab.stack.local import Stack
from ops.answers import export_ledger
from ops.cli.ledger import sent_table
from settings import Settings
from stores.lake import Lake
from udfs.export.sender import Outcome

EVENTS: Final = 1_000
MEMORY: Final = 5 * 10**9
"""Bytes that are to be free: a TaskManager may take 4 GiB."""


def shown(console: Console, settings: Settings, stack: Stack) -> bool:
    """Start the export job and `redeliver`, feed them, show what came of it; True when all numbers are right.

    The job needs a TaskManager of its own; where there is no memory for one, `make run` says so.
    """
    if (free := machine.free_memory()) < MEMORY:
        console.print(f"The way back is left out: {free / 10**9:.1f} GB of memory are free, of {MEMORY // 10**9}")
        return True
    export.connect(settings, stack)
    stack.start_taskmanager()
    job = stack.submit(stack.settings_path, job="export")
    stack.start_redeliver()
    stack.point_prometheus()
    console.print(f"job {job} submitted: the way back, {EVENTS:,} message events to a stand-in of Amplitude")
    made = export.feed(settings, EVENTS, 1, datetime.now(UTC))
    return _concluded(console, Lake(settings.lake_address), stack, job, export.wanted(made))


def _concluded(console: Console, lake: Lake, stack: Stack, job: str, expected: Counter[str]) -> bool:
    with progress_bar(console) as progress:
        # on a busy machine some wait at first: their answers come late, and they go again when they are due
        task = progress.add_task("message events with their outcome", total=expected.total())

        def told(seen: Counter[str]) -> None:
            progress.update(task, completed=(seen & expected).total())
            stack.flink.living(job)

        found, left = export.at_rest(lake, expected, told)
    console.print(sent_table(export_ledger.outcomes(lake)))
    taken = export.taken(stack).total()
    right = found == expected and taken == expected[Outcome.ACCEPTED] and not left
    words = f"{taken:,} events are in Amplitude, {len(left)} residuals of the export ledger"
    console.print(f"[green]RIGHT[/] {words}" if right else f"[red]WRONG[/] {words}; wanted {dict(expected)}")
    return right
