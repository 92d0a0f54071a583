"""What grows in hours at a steady rate, and what a lost TaskManager costs: `python -m lab.bench.steady MODE`.

Input are files that appear in a folder, one a second, for the emulated Kinesis takes 90 records/s. The source
remembers the path of each: some 100 bytes a second in the JobManager and in each checkpoint are its own. Profiles
go to DynamoDB Local, but these events make none. Copies come within thousands of records: a short window misses
none. At the end the event store is compared with what was fed, number by number, and usage and ledger with both.
When events were read is their arrival in the event store, when tasks run is by Flink's own clock.
"""

import json
import os
import shutil
import sys
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import quantiles
from threading import Event
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console

from lab.bench import figures
from lab.bench.events import DUPLICATES, PROJECTS, SEED, events, originals, register
from lab.bench.figures import Figure, show
from lab.bench.growth import Sample, grown, memory
from lab.bench.processes import machine
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.process import StackError
from lab.stack.proxy import Proxy
from ops.answers.ledger import unbalanced
from ops.cli.terminal import one_line_errors, stop_on_signals
from ops.release import job_zip
from settings import Settings, load
from stores.lake import EVENT_STORE, Lake
from stores.usage import UsageTable

EVERY = 10  # s between two samples of a soak
SPARED = 60  # s that a file stays after it has been read
WARM_UP, LIMIT = 60, 300  # s of input before and after the outage of a backlog
SLACK = 2  # s of input that a job which keeps up may be behind
BEHIND = 15  # s that usage may be behind: its interval, and to spare
PATIENCE = 600  # s to wait for what must come
PACKED = "packed"  # name of the folder
INPUT_FIRST = ("backlog", "freshness", "worst")
FLINK = {
    "soak": {
        "metrics.fetcher.update-interval": "100",  # ms: REST would tell of the records read at the last sample
        # RocksDB's cache fills its share of managed memory: in a large one, hours in which no leak would show
        "taskmanager.memory.managed.fraction": "0.06",
        "taskmanager.memory.process.size": "2200m",
        "state.backend.rocksdb.writebuffer.size": "8mb",
    },
    # backoff grows with failures that are close together, and ten end the job: each shall count as the first
    "recovery": {"restart-strategy.exponential-delay.reset-backoff-threshold": "10s"},
}
"""What of Flink's configuration is not as shipped."""
CHECKPOINT = ("id", "trigger_timestamp", "end_to_end_duration", "state_size", "checkpointed_size")
"""Flink's names; ms and bytes: `state_size` is the whole, `checkpointed_size` what an incremental one added."""

Times = Sequence[float] | np.ndarray[Any, Any]  # seconds of the epoch, ascending


class Bench(NamedTuple):
    """A running job and its feed: when a file of `rate` events each was put, in seconds of the epoch."""

    stack: Stack
    settings: Settings
    job: str
    rate: int
    live: Path
    puts: list[float]
    ended: Event
    feeding: Future[None]
    dynamodb: Proxy
    """before the tables of a run that is `proxied`; of others nobody asks it"""

    def until(self, true: Callable[[], bool], every: float) -> bool:
        """Wait till it is so or patience is over; returns which. Raises as `check` does."""
        deadline = time.monotonic() + PATIENCE
        while not (reached := true()) and time.monotonic() < deadline:
            self.check()
            time.sleep(every)
        return reached

    def check(self) -> None:
        """Raise StackError when the job has ended, OSError when the feed has failed."""
        if self.feeding.done():
            self.feeding.result()
        self.stack.flink.living(self.job)

    def column(self, name: str) -> np.ndarray[Any, Any]:
        """Of all rows of the event store."""
        pieces = Lake(self.settings.lake_address).pieces(EVENT_STORE, [name])
        return np.concatenate([one[name].to_numpy() for one in pieces])

    def began(self) -> list[float]:
        """When each task began to run, in seconds of the epoch; none unless all run."""
        path = f"/jobs/{self.job}"
        vertices = [f"{path}/vertices/{one['id']}" for one in self.stack.rest(path)["vertices"]]
        tasks = [task for vertex in vertices for task in self.stack.rest(vertex)["subtasks"]]
        if any(task["status"] != "RUNNING" for task in tasks):
            return []
        spent = [(task["start-time"], task["status-duration"]) for task in tasks]  # from its deployment on
        return [(start + by["DEPLOYING"] + by["INITIALIZING"]) / 1000 for start, by in spent]


