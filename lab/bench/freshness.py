"""How old events are when they show, as shipped: `python -m lab.bench.freshness [--tenants] --rate N --seconds N`.

Events are put when their file appears in the job's folder, one a second, as in lab.bench.steady. A row is
visible when the Iceberg snapshot that adds it is committed. A file is in usage when the total of all projects
says so, which is looked up once a second: it may have been so for that long. All clocks are this machine's.
Which file a row came in its event_id tells, the number of the record: a shard per file would make the ledger
work as it never does.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import click
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console

from lab.bench.events import PROJECTS
from lab.bench.figures import Figure, Say, show
from lab.bench.processes import machine
from lab.bench.steady import Bench, conclude, counted, running
from lab.stack.process import StackError
from ops.cli.terminal import one_line_errors, stop_on_signals
from settings import Settings
from stores.lake import EVENT_STORE, Lake

WARM_UP = 40  # s of input at the same rate that count for nothing: until its code is compiled a job is slow
BIG = PROJECTS[0]
TIMES, TARGET = 100, 1.1  # as much as each of the others, which may wait so much longer for it
EQUAL, UNEQUAL = "equal shares", f"one project at {TIMES} times each other"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Rows(NamedTuple):
    """Columns of the event store; visible since, in seconds of the epoch."""

    event_ids: Ints
    projects: Ints
    visible: Floats


class Run(NamedTuple):
    """Seconds from put to visible by row, the rows' projects, seconds from put to usage by file, and checks."""

    visible: Floats
    projects: Ints
    usage: Floats
    checks: list[Figure]


def shares(unequal: bool) -> list[int]:
    """The projects, each as often as its share says."""
    return [*PROJECTS, *[BIG] * (TIMES - 1 if unequal else 0)]


def centiles(waits: Floats) -> dict[str, float]:
    """p50, p95, p99 and the largest; nan of none."""
    at = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: float(np.percentile(waits, p)) if len(waits) else float("nan") for name, p in at.items()}


def waited(puts: Floats, rate: int, rows: Rows) -> Floats:
    """Seconds of each row from its file's put; of a repeated event the first copy's counts."""
    return np.subtract(rows.visible, puts[rows.event_ids // rate], dtype=np.float64)


def until_counted(puts: Floats, rate: int, at: Sequence[float], totals: Sequence[int]) -> Floats:
    """Seconds of each file from its put until a total had been seen that includes it; nan when none does."""
    reached = np.searchsorted(totals, np.arange(1, len(puts) + 1) * rate)
    return np.subtract(np.append(at, np.nan)[reached], puts, dtype=np.float64)


def stored(settings: Settings) -> Rows:
    """All rows of the event store, of which there must be one."""
    table = Lake(settings.lake_address).table(EVENT_STORE)
    committed = {one.snapshot_id: one.timestamp_ms / 1000 for one in table.snapshots()}
    pieces = []
    for entry in table.inspect.entries().to_pylist():
        path = entry["data_file"]["file_path"].removeprefix("file:")
        ids, projects = (one.to_numpy() for one in pq.read_table(path, columns=["event_id", "project_id"]).columns)
        pieces.append((ids, projects, np.full(len(ids), committed[entry["snapshot_id"]])))
    return Rows(*map(np.concatenate, zip(*pieces, strict=True)))


def watched(bench: Bench, fed: int) -> tuple[list[float], list[int]]:
    """When the records in usage were looked up, and how many, until all are there or patience is over."""
    at, totals = list[float](), list[int]()

    def all_seen() -> bool:
        totals.append(counted(bench.settings)[0])
        at.append(time.time())
        return totals[-1] >= fed

    bench.until(all_seen, 1)
    return at, totals


@contextmanager
def full_disk_told() -> Iterator[None]:
    """An OSError as a StackError: the input takes gigabytes."""
    try:
        yield
    except OSError as error:
        raise StackError(str(error)) from None


def measured(name: str, rate: int, seconds: int, projects: Sequence[int], say: Say) -> Run:
    """One run: warm-up, then so many seconds that count. Raises StackError, of a full disk too."""
    say(f"{name}: {WARM_UP} s of warm-up, then {seconds} s")
    with full_disk_told(), running("freshness", rate, WARM_UP + seconds, projects=projects) as bench:
        at, totals = watched(bench, (WARM_UP + seconds) * rate)
        checks = [one._replace(benchmark=f"{name}, {one.benchmark}") for one in conclude(bench)]
        restarts = bench.stack.flink.failures(bench.job)
        rows, puts = stored(bench.settings), np.array(bench.puts)
    checks.append(Figure(checks[0].benchmark, "restarts", f"WRONG: {restarts}" if restarts else 0))
    late = float(np.max(puts - puts[0] - np.arange(len(puts))))
    checks.append(Figure(checks[0].benchmark, "a file was put late by at most", late, "s"))
    counts, usage = rows.event_ids >= WARM_UP * rate, until_counted(puts, rate, at, totals)[WARM_UP:]
    return Run(waited(puts, rate, rows)[counts], rows.projects[counts], usage, checks)


def fresh(rate: int, seconds: int, say: Say) -> list[Figure]:
    """From put to visible row, and to usage, at a rate."""
    run = measured(name := f"{rate:,} events/s", rate, seconds, shares(unequal=False), say)
    waits = {"visible row": run.visible, "usage": run.usage}
    found = {f"put to {what}, {p}": value for what, one in waits.items() for p, value in centiles(one).items()}
    return [*(Figure(name, what, value, "s") for what, value in found.items()), *run.checks]


def tenants(rate: int, seconds: int, say: Say) -> list[Figure]:
    """What a big project does to how fresh the events of others are, at the same rate of all together."""
    found, checks, p95 = list[Figure](), list[Figure](), {}
    for shape in (EQUAL, UNEQUAL):
        run = measured(name := f"{rate:,} events/s, {shape}", rate, seconds, shares(shape == UNEQUAL), say)
        others = run.projects != BIG
        p95[shape] = centiles(run.visible[others])["p95"]
        values = {"the others": p95[shape], f"project {BIG}": centiles(run.visible[~others])["p95"]}
        found += [Figure(name, f"put to visible row, p95 of {one}", value, "s") for one, value in values.items()]
        checks += run.checks
    what, ratio = f"p95 of the others, unequal / equal; target {TARGET}", p95[UNEQUAL] / p95[EQUAL]
    return [*found, Figure(f"{rate:,} events/s, fairness", what, ratio), *checks]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rate", "rates", required=True, multiple=True, type=click.IntRange(1), help="Events per second.")
@click.option("--seconds", default=150, type=click.IntRange(1, 300), help="How long to feed after the warm-up.")
@click.option("--tenants", "fairness", is_flag=True, help="A big project beside others instead.")
def main(rates: tuple[int, ...], seconds: int, fairness: bool) -> None:
    """Measure each rate on a stack of its own; exit 1 when anything is missing, extra or unexplained."""
    stop_on_signals()
    click.echo(machine())
    measure = tenants if fairness else fresh
    with one_line_errors("freshness"):
        found = [figure for rate in rates for figure in measure(rate, seconds, Console(stderr=True).print)]
    show(found, Console(width=130))
    sys.exit(any(one.wrong for one in found))


if __name__ == "__main__":
    main()
