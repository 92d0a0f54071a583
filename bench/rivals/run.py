"""`python -m bench.rivals.run`: the rivals over the same events, in interleaved rounds, each result verified.

Each rival in Python or Spark has an environment of its own under build/rivals, made on first use from the lock
beside this file; naive PyFlink runs on a stack of ours. To renew a lock, outside of this repository (whose
pyproject.toml holds pyarrow back): `uv pip compile plain.in --python-version 3.11 --universal --generate-hashes
--no-header --no-annotate -o plain.lock`, where plain.in names lmdb, msgspec and pyarrow; bytewax.lock is of
bytewax, msgspec and pyarrow, spark.lock of pyspark.

The clock is each rival's own, from its first record to its last row durable; processes and JVMs are up before.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from bench import bounded, processes
from bench.rivals.given import Found, Given, Mix, tally, verdict, write
from bench.rivals.meter import RESULT
from ops import package
from ops.local import Stack
from ops.machine import Ports
from ops.process import Process, StackError, useful_line
from ops.terminal import one_line_errors
from settings import load
from stores.lake import EVENT_STORE, Lake

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ENVIRONMENTS = ROOT / "build" / "rivals"
UV = ROOT / ".tools" / "bin" / "uv"
WARM_UP_EVENTS = 50_000
SLOWEST = 200  # events/s; below this something hangs
COLUMNS = ("project_id", "month", "identity")
NOT_GUARANTEED = {
    "plain": "rows and counts together; failover, rescaling, expiry, a table format, a stream's position",
    "bytewax": "rows that stay (a resume takes some back); expiry, rescaling while running, a table format",
    "spark": "rows and counts together; whole batches to a reader; rows synced to disk; latency below a batch",
    "naive": "going on after one bad line; state that survives an edit of the graph",
}


class Outcome(NamedTuple):
    """What a run has cost, from the first record read to the last row durable, and what it has stored."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    found: Found


class Rival(NamedTuple):
    """One way to do the work: `run(given, out)` consumes a folder into another."""

    name: str
    run: Callable[[Given, Path], Outcome]


class Round(NamedTuple):
    """One run of a rival over what it was given."""

    rival: str
    records: int
    outcome: Outcome
    verdict: str


def environment(name: str) -> Path:
    """The Python of a rival's environment, made from its lock unless that is done. Raises StackError."""
    folder, lock = ENVIRONMENTS / name, HERE / f"{name}.lock"
    done, wanted = folder / "lock", lock.read_bytes()
    if not done.is_file() or done.read_bytes() != wanted:
        python = folder / "bin" / "python"
        _uv("venv", "--clear", "--python", sys.executable, folder)
        _uv("pip", "sync", "--require-hashes", "--python", python, lock)
        done.write_bytes(wanted)
    return folder / "bin" / "python"


def run_script(name: str, module: str, more: Sequence[Path], given: Given, out: Path) -> Outcome:
    """Run a rival's module in its environment and read back what it stored. Raises StackError."""
    out.mkdir(parents=True)
    command = [str(environment(name)), "-m", f"bench.rivals.{module}", *map(str, (given.folder, out, *more))]
    log = out / "log"
    process = Process(name, command, log, {**os.environ, "PYTHONPATH": str(ROOT)}, ROOT)
    try:
        process.wait_until(lambda: _told(log) is not None, 120 + given.records / SLOWEST)
    except StackError:
        if _told(log) is None:  # it may end between the last look at its log and the one at itself
            raise
    finally:
        process.stop(30)
    told = _told(log) or {}
    totals = {(project, month): count for project, month, count in told.pop("counts")}
    stored = ds.dataset(out / "events", format="parquet").to_table(columns=list(COLUMNS))
    return Outcome(**told, found=tally(stored, totals))


