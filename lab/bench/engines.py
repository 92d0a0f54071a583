"""What `python -m lab.bench.throughput` compares: our job in three ways, and the same work by others.

Jobs of Flink run one after the other on a cluster of real processes with our flink-conf/; the rivals in plain
Python, Bytewax and Spark each in an environment of their own under build/rivals, made on first use from the lock
beside their file. A lock is renewed outside of this repository (whose pyproject.toml holds pyarrow back) by `uv
pip compile NAME.in --python-version 3.11 --universal --generate-hashes --no-header --no-annotate -o NAME.lock`:
plain.in names lmdb, msgspec and pyarrow, bytewax.in bytewax, msgspec and pyarrow, spark.in pyspark.

The clock is each one's own, from its first record to its last row durable; processes and JVMs are up before. Of a
job that is: from the arrival of the first record, when it is read, to the last one's, and the checkpoint that
makes that visible; the idle wait in between, until that checkpoint's turn comes, is left out, and with it the time
in which the last bundle is worked off. CPU and memory are those of all TaskManagers and the JobManager, DynamoDB
Local's are not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow.compute as pc
import pyarrow.dataset as ds

from lab.bench import bounded
from lab.bench.bounded import Run
from lab.bench.events import register
from lab.bench.given import Found, Given, tally
from lab.bench.rivals.meter import RESULT, Counts
from lab.stack.local import ROOT, Stack
from lab.stack.process import Process, StackError
from ops.release import job_zip
from ops.release.flink_cli import useful_line
from settings import Settings, load
from stores.lake import DEAD_LETTERS, EVENT_STORE, Lake

_RIVALS = ROOT / "lab" / "bench" / "rivals"
_ENVIRONMENTS = ROOT / "build" / "rivals"
_UV = ROOT / ".tools" / "bin" / "uv"
_SLOWEST = 200  # events/s; below this something hangs
_COLUMNS = ("project_id", "month", "identity")


class Outcome(NamedTuple):
    """What a run has cost, from the first record read to the last row durable, and what it has stored."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    found: Found
    python_cpu_seconds: float = 0.0
    """of `cpu_seconds`, those of a JVM's Python workers"""


class Engine(Protocol):
    """One way to do the work."""

    def run(self, given: Given, out: Path) -> Outcome:
        """Consume a folder; what is to be kept for the tally may go into `out`, which is not there yet.

        Raises StackError.
        """


class Script:
    """A rival in Python or Spark: a module of lab.bench.rivals in the environment of its lock."""

    def __init__(self, name: str, module: str, more: Sequence[Path] = ()) -> None:
        """Make the environment unless that is done. Raises StackError."""
        self._name, self._module, self._more = name, module, more
        self._python = _environment(name)

    def run(self, given: Given, out: Path) -> Outcome:
        """As `Engine`."""
        out.mkdir(parents=True)
        arguments = map(str, (given.folder, out, *self._more))
        command = [str(self._python), "-m", f"lab.bench.rivals.{self._module}", *arguments]
        log = out / "log"
        process = Process(self._name, command, log, {**os.environ, "PYTHONPATH": str(ROOT)}, ROOT)
        try:
            process.wait_until(lambda: _told(log) is not None, _limit(given))
        except StackError:
            if _told(log) is None:  # it may end between the last look at its log and the one at itself
                raise
        finally:
            process.stop(30)
        told = _told(log) or {}
        totals = {(project, month): count for project, month, count in told.pop("counts")}
        stored = ds.dataset(out / "events", format="parquet").to_table(columns=list(_COLUMNS))
        return Outcome(**told, found=tally(stored, totals))


class Job:
    """A script for `flink run` on the cluster of a stack, each run into tables of its own."""

    def __init__(  # noqa: PLR0913  the last two by name
        self,
        name: str,
        stack: Stack,
        script: Path,
        read: Callable[[Settings, Run, Path], tuple[float, Found]],
        *,
        flink_options: Sequence[str] = (),
        program: Callable[[Path], Sequence[str | Path]] = lambda out: (),
    ) -> None:
        """`read` says how long a run took and what it has stored, `program` the script's own arguments."""
        self._name, self._stack, self._script, self._read = name, stack, script, read
        self._flink_options, self._program, self._runs = flink_options, program, 0

    def run(self, given: Given, out: Path) -> Outcome:
        """As `Engine`."""
        self._runs += 1
        label = f"{self._name}_{self._runs}".replace("-", "_")
        overrides = (
            f"lake.namespace={label}",
            f"dynamodb.table_prefix={label}_",
            "ingest.usage_interval_seconds=10",
        )
        config = load(self._stack.settings_path, overrides)
        register(config, {project for project, _ in given.counts})
        arguments: list[str | Path] = ["--config", self._stack.settings_path, "--input", given.folder.as_uri()]
        arguments += [part for override in overrides for part in ("--set", override)]
        arguments += self._program(out)
        archive = job_zip.build()
        run = bounded.run(self._stack, self._script, archive, arguments, _limit(given), self._flink_options)
        seconds, found = self._read(config, run, out)
        cpu, peak = run.jvm.cpu_seconds + run.python.cpu_seconds, run.jvm.peak_mb + run.python.peak_mb
        return Outcome(seconds, cpu, peak, found, run.python.cpu_seconds)


