"""How soon events of 49 projects are accepted beside one at its worst: `python -m lab.bench.export_worst KIND …`.

One job, one phase after the other: first nothing but 10 events a second of each of the 49, then each kind of worst
beside them, and nothing again. The others share each file with the one, in an order drawn by chance, as records of
many senders share a shard. Five files a second appear, each at a time drawn by chance: an event waits for two
clocks of a second on its way, and files by the clock would always meet them at the same place. All else is as in
lab.bench.export. Cores that are busy tell whether it is the machine that has no more to give.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, Self

import click
import numpy as np
from rich.console import Console

from lab.bench import figures
from lab.bench.export import Bench, accepted, event, key, running
from lab.bench.figures import Figure, Say, show
from lab.bench.processes import TICKS, cpu_seconds, machine, session
from ops.cli.terminal import one_line_errors, stop_on_signals

BIG: Final = 1_001
QUIET: Final = {BIG + n: f"shop-{n}" for n in range(1, 50)}
EACH: Final = 10
"""Events a second of each of the 49."""
WARM_UP: Final = 40
"""Seconds of input that count for nothing."""
TARGET: Final = 1.1
NOTHING: Final = "nothing"
FILES: Final = 5
"""A second."""
_OWN: Final = 10**9
"""The first number of the big project's events."""
_QUIET_EVENTS: Final = EACH * len(QUIET) // FILES
"""In a file."""


class Phase(NamedTuple):
    """What the big project does, how many events it sends a second, and for how many seconds."""

    name: str
    rate: int
    seconds: int


class Spent(NamedTuple):
    """Seconds of CPU at some moment: of all cores, and of the stack's processes."""

    all: float
    ours: float
    at: float

    @classmethod
    def until_now(cls, bench: Bench) -> Self:
        """What has been spent so far."""
        ticks = [int(one) for one in Path("/proc/stat").read_text(encoding="ascii").split()[1:9]]
        busy = sum(ticks) - ticks[3] - ticks[4]  # but for idle and iowait
        ours = [cpu_seconds(pid) or 0.0 for leader in bench.stack.pids().values() for pid in session(leader)]
        return cls(busy / TICKS, sum(ours), time.time())

    def cores(self, before: Self) -> dict[str, float]:
        """How many cores were busy since then."""
        seconds = self.at - before.at
        return {
            "cores busy": (self.all - before.all) / seconds,
            "of these with the job and the laboratory": (self.ours - before.ours) / seconds,
        }


def phases(kinds: tuple[str, ...], seconds: int, blast: int, rates: tuple[int, ...]) -> Iterator[Phase]:
    """What is fed, in order; a blast lasts until all of it is put, once at each rate."""
    quiet = min(seconds, 50)
    yield Phase("warm-up", min(*rates, 5_000) if "blast" in kinds else EACH, WARM_UP)
    yield Phase(NOTHING, EACH, quiet)
    for kind in kinds:
        blasts = [Phase(kind, rate, blast // rate) for rate in rates]
        for phase in blasts if kind == "blast" else [Phase(kind, 10 * EACH, seconds)]:
            yield from (phase, Phase("pause", EACH, 10))
    yield Phase(NOTHING, EACH, quiet)


def fed(bench: Bench, plan: list[Phase]) -> tuple[int, list[Spent]]:
    """Feed all phases; the events of the big project, and what was spent before each phase and in the end."""
    spent = list[Spent]()
    begin, number, own, rng = time.time(), 0, _OWN, Random(1)
    hangs, shops = bench.stack.folder / "amplitude" / "hangs", list(QUIET.values())
    for phase in plan:
        spent.append(Spent.until_now(bench))
        hangs.write_text(key(BIG) if phase.name == "hang" else "", encoding="ascii")
        for _ in range(phase.seconds * FILES):
            first, ours = number * _QUIET_EVENTS, phase.rate // FILES
            lines = [event(first + n, shops[n % len(shops)]) for n in range(_QUIET_EVENTS)]
            lines += (event(own + n, "shop-0") for n in range(ours))
            rng.shuffle(lines)
            time.sleep(max(0.0, begin + (number + rng.random()) / FILES - time.time()))
            bench.put(lines)
            own, number = own + ours, number + 1
    return own - _OWN, [*spent, Spent.until_now(bench)]


def measured(plan: list[Phase], say: Say) -> list[Figure]:
    """All phases in one job. Raises StackError, StoreError."""
    say(", ".join(f"{phase.name} {phase.seconds} s" for phase in plan))
    with running({BIG: "shop-0", **QUIET}) as bench:
        failed = checkpoints(bench)  # those that began before all tasks ran
        own, spent = fed(bench, plan)
        bench.wait(len(bench.puts) * _QUIET_EVENTS + own)
        failed, restarts = checkpoints(bench) - failed, bench.stack.flink.failures(bench.job)
        rows = bench.answered()
    quiet = rows["event_id"] < _OWN
    file = rows["event_id"][quiet] // _QUIET_EVENTS
    waits = rows["answered"][quiet] - np.array(bench.puts)[file]
    found, base, begin = list[Figure](), 0.0, 0
    for at, phase in enumerate(plan):
        here = waits[(file >= begin) & (file < begin + phase.seconds * FILES)]
        begin += phase.seconds * FILES
        if phase.name in {"warm-up", "pause"}:
            continue
        name, p95 = f"beside {phase.name}, {phase.rate}/s, {phase.seconds} s", float(np.percentile(here, 95))
        base = base or p95
        seconds = {"p50": float(np.percentile(here, 50)), "p95": p95, "largest": float(here.max())}
        found += figures.of(name, {f"put to accepted, {what} of the 49": n for what, n in seconds.items()}, "s")
        found.append(Figure(name, f"p95 against nothing; target {TARGET}", p95 / base, "times"))
        found.append(Figure(name, "events of the one", phase.rate * phase.seconds))
        found += figures.of(name, spent[at + 1].cores(spent[at]))
    others = {name: column[quiet] for name, column in rows.items()}
    wrong = {"failed checkpoints": failed, "restarts": restarts}
    return [
        *found,
        Figure("all", "events of the 49", accepted(others, len(bench.puts) * _QUIET_EVENTS)),
        Figure("all", "events of the one that wait", int(np.sum(rows["outcome"][~quiet] == "waiting"))),
        *(Figure("all", what, f"WRONG: {n:,}" if n else 0) for what, n in wrong.items()),
    ]


def checkpoints(bench: Bench) -> int:
    """How many have failed so far."""
    return int(bench.stack.rest(f"/jobs/{bench.job}/checkpoints")["counts"]["failed"])


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("kinds", nargs=-1, required=True, type=click.Choice(("hang", "blast")))
@click.option("--seconds", default=600, type=click.IntRange(10), help="How long the one's host hangs.")
@click.option("--blast", default=1_000_000, type=click.IntRange(1), help="Events of the one's blast.")
@click.option(
    "--rate",
    "rates",
    default=(5_000,),
    multiple=True,
    type=click.IntRange(1),
    help="Of them a second; a shard takes 1,000. Each one given is a blast of its own.",
)
def main(kinds: tuple[str, ...], seconds: int, blast: int, rates: tuple[int, ...]) -> None:
    """Measure these kinds; exit 1 when something is missing, refused, restarted or failed."""
    stop_on_signals()
    click.echo(machine())
    with one_line_errors("export_worst"):
        found = measured(list(phases(kinds, seconds, blast, rates)), Console(stderr=True).print)
    show(found, Console(width=130))
    sys.exit(any(one.wrong for one in found))


if __name__ == "__main__":
    main()