class Naive:
    """Naive PyFlink on the cluster of a stack, each run into tables of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._runs = stack, 0
        stack.write_settings()

    def run(self, given: Given, out: Path) -> Outcome:
        """Submit the job; from the first record's arrival to the last one counted, and the checkpoint after that.

        CPU and memory are those of the TaskManager and its Python workers, as bench.bounded has them.
        """
        self._runs += 1
        override = f"lake.namespace=naive_{self._runs}"
        totals = out / "totals"
        totals.mkdir(parents=True)
        arguments: list[str | Path] = ["--config", self._stack.settings_path, "--set", override]
        arguments += ["--input", given.folder.as_uri(), "--totals", totals.as_uri()]
        limit = 120 + given.records / SLOWEST
        run = bounded.run(self._stack, HERE / "naive.py", package.build(), arguments, limit)
        lake = Lake(load(self._stack.settings_path, (override,)).lake_address)
        stored = lake.rows(EVENT_STORE, (*COLUMNS, "arrival"))
        counts, last = _read_totals(totals)
        first = min(stored["arrival"].to_pylist()).timestamp()
        visible = next((one for one in run.checkpoints if one.triggered >= last), None)
        seconds = last - first + (visible.ended - visible.triggered if visible else 0.0)
        cpu = run.jvm.cpu_seconds + run.python.cpu_seconds
        return Outcome(seconds, cpu, run.jvm.peak_mb + run.python.peak_mb, tally(stored, counts))


def measure(names: Sequence[str], count: int, naive_count: int, mix: Mix, rounds: int) -> list[Round]:
    """Run every rival `rounds` times, one after the other, so that a machine that drifts favours none."""
    progress = Console(stderr=True)
    work = ROOT / "var" / "rivals"
    shutil.rmtree(work, ignore_errors=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        progress.print(f"writing {count:,} events")
        given = dict.fromkeys(names, write(work / "input", count, mix))
        warm_up = write(work / "warm-up", min(WARM_UP_EVENTS, count), mix)
        scripts = {
            "plain": partial(run_script, "plain", "plain", ()),
            "bytewax": partial(run_script, "bytewax", "bytewax_flow", ()),
            "spark": partial(run_script, "spark", "spark", (warm_up.folder,)),
        }
        rivals = [Rival(name, scripts[name]) for name in names if name in scripts]
        for rival in rivals:
            environment(rival.name)
        if "naive" in names:
            given["naive"] = write(work / "naive", min(naive_count, count), mix)
            options = {"execution.checkpointing.interval": "10s"}
            naive = Naive(stack.enter_context(Stack("bench-rivals", Ports.free(), flink_options=options)))
            naive.run(write(work / "naive-warm-up", max(1, given["naive"].records // 10), mix), work / "warm")
            rivals.append(Rival("naive", naive.run))
        done = []
        for number in range(1, rounds + 1):
            for rival in rivals:
                one = _round(rival, given[rival.name], work / "out")
                progress.print(f"round {number}, {rival.name}: {_rate(one):,.0f} events/s, {one.verdict}")
                done.append(one)
        return done


def show(done: Sequence[Round], console: Console) -> None:
    """One line per rival: the median of its rounds, the spread of its speed, and what it does not promise."""
    table = Table("rival")
    for title in ("events", "events/s", "min - max", "events per CPU s", "peak MB"):
        table.add_column(title, justify="right")
    table.add_column("verdict")
    table.add_column("not guaranteed", min_width=30)
    for name in dict.fromkeys(one.rival for one in done):
        rounds = [one for one in done if one.rival == name]
        rates = [_rate(one) for one in rounds]
        wrong = [one.verdict for one in rounds if one.verdict != "ok"]
        table.add_row(
            name,
            f"{rounds[0].records:,}",
            f"{median(rates):,.0f}",
            f"{min(rates):,.0f} - {max(rates):,.0f}",
            f"{median(one.records / one.outcome.cpu_seconds for one in rounds):,.0f}",
            f"{max(one.outcome.peak_mb for one in rounds):,.0f}",
            wrong[0] if wrong else "ok",
            NOT_GUARANTEED[name],
            style="red" if wrong else None,
        )
    console.print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--events", default=1_000_000, type=click.IntRange(1), help="Events per round.")
@click.option("--naive-events", default=50_000, type=click.IntRange(1), help="At most so many for naive PyFlink.")
@click.option("--rounds", default=3, type=click.IntRange(1), help="Rounds of each rival.")
@click.option("--size", default=1500, type=click.IntRange(1), help="Bytes of an event, about.")
@click.option("--duplicates", default=0.05, type=click.FloatRange(0, 1, max_open=True), help="Share of copies.")
@click.option("--projects", default=50, type=click.IntRange(1), help="Projects, in equal shares.")
@click.option("--skewed", is_flag=True, help="The first project has half of the traffic.")
@click.option("--only", multiple=True, type=click.Choice(tuple(NOT_GUARANTEED)), help="This rival; repeatable.")
def main(  # noqa: PLR0913, PLR0917  one argument per option
    events: int,
    naive_events: int,
    rounds: int,
    size: int,
    duplicates: float,
    projects: int,
    skewed: bool,
    only: tuple[str, ...],
) -> None:
    """Measure and print one table; exit 1 when rows were wrong, for then no figure means anything."""
    console = Console(width=160)
    console.print(processes.machine(), highlight=False, soft_wrap=True)
    mix = Mix(size, duplicates, projects, skewed)
    done = measure(only or tuple(NOT_GUARANTEED), events, naive_events, mix, rounds)
    show(done, console)
    if any(one.verdict != "ok" for one in done):
        sys.exit(1)


def _round(rival: Rival, given: Given, out: Path) -> Round:
    shutil.rmtree(out, ignore_errors=True)
    outcome = rival.run(given, out)
    return Round(rival.name, given.records, outcome, verdict(given, outcome.found))


def _rate(one: Round) -> float:
    return one.records / one.outcome.seconds


def _read_totals(folder: Path) -> tuple[dict[tuple[int, str], int], float]:
    """Naive PyFlink's files: the highest total by project and month, and when the last event was counted."""
    counts: dict[tuple[int, str], int] = {}
    last = 0.0
    for path in folder.rglob("[!.]*"):
        for line in path.read_text("ascii").splitlines() if path.is_file() else ():
            project, month, total, counted = line.split()
            key = (int(project), month)
            counts[key] = max(counts.get(key, 0), int(total))
            last = max(last, float(counted))
    return counts, last


def _told(log: Path) -> dict[str, Any] | None:
    """What a rival has told by bench.rivals.meter.report; None before."""
    lines = log.read_text("utf-8", "replace").splitlines(keepends=True)
    return next((json.loads(line) for line in lines if line.startswith(RESULT) and line.endswith("\n")), None)


def _uv(*arguments: str | Path) -> None:
    done = subprocess.run([UV, "-q", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"no environment for the rival: {useful_line(done.stderr)}"
        raise StackError(msg)


if __name__ == "__main__":
    with one_line_errors("bench"):
        main()
