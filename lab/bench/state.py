"""State at scale: what ten million event keys cost the ingest job, `python -m lab.bench.state [--expire]`.

A phase's files appear at once in the folder that the job follows, with a shard of their own in the event store.
It is over when usage has counted it and a checkpoint holds that; then its files go. Rates are by the arrivals in
the event store: when records were read, which the job's slowest task holds back. Between two measures of typical
events (1.5 KB, 5 % copies) the keys are loaded: events as short as may be, all distinct. Checkpoints are on this
machine's disk: an object store adds uploads, and downloads to a restore. They and the event store, some GB, stay
under var/state until the next start.

With `--expire` the clock is compressed instead: keys are remembered for two minutes, not 40 days, and when they
are over, a trickle of other events goes on. Only RocksDB's compactions forget a key, and those need new ones.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
import numpy as np
import pyarrow.compute as pc
from rich.console import Console

from lab.bench import figures
from lab.bench.events import DUPLICATES, PROJECTS, SEED, events, originals, register
from lab.bench.figures import Figure, Say, show
from lab.bench.growth import memory
from lab.bench.processes import Sampler, machine
from lab.bench.steady import counted
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.process import StackError
from ops.cli.terminal import one_line_errors, stop_on_signals
from ops.release import job_zip
from settings import load
from stores.lake import EVENT_STORE, Condition, Lake

FILE = 10_000  # lines
PATIENCE = 600  # s without anything more counted, or until a checkpoint
REPEATED, NEW = 5_000, 1_000  # keys after the restore: copies of loaded ones, and ones never seen
WINDOW, TRICKLES = 2, 10  # minutes that `--expire` remembers a key; how often FILE events come then
_SCRIPT = ROOT / "lab" / "bench" / "job_ours.py"
_KEY = (  # variant 9 of a uuid: no typical event has it
    b'{"app":%d,"event_type":"key","uuid":"00000000-0000-4000-9000-%012x","event_id":%d,'
    b'"event_time":"2026-03-10 12:00:00.000000","server_upload_time":"2026-03-10 12:00:00.000000"}'
)
Numbers = np.ndarray[Any, Any]


class Phase(NamedTuple):
    """What is fed at once: its shard's number, as many lines as `fed`, the event_id of each row due of them."""

    shard: int
    name: str
    lines: Iterator[bytes]
    fed: int
    due: Numbers


def typical(shard: int, name: str, fed: int) -> Phase:
    """Events as Amplitude sends them, of a seed of their own."""
    return Phase(shard, name, events(fed, SEED + shard, PROJECTS, DUPLICATES), fed, originals(fed))


def keys(numbers: Iterable[int]) -> Iterator[bytes]:
    """The shortest events, each number a key of its own."""
    return (_KEY % (PROJECTS[number % len(PROJECTS)], number, number) for number in numbers)