@contextmanager
def running(  # noqa: PLR0913  by name
    mode: str,
    rate: int,
    seconds: int,
    *more: str,
    projects: Sequence[int] = PROJECTS,
    proxied: bool = False,
    packed: bool = False,
) -> Iterator[Bench]:
    """A job that is fed for that many seconds; those of INPUT_FIRST have it on the disk before.

    Tables are `proxied` when they shall fail; a job that shall read records of any bytes has a folder of `packed`
    ones: lines of JSON with a `payload` in base64.
    """
    with (
        Stack(f"steady-{mode}", Ports.free(), flink_options=FLINK.get(mode)) as stack,
        Proxy(stack.ports.dynamodb) as proxy,
    ):
        tables = {"dynamodb": {"region": stack.region, "endpoint": proxy.endpoint}} if proxied else {}
        settings = load(stack.write_settings(ingest={}, **tables))
        register(settings)
        live, ended, puts = stack.folder / "input" / "live", Event(), list[float]()
        live.mkdir(parents=True)
        if packed:
            (live.parent / PACKED).mkdir()
            more = (*more, "--packed", f"file://{live.parent / PACKED}")
        try:
            program = "--config", str(stack.settings_path), "--input", f"file://{live}", "--follow", *more
            job = stack.flink.run(
                ("-pyfs", job_zip.build(), "-py", ROOT / "lab" / "bench" / "job_ours.py"), program
            )
            stack.flink.wait_until_running(job)
            files: Iterable[Path] = written(live.parent, rate, seconds, projects)
            if mode in INPUT_FIRST:
                files = list(files)
                os.sync()
            feeding = ThreadPoolExecutor(1).submit(feed, files, live, puts, ended)
            yield Bench(stack, settings, job, rate, live, puts, ended, feeding, proxy)
        except OSError as error:  # of the input, mostly: its disk is full
            raise StackError(str(error)) from error
        finally:
            ended.set()
            stack.stop()
            shutil.rmtree(live.parent)


def written(folder: Path, rate: int, seconds: int, projects: Sequence[int] = PROJECTS) -> Iterator[Path]:
    """Files of `rate` events, each written when it is asked for; by how their names end all are of one shard."""
    payloads = events(rate * seconds, SEED, projects, DUPLICATES)
    for second in range(seconds):
        path = folder / f"{second:06d}-{0:012d}"
        path.write_bytes(b"".join(next(payloads) + b"\n" for _ in range(rate)))
        yield path


def feed(files: Iterable[Path], live: Path, puts: list[float], ended: Event) -> None:
    """Move a file a second to where the job looks, after a delay as fast as it can, until ended or through."""
    begin = time.time()
    for number, file in enumerate(files):
        if ended.wait(max(0.0, begin + number - time.time())):
            break
        file.rename(live / file.name)
        puts.append(time.time())


def counted(settings: Settings) -> tuple[int, int]:
    """Records and events in the totals. Raises StoreError."""
    totals = UsageTable(settings.tables_address).list()
    return sum(one.records for one in totals), sum(one.events for one in totals)


def compare(found: np.ndarray[Any, Any], fed: int) -> tuple[int, int]:
    """Events missing and rows too many, by the event_id of all rows, which numbers the records fed."""
    expected = originals(fed)
    present = len(np.intersect1d(expected, found))
    return len(expected) - present, len(found) - present


def done_with(puts: Times, level: Times, triggered: float) -> int:
    """How many files not even a restart from this checkpoint needs; at `level` less than a file was unread."""
    return bisect(puts, max((at for at in level if at < triggered), default=0.0) - SPARED)