def ours(name: str, stack: Stack, *flink_options: str, discard: bool = False) -> Job:
    """The ingest job; with tables that keep nothing, if so it shall be."""
    return _job(name, stack, "job_ours.py", flink_options, discard)


def sql(name: str, stack: Stack, *flink_options: str, discard: bool = False) -> Job:
    """Flink SQL without Python, see lab.bench.job_rival; the same."""
    return _job(name, stack, "job_rival.py", flink_options, discard)


def _job(name: str, stack: Stack, script: str, flink_options: tuple[str, ...], discard: bool) -> Job:
    path = ROOT / "lab" / "bench" / script
    if not discard:
        return Job(name, stack, path, _by_arrival, flink_options=flink_options)
    # done when the last first copy is counted: no commit is waited for, so the end of the input is that of the job
    flink_options += ("-D", "execution.checkpointing.checkpoints-after-tasks-finish=false")
    return Job(name, stack, path, _by_end, flink_options=flink_options, program=lambda out: ["--discard"])


def naive(stack: Stack) -> Job:
    """PyFlink as its documentation shows it."""

    def program(out: Path) -> Sequence[str]:
        (out / "totals").mkdir(parents=True)
        return ["--totals", (out / "totals").as_uri()]

    return Job("naive", stack, _RIVALS / "naive.py", _by_totals, program=program)


def _by_arrival(config: Settings, run: Run, _: Path) -> tuple[float, Found]:
    """By the rows' arrivals. A dead letter counts as a row too many.

    Windows on processing time do not fire at the end of bounded input, so totals are not looked at: the end-to-end
    tests do that.
    """
    lake = Lake(config.lake_address)
    stored = lake.rows(EVENT_STORE, (*_COLUMNS, "arrival"))
    found = tally(stored)
    found = found._replace(rows=found.rows + lake.rows(DEAD_LETTERS, ("kind",)).num_rows)
    arrivals = pc.min_max(stored["arrival"]).as_py()
    return _until_visible(run, arrivals["min"].timestamp(), arrivals["max"].timestamp()), found


def _by_end(_: Settings, run: Run, __: Path) -> tuple[float, Found]:
    """By the job's end; first copies are what the task that knows them has sent on to be counted."""
    (copies,) = (count for name, count in run.written.items() if name.startswith("first-copy"))
    return run.seconds, Found(copies, copies)


def _by_totals(config: Settings, run: Run, out: Path) -> tuple[float, Found]:
    """By the first arrival and when the last event was counted."""
    stored = Lake(config.lake_address).rows(EVENT_STORE, (*_COLUMNS, "arrival"))
    counts, last = _read_totals(out / "totals")
    first = pc.min(stored["arrival"]).as_py().timestamp()
    return _until_visible(run, first, last), tally(stored, counts)


def _until_visible(run: Run, first: float, last: float) -> float:
    visible = next((one for one in run.checkpoints if one.triggered >= last), None)
    return last - first + (visible.ended - visible.triggered if visible else 0.0)


def _read_totals(folder: Path) -> tuple[Counts, float]:
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


def _limit(given: Given) -> float:
    return 120 + given.records / _SLOWEST


def _told(log: Path) -> dict[str, Any] | None:
    """What a rival has told by lab.bench.rivals.meter.report; None before."""
    lines = log.read_text("utf-8", "replace").splitlines(keepends=True)
    return next((json.loads(line) for line in lines if line.startswith(RESULT) and line.endswith("\n")), None)


def _environment(name: str) -> Path:
    """The Python of a rival's environment, made from its lock unless that is done. Raises StackError."""
    folder, lock = _ENVIRONMENTS / name, _RIVALS / f"{name}.lock"
    done, wanted = folder / "lock", lock.read_bytes()
    if not done.is_file() or done.read_bytes() != wanted:
        python = folder / "bin" / "python"
        _uv("venv", "--clear", "--python", sys.executable, folder)
        _uv("pip", "sync", "--require-hashes", "--python", python, lock)
        done.write_bytes(wanted)
    return folder / "bin" / "python"


def _uv(*arguments: str | Path) -> None:
    done = subprocess.run([_UV, "-q", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"no environment for the rival: {useful_line(done.stderr)}"
        raise StackError(msg)