class Job:
    """The ingest job on a stack, and what it has been fed: records, first copies."""

    def __init__(self, stack: Stack, say: Say, *program: str) -> None:
        """Submit it, with more arguments to its script. Raises StackError, SettingsError, StoreError."""
        self.stack, self.settings, self._say = stack, load(stack.write_settings(ingest={})), say
        self._program = program
        register(self.settings)
        self.input, self.fed = stack.folder / "input", (0, 0)
        (self.input / "live").mkdir(parents=True)
        self.submit()

    def submit(self, *flink_args: str) -> None:
        """`flink run`, and wait until all tasks run. Raises StackError."""
        program = ("--config", str(self.stack.settings_path), "--input", f"file://{self.input}/live", "--follow")
        code = ("-pyfs", job_zip.build(), "-py", _SCRIPT)
        self.id = self.stack.flink.run((*flink_args, *code), (*program, *self._program))
        self.stack.flink.wait_until_running(self.id, PATIENCE)

    def feed(self, phase: Phase) -> None:
        """Write a phase, put it, wait until a checkpoint holds all of it. Raises StackError, StoreError."""
        self._say(f"{phase.fed:,} {phase.name}")
        files = list[Path]()
        while lines := list(islice(phase.lines, FILE)):
            files.append(self.input / f"{len(files):06d}-{phase.shard:012d}")
            files[-1].write_bytes(b"\n".join(lines) + b"\n")
        live = [file.rename(self.input / "live" / file.name) for file in files]
        self.fed = self.fed[0] + phase.fed, self.fed[1] + len(phase.due)
        self._until(
            lambda: counted(self.settings), lambda found: found == self.fed
        )  # else rows are wrong, and show as such
        now = time.time() * 1000  # ms, as Flink's
        if not self._until(self.checkpoints, lambda done: any(one["trigger_timestamp"] > now for one in done)):
            msg = f"no checkpoint of job {self.id} has completed for {PATIENCE} s"
            raise StackError(msg)
        for file in live:
            file.unlink()

    def checkpoints(self) -> list[dict[str, Any]]:
        """The complete ones of the last ten, newest first, by REST's names: ms, bytes."""
        history = self.stack.rest(f"/jobs/{self.id}/checkpoints")["history"]
        return [one for one in history if one["status"] == "COMPLETED"]

    def restore(self) -> dict[str, float]:
        """Cancel, submit from the last checkpoint; seconds by what took them. Raises StackError."""
        self.stack.flink.cancel(self.id)
        latest, submitted = self.stack.checkpoints.latest(self.id), time.time()
        assert latest, "each phase ends with a checkpoint"
        self.submit("-s", latest)
        path = f"/jobs/{self.id}"
        vertices = [self.stack.rest(f"{path}/vertices/{one['id']}") for one in self.stack.rest(path)["vertices"]]
        tasks = [(one["start-time"], one["status-duration"]) for vertex in vertices for one in vertex["subtasks"]]
        began = max(start + by["DEPLOYING"] + by["INITIALIZING"] for start, by in tasks)  # ms
        return {
            "flink run to all tasks RUNNING": began / 1000 - submitted,
            "first task DEPLOYING to all RUNNING": (began - min(start for start, _ in tasks)) / 1000,
            "longest INITIALIZING of a task: its state read": max(by["INITIALIZING"] for _, by in tasks) / 1000,
        }

    def stored(self, phase: Phase) -> tuple[Numbers, float]:
        """The event_id of all rows of a phase, and seconds from the first one's arrival to the last one's."""
        where = [Condition("shard", "=", f"shardId-{phase.shard:012d}")]
        rows = Lake(self.settings.lake_address).rows(EVENT_STORE, ("event_id", "arrival"), where)
        at = pc.min_max(rows["arrival"]).as_py()
        seconds = (at["max"] - at["min"]).total_seconds() if rows.num_rows else float("nan")
        return rows["event_id"].to_numpy(), seconds

    def _until(self, look: Callable[[], Any], good: Callable[[Any], bool]) -> bool:
        """Whether what is seen gets good; patience begins anew with each change. Raises StackError."""
        known, since = look(), time.monotonic()
        while not good(known) and time.monotonic() - since < PATIENCE:
            self.stack.flink.wait_until_running(self.id, PATIENCE)
            time.sleep(1)
            if (now := look()) != known:
                known, since = now, time.monotonic()
        return good(known)