def caught_up(puts: Times, rate: int, arrivals: Times, since: float) -> tuple[int, float | None]:
    """Distinct events put and unread at `since`, and seconds until only SLACK seconds' worth are, while fed."""
    fresh = rate * (1 - DUPLICATES)
    times = np.arange(since, max(since, puts[-1]) + 0.1, 0.1)
    waiting = np.searchsorted(puts, times, "right") * fresh - np.searchsorted(arrivals, times, "right")
    level = np.flatnonzero(waiting <= SLACK * fresh)
    return round(waiting[0]), float(times[level[0]] - since) if len(level) else None


def conclude(bench: Bench) -> list[Figure]:
    """End the feed, wait until all of it is stored and counted, say what is not. Raises StackError, StoreError."""
    bench.ended.set()
    bench.feeding.result()
    fed = len(bench.puts) * bench.rate
    first, table = fed - int(fed * DUPLICATES), Lake(bench.settings.lake_address).table(EVENT_STORE)
    bench.until(lambda: counted(bench.settings) == (fed, first) and table.refresh().scan().count() >= first, 2)
    missing, extra = compare(bench.column("event_id"), fed)
    bench.until(lambda: not unbalanced(bench.settings), 10)
    wrong = {
        "events missing": missing,
        "rows too many": extra,
        "records in usage, less those fed": counted(bench.settings)[0] - fed,
        "events in usage, less those fed": counted(bench.settings)[1] - first,
        "residuals of the ledger": len(unbalanced(bench.settings)),
    }
    found = figures.of("at rest", {what: f"WRONG: {n:,}" if n else 0 for what, n in wrong.items()})
    return [Figure("at rest", "records fed", fed), *found]


def soak(minutes: float, rate: int, window: float, into: Path) -> list[Figure]:
    """Feed at a rate for a time, and see what grows; the window of first copies in minutes too."""
    with running("soak", rate, round(minutes * 60), "--dedupe-minutes", str(window)) as bench:
        samples = list(sampled(bench, round(minutes * 60), into))
        bench.feeding.result()
        found, restarts = [*grown(samples, window * 60), *conclude(bench)], bench.stack.flink.failures(bench.job)
        return [*found, Figure("at rest", "restarts", f"WRONG: {restarts}" if restarts else 0)]


def sampled(bench: Bench, seconds: int, into: Path) -> Iterator[Sample]:
    """Look every now and then while the feed goes on, and delete what has been read."""
    vertex = bench.stack.rest(f"/jobs/{bench.job}")["vertices"][0]["id"]
    metric = f"/jobs/{bench.job}/vertices/{vertex}/subtasks/metrics?get=Source__decode__records.numRecordsIn"
    begin, level, newest, deleted = time.time(), list[float](), 0, 0
    for second in range(EVERY, seconds, EVERY):
        # between two files, when the last one has been read
        time.sleep(max(0.0, begin + second + 0.4 - time.time()))
        bench.check()
        bench.stack.rest(metric)  # answers with what it knows, then asks the TaskManager
        time.sleep(0.4)
        read, at = sum(int(one["sum"]) for one in bench.stack.rest(metric)), time.time()
        put, restarts = len(bench.puts) * bench.rate, bench.stack.flink.failures(bench.job)
        history = bench.stack.rest(f"/jobs/{bench.job}/checkpoints")["history"][::-1]  # the last ten
        done = (one for one in history if one["status"] == "COMPLETED" and one["id"] > newest)
        new = [{name: one[name] for name in CHECKPOINT} for one in done]
        sample: Sample = {"at": at - begin, "put": put, "read": read, "restarts": restarts}
        sample |= {"rss_mb": memory(bench.stack), "checkpoints": new}
        with into.open("a", encoding="utf-8") as file:
            file.write(json.dumps(sample) + "\n")
        if put - read < bench.rate:
            level.append(at)
        if new:
            newest, useless = new[-1]["id"], done_with(bench.puts, level, new[-1]["trigger_timestamp"] / 1000)
            for path in sorted(bench.live.iterdir())[: useless - deleted]:
                path.unlink()
            deleted = useless
        yield sample


