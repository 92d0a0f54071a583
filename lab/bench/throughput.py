"""`make bench`: the same events through our job and through others, in interleaved rounds, each result verified.

All start from the same files; only ratios within a round mean something, for a machine's speed drifts. A figure of
a round whose rows or totals are not the oracle's is no figure.
"""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

from lab.bench import engines, processes
from lab.bench.engines import Engine, Outcome, Script
from lab.bench.figures import Say
from lab.bench.given import Given, Mix, verdict, write
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from ops.cli.terminal import one_line_errors, stop_on_signals

NOT_GUARANTEED = {
    "ours": "",
    "ours-2": "(two TaskManagers)",
    "ours-no-iceberg": "any row: its tables keep nothing",
    "sql": "copies without a uuid, unknown fields, dead letters, whose record it is, a ledger",
    "sql-no-iceberg": "the same, and any row",
    "plain": "rows and counts together; failover, rescaling, expiry, a table format, a stream's position",
    "bytewax": "rows that stay (a resume takes some back); expiry, rescaling while running, a table format",
    "spark": "rows and counts together; whole batches to a reader; rows synced to disk; latency below a batch",
    "naive": "going on after one bad line; state that survives an edit of the graph",
}
"""What is measured, and what it does not promise."""
MIXES = {
    "typical": Mix(),
    "small": Mix(size=500),
    "large": Mix(size=5000),
    "copies": Mix(duplicates=0.3),
    "projects-1k": Mix(projects=1_000),
    "projects-10k": Mix(projects=10_000),
    "skewed": Mix(skewed=True),
}
CHECKPOINTS = "10s"
WARM_UP_EVENTS = 100_000
JOB_WARM_UP = 4  # times as much: as often as Spark runs its own


class Amount(NamedTuple):
    """How much is measured; `naive_events` is the most that naive PyFlink is given."""

    events: int
    naive_events: int
    rounds: int


class Round(NamedTuple):
    """One run of an engine over what it was given."""

    engine: str
    records: int
    outcome: Outcome
    verdict: str

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.records / self.outcome.seconds

    @property
    def per_cpu_second(self) -> float:
        """Events per CPU second; nan of a run too short for its CPU to be seen."""
        return self.records / self.outcome.cpu_seconds if self.outcome.cpu_seconds else float("nan")