def measure(job: Job, warm_up: int, count: int, loaded: int) -> list[Figure]:
    """All phases; what they have shown. Raises as `Job.feed`."""
    repeated, fresh = range(0, loaded, max(1, loaded // REPEATED)), range(loaded, loaded + NEW)
    warm, empty, load, full, after = phases = (
        typical(1, "warm-up", warm_up),
        typical(2, "typical events, near-empty state", count),
        Phase(3, "keys", keys(range(loaded)), loaded, np.arange(loaded)),
        typical(4, "typical events, keys in state", count),
        Phase(5, "copies and new ones, restored", keys([*repeated, *fresh]), len(repeated) + NEW, np.array(fresh)),
    )
    job.feed(warm)
    job.feed(empty)
    with Sampler(job.stack.pid("taskmanager")) as sampler:
        job.feed(load)
    found = kept(job, sampler)
    job.feed(full)
    failures = job.stack.flink.failures(job.id)
    found += figures.of("restored", job.restore(), "s")
    job.feed(after)
    failures += job.stack.flink.failures(job.id)
    stored = {phase.name: job.stored(phase) for phase in phases}
    rows = {phase.name: verdict(stored[phase.name][0], phase.due) for phase in phases}
    rates = {phase.name: phase.fed / stored[phase.name][1] for phase in (empty, load, full)}
    (records, firsts), (fed, due) = counted(job.settings), job.fed
    off = {"records in usage, off by": records - fed, "events, off by": firsts - due, "failures": failures}
    return [
        *figures.of("records read", rates, "events/s"),
        Figure("records read", "keys in state to near-empty, target 0.8", rates[full.name] / rates[empty.name]),
        *found,
        *figures.of("rows stored, each once", rows),
        *figures.of("at rest", {what: f"WRONG: {n:,}" if n else 0 for what, n in off.items()}),
    ]


def expire(job: Job, loaded: int) -> list[Figure]:
    """Load keys, let them expire, and see what a trickle leaves of their state. Raises as `Job.feed`."""
    load = Phase(1, "keys", keys(range(loaded)), loaded, np.arange(loaded))
    trickle = [typical(2 + n, f"typical events, trickle {n + 1} of {TRICKLES}", FILE) for n in range(TRICKLES)]
    job.feed(load)
    full = job.checkpoints()[0]["state_size"]
    time.sleep(WINDOW * 60)
    for phase in trickle:
        job.feed(phase)
    left, name = job.checkpoints()[0]["state_size"], f"{loaded:,} keys, remembered for {WINDOW} min"
    rows = {phase.name: verdict(job.stored(phase)[0], phase.due) for phase in (load, *trickle)}
    return [
        *figures.of(name, {"checkpoint, keys loaded": full / 1e6, "checkpoint, keys expired": left / 1e6}, "MB"),
        Figure(name, "left of the state", left / full * 100, "%"),
        *figures.of("rows stored, each once", rows),
    ]


def kept(job: Job, sampler: Sampler) -> list[Figure]:
    """What the state takes in checkpoints, on the TaskManager's disk and in memory; each key so far counts."""
    done, (_, in_state) = job.checkpoints(), job.fed
    seconds, added = zip(*((x["end_to_end_duration"] / 1000, x["checkpointed_size"]) for x in done), strict=True)
    instances = (job.stack.folder / "tmp").glob("tm_*/tmp/job_*")
    # a compaction may delete what du has found: what it says of that is no failure
    said = subprocess.run(["du", "-sc", "-B1", *instances], capture_output=True, text=True, check=False).stdout
    size = {"whole checkpoint": done[0]["state_size"], "RocksDB on disk": int(said.splitlines()[-1].split()[0])}
    peaks = {"taskmanager-1, peak": sampler.leader.peak_mb, "Python workers, peaks": sampler.others.peak_mb}
    return [
        Figure("state, keys loaded", "distinct keys", in_state),
        *figures.of("state, keys loaded", {what: n / 1e6 for what, n in size.items()}, "MB"),
        *figures.of("state, keys loaded", {what: n / in_state for what, n in size.items()}, "bytes/key"),
        Figure("its last ten checkpoints", "most that one added", max(added) / 1e6, "MB"),
        *figures.of("its last ten checkpoints", {"p50": median(seconds), "max": max(seconds)}, "s"),
        *figures.of("resident memory, keys loaded", memory(job.stack) | peaks, "MB"),
    ]


def verdict(found: Numbers, due: Numbers) -> int | str:
    """How many rows there are, or WRONG when they are not those that are due, each once."""
    missing, extra = len(np.setdiff1d(due, found)), len(found) - len(np.intersect1d(due, found))
    return f"WRONG: {missing:,} missing, {extra:,} too many" if missing or extra else len(found)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--keys", "loaded", default=10_000_000, type=click.IntRange(1), help="Distinct keys to load.")
@click.option("--events", "count", default=1_000_000, type=click.IntRange(FILE), help="Typical events, each time.")
@click.option("--warm-up", default=200_000, type=click.IntRange(FILE), help="Typical events before all else.")
@click.option("--expire", "expiring", is_flag=True, help="What is left of the keys when they are over, instead.")
@click.option("--taskmanager-memory", metavar="SIZE", help="taskmanager.memory.process.size; else as shipped.")
def main(loaded: int, count: int, warm_up: int, expiring: bool, taskmanager_memory: str | None) -> None:
    """Measure the job with many keys in its state; exit 1 when rows are missing, extra or miscounted."""
    stop_on_signals()
    click.echo(machine())
    options = {"taskmanager.memory.process.size": taskmanager_memory} if taskmanager_memory else {}
    say = Console(stderr=True).print
    with Stack("state", Ports.free(), flink_options=options) as stack:
        if expiring:
            found = expire(Job(stack, say, "--dedupe-minutes", str(WINDOW)), loaded)
        else:
            found = measure(Job(stack, say), warm_up, count, loaded)
    show(found, Console(width=130))
    sys.exit(any(one.wrong for one in found))


if __name__ == "__main__":
    with one_line_errors("state"):
        main()
