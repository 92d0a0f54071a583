"""Events per second of the whole path, file to Iceberg, beside the JVM-only SQL job in interleaved rounds.

Both run on one cluster of real processes with our flink-conf/ (RocksDB, checkpoints), one after the other, so
that a machine whose speed drifts favours neither: only ratios within a round count. The clock is the rows' own:
from the first record's arrival (read from the file) to the last one's, plus the checkpoint that makes the last
visible; the idle wait in between, until that checkpoint's turn comes, is left out. CPU is that of the whole job.

Each round's rows are read back. Windows on processing time do not fire at the end of bounded input, so totals
are not checked here; the end-to-end tests do that.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pyarrow.compute as pc

from bench import bounded
from bench.bounded import Run
from bench.events import events
from bench.figures import Figure
from bench.processes import peak_mb
from ops import package
from ops.local import Stack
from ops.machine import Ports
from settings import Settings, load
from stores.lake import DEAD_LETTERS, EVENT_STORE, Lake
from stores.project import linked
from stores.projects import Projects

PROJECTS = range(400_001, 400_051)
DUPLICATES = 0.05
SEED = 7
WARM_UP_EVENTS = 50_000
SLOWEST = 1_000  # events/s; below this something hangs
JOBS = {name: Path(__file__).with_name(f"job_{name}.py") for name in ("ours", "rival")}

Say = Callable[[str], None]


class Input(NamedTuple):
    """A folder with one file of events, how many, and how many of them are distinct."""

    folder: Path
    records: int
    distinct: int


class Stored(NamedTuple):
    """What a job has left in the event store; arrivals of the first and last record in seconds of the epoch."""

    verdict: str
    first: float
    last: float


class Round(NamedTuple):
    """One job over the whole input."""

    job: str
    rate: float
    run: Run
    verdict: str


def measure(count: int, rounds: int, checkpoint_seconds: int, say: Say) -> list[Figure]:
    """Run a warm-up and `rounds` of each job over `count` events."""
    options = {"execution.checkpointing.interval": f"{checkpoint_seconds}s"}
    with Stack("bench", Ports.free(), flink_options=options) as stack:
        stack.write_settings()
        say(f"writing {count:,} events")
        warm_up = write_input(stack.folder / "input" / "warm-up", min(WARM_UP_EVENTS, count))
        whole = write_input(stack.folder / "input" / "whole", count)
        try:
            for job in JOBS:
                _round(stack, job, 0, warm_up, say)
            done = [_round(stack, job, n, whole, say) for n in range(1, rounds + 1) for job in JOBS]
        finally:
            shutil.rmtree(stack.folder / "input")
        others = {name: pid for name, pid in stack.pids().items() if not name.startswith("taskmanager")}
        return [
            Figure("throughput", "events per round", count),
            Figure("throughput", "checkpoint interval", checkpoint_seconds, "s"),
            *_figures(done, count),
            *(
                Figure("throughput", f"peak memory of {name}", peak_mb(pid) or 0.0, "MB")
                for name, pid in others.items()
            ),
        ]


def write_input(folder: Path, count: int) -> Input:
    """Write events one per line; the generator repeats exactly `int(count * DUPLICATES)` of them."""
    folder.mkdir(parents=True)
    with (folder / "events.jsonl").open("wb") as file:
        file.writelines(data + b"\n" for data in events(count, SEED, PROJECTS, DUPLICATES))
    return Input(folder, count, count - int(count * DUPLICATES))


def _round(stack: Stack, job: str, number: int, given: Input, say: Say) -> Round:
    """Run one job into tables of its own and read back what it stored."""
    overrides = (
        f"lake.namespace={job}_{number}",
        f"dynamodb.table_prefix={job}_{number}_",
        "ingest.usage_interval_seconds=10",
    )
    settings = load(stack.settings_path, overrides)
    register_projects(settings)
    arguments: list[str | Path] = ["--config", stack.settings_path, "--input", f"file://{given.folder}"]
    arguments += [part for override in overrides for part in ("--set", override)]
    run = bounded.run(stack, JOBS[job], package.build(), arguments, 60 + given.records / SLOWEST)
    found = read_back(settings, given)
    last = next((c for c in run.checkpoints if c.triggered >= found.last), None)
    seconds = found.last - found.first + (last.ended - last.triggered if last else 0.0)
    rate = given.records / seconds
    say(f"{'round ' + str(number) if number else 'warm-up'}, {job}: {rate:,.0f} events/s, rows {found.verdict}")
    return Round(job, rate, run, found.verdict)


def register_projects(settings: Settings) -> None:
    """The registry as ours reads it; the rival knows none."""
    projects = Projects(settings.tables_address)
    projects.create()
    for project_id in PROJECTS:
        projects.add(linked(project_id, f"notifly-{project_id}"))


def read_back(settings: Settings, given: Input) -> Stored:
    """ok when the event store holds every distinct event once and nothing became a dead letter."""
    lake = Lake(settings.lake_address)
    # event_time is a parsed column that every event has; server_upload_time has forms that `json` makes null
    rows = lake.rows(EVENT_STORE, ("identity", "event_time", "arrival"))
    found = {
        "rows": rows.num_rows,
        "distinct": pc.count_distinct(rows["identity"]).as_py(),
        "with event_time": rows.num_rows - rows["event_time"].null_count,
        "with dead letters": rows.num_rows + lake.rows(DEAD_LETTERS, ("kind",)).num_rows,
    }
    wrong = [f"{n:,} {what}" for what, n in found.items() if n != given.distinct]
    arrival = pc.min_max(rows["arrival"]).as_py()
    verdict = f"WRONG: {', '.join(wrong)} instead of {given.distinct:,}" if wrong else "ok"
    return Stored(verdict, arrival["min"].timestamp(), arrival["max"].timestamp())


def _figures(done: list[Round], count: int) -> list[Figure]:
    name = "throughput"
    figures = []
    ratios = []
    for number, (ours, rival) in enumerate(zip(done[::2], done[1::2], strict=True), 1):
        ratios.append(ours.rate / rival.rate)
        for one in (ours, rival):
            figures += _of_round(one, f"round {number}, {one.job}", count)
        figures.append(Figure(name, f"round {number}, ours / rival", ratios[-1], "x"))
    return [*figures, Figure(name, "median of rounds, ours / rival", median(ratios), "x")]


def _of_round(one: Round, title: str, count: int) -> list[Figure]:
    jvm, python = one.run.jvm, one.run.python
    parts: list[tuple[str, float | str, str]] = [
        ("", one.rate, "events/s"),
        (": rows", one.verdict, ""),
        (": source RUNNING to job FINISHED", one.run.seconds, "s"),
        (": CPU of the TaskManager's JVM", jvm.cpu_seconds / count * 1e6, "µs/event"),
        (": CPU of its Python workers", python.cpu_seconds / count * 1e6, "µs/event"),
        (": peak memory of the TaskManager's JVM", jvm.peak_mb, "MB"),
        (": peak memory of its Python workers", python.peak_mb, "MB"),
    ]
    return [Figure("throughput", title + what, value, unit) for what, value, unit in parts]