def measure(names: Sequence[str], mix: Mix, amount: Amount, say: Say) -> list[Round]:
    """Run every engine some rounds, one after the other, so that a machine that drifts favours none."""
    work = ROOT / "var" / "throughput"
    shutil.rmtree(work, ignore_errors=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        say(f"writing {amount.events:,} events")
        given = dict.fromkeys(names, write(work / "input", amount.events, mix))
        warm_up = write(work / "warm-up", min(WARM_UP_EVENTS, amount.events), mix)
        long = write(work / "warm-up-job", min(JOB_WARM_UP * WARM_UP_EVENTS, amount.events), mix)
        running = _engines(stack, names, warm_up)
        if "naive" in names:
            given["naive"] = write(work / "naive", min(amount.naive_events, amount.events), mix)
        for name, engine in running.items():
            if not isinstance(engine, Script):  # a script warms itself up
                say(f"warming up {name}")
                short = write(work / "short", given[name].records // 10, mix) if name == "naive" else long
                engine.run(short, work / f"warm-{name}")
        done = []
        for number in range(1, amount.rounds + 1):
            for name, engine in running.items():
                one = _round(name, engine, given[name], work / "out")
                say(f"round {number}, {name}: {one.rate:,.0f} events/s, {one.verdict}")
                done.append(one)
        return done


def show(title: str, done: Sequence[Round], console: Console) -> None:
    """One line per engine: medians of its rounds, the spread of its speed, and what it does not promise."""
    table = Table("engine", title=title)
    for heading in ("events", "events/s", "min - max", "CPU µs/event", "cores", "events per CPU s", "peak MB"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    table.add_column("not guaranteed", min_width=30)
    for name in dict.fromkeys(one.engine for one in done):
        rounds = [one for one in done if one.engine == name]
        rates = [one.rate for one in rounds]
        wrong = [one.verdict for one in rounds if one.verdict != "ok"]
        table.add_row(
            name,
            f"{rounds[0].records:,}",
            f"{median(rates):,.0f}",
            f"{min(rates):,.0f} - {max(rates):,.0f}",
            _cpu(rounds),
            f"{median(one.outcome.cpu_seconds / one.outcome.seconds for one in rounds):.2f}",
            f"{median(one.per_cpu_second for one in rounds):,.0f}",
            f"{max(one.outcome.peak_mb for one in rounds):,.0f}",
            wrong[0] if wrong else "ok",
            NOT_GUARANTEED[name],
            style="red" if wrong else None,
        )
    console.print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--events", default=1_000_000, type=click.IntRange(1), help="Events per round.")
@click.option("--naive-events", default=50_000, type=click.IntRange(10), help="At most so many for naive PyFlink.")
@click.option("--rounds", default=3, type=click.IntRange(1), help="Rounds of each.")
@click.option("--mix", "mixes", multiple=True, type=click.Choice(tuple(MIXES)), default=["typical"])
@click.option("--only", multiple=True, type=click.Choice(tuple(NOT_GUARANTEED)), help="This one; repeatable.")
def main(events: int, naive_events: int, rounds: int, mixes: Sequence[str], only: Sequence[str]) -> None:
    """Measure and print a table for each mix; exit 1 when rows were wrong, for then no figure means anything.

    Mixes: 1.5 KB, 5 % copies, 50 projects (typical); 0.5 KB (small); 5 KB (large); 30 % copies; 1000 and 10 000
    projects; one project with half of the traffic (skewed).
    """
    stop_on_signals()
    console, progress = Console(width=170), Console(stderr=True)
    console.print(processes.machine(), highlight=False, soft_wrap=True)
    right = True
    for mix in mixes:
        done = measure(
            only or tuple(NOT_GUARANTEED), MIXES[mix], Amount(events, naive_events, rounds), progress.print
        )
        show(f"{mix}, checkpoints every {CHECKPOINTS}", done, console)
        right = right and all(one.verdict == "ok" for one in done)
    if not right:
        sys.exit(1)


def _engines(stack: ExitStack, names: Sequence[str], warm_up: Given) -> Mapping[str, Engine]:
    """What these names stand for, with the clusters that they need, in the order of NOT_GUARANTEED."""

    def cluster(name: str, taskmanagers: int = 1) -> Stack:
        options = {"execution.checkpointing.interval": CHECKPOINTS}
        started = Stack(name, Ports.free(), taskmanagers=taskmanagers, flink_options=options)
        stack.enter_context(started).write_settings()
        return started

    single = cache(lambda: cluster("bench"))
    makers: dict[str, Callable[[], Engine]] = {
        "ours": lambda: engines.ours("ours", single()),
        "ours-2": lambda: engines.ours("ours-2", cluster("bench-2", 2), "-p", "2"),
        "ours-no-iceberg": lambda: engines.ours("ours-no-iceberg", single(), discard=True),
        "sql": lambda: engines.sql("sql", single()),
        "sql-no-iceberg": lambda: engines.sql("sql-no-iceberg", single(), discard=True),
        "plain": lambda: Script("plain", "plain"),
        "bytewax": lambda: Script("bytewax", "bytewax_flow"),
        "spark": lambda: Script("spark", "spark", (warm_up.folder,)),
        # its jobs would leave the JVM's compiler with a profile that is not that of whoever comes next
        "naive": lambda: engines.naive(cluster("bench-naive")),
    }
    return {name: make() for name, make in makers.items() if name in names}


def _round(name: str, engine: Engine, given: Given, out: Path) -> Round:
    shutil.rmtree(out, ignore_errors=True)
    outcome = engine.run(given, out)
    return Round(name, given.records, outcome, verdict(given, outcome.found))


def _cpu(rounds: Sequence[Round]) -> str:
    """JVM + Python where both work, else the sum."""
    whole = median(one.outcome.cpu_seconds / one.records for one in rounds) * 1e6
    python = median(one.outcome.python_cpu_seconds / one.records for one in rounds) * 1e6
    return f"{whole - python:.0f} + {python:.0f}" if python > 1 else f"{whole:.0f}"


if __name__ == "__main__":
    with one_line_errors("bench"):
        main()