def outage(bench: Bench, seconds: int) -> tuple[float, float, float]:
    """Kill the TaskManager, start another later; when killed, started, all tasks RUNNING. Raises StackError."""
    killed = time.time()
    bench.stack.kill_taskmanager()
    time.sleep(seconds)
    started = time.time()
    bench.stack.start_taskmanager()
    if not bench.until(lambda: min(bench.began(), default=0.0) > killed, 0.5):
        msg = f"not all tasks run after {PATIENCE} s: {bench.stack.flink.root_cause(bench.job)}"
        raise StackError(msg)
    return killed, started, max(bench.began())


def backlog(seconds: int, rate: int) -> list[Figure]:
    """Feed on while no TaskManager is up, and see how soon the next one has read what has piled up."""
    with running("backlog", rate, WARM_UP + seconds + LIMIT) as bench:
        time.sleep(WARM_UP)
        _, started, well = outage(bench, seconds)
        bench.until(lambda: counted(bench.settings)[0] >= bisect(bench.puts, time.time() - BEHIND) * rate, 0.5)
        time.sleep(BEHIND)  # what usage does not show yet
        failures, found = bench.stack.flink.failures(bench.job), conclude(bench)
        read = np.sort(bench.column("arrival")).astype("datetime64[us]").astype(np.int64) / 1e6
        waiting, took = caught_up(bench.puts, rate, read, well)
        name = f"backlog: {rate:,}/s, {seconds} s without a TaskManager"
        times = {
            "TaskManager started to all tasks RUNNING": well - started,
            f"from then until at most {SLACK} s behind": f"WRONG: not in {LIMIT} s" if took is None else took,
        }
        counts = {"distinct events waiting then": waiting, "failures": failures}
        return figures.of(name, times, "s") + figures.of(name, counts) + found


def recovery(times: int, rate: int) -> list[Figure]:
    """Kill the TaskManager and start the next at once, as a supervisor would, again and again."""
    rng, took = Random(SEED), []
    with running("recovery", rate, times * 600) as bench:
        for _ in range(times):
            time.sleep(rng.uniform(40, 70))  # one more checkpoint is complete; anywhere between two
            killed, _, well = outage(bench, 0)
            took.append(well - killed)
        centiles = quantiles(took, n=20, method="inclusive")
        name = f"TaskManager killed to all tasks RUNNING, {times} times, {rate:,}/s"
        return figures.of(name, {"p50": centiles[9], "p95": centiles[18], "max": max(took)}, "s") + conclude(bench)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("mode", type=click.Choice(("soak", "backlog", "recovery")))
@click.option("--rate", type=click.IntRange(1), help="Events per second: 1000, backlog 9000, recovery 500.")
@click.option("--minutes", default=60.0, type=click.FloatRange(1), help="Soak: how long to feed.")
@click.option("--dedupe-minutes", default=10.0, help="Soak: how long first copies are remembered.")
@click.option("--into", type=Path, default=ROOT / "var" / "steady.jsonl", help="Soak: a line per sample.")
@click.option("--seconds", default=60, help="Backlog: how long there is no TaskManager.")
@click.option("--times", default=10, type=click.IntRange(2), help="Recovery: how many kills.")
def main(mode: str, rate: int | None, **options: Any) -> None:
    """Run one of the long measures; exit 1 when anything is missing, extra or unexplained."""
    stop_on_signals()
    click.echo(machine())
    if mode == "soak":
        found = soak(options["minutes"], rate or 1_000, options["dedupe_minutes"], options["into"])
    elif mode == "backlog":
        found = backlog(options["seconds"], rate or 9_000)
    else:
        found = recovery(options["times"], rate or 500)
    show(found, Console(width=130))
    sys.exit(any(one.wrong for one in found))


if __name__ == "__main__":
    with one_line_errors("steady"):
        main()
