"""DynamoDB requests a second, counted on the wire, by projects and not by events: `python -m lab.bench writes`.

One job, the ingest graph on a real cluster, is fed at several rates in turn, and a proxy between it and DynamoDB
Local counts. Input are files that appear while the job runs, for the emulated Kinesis takes 90 records/s; a file
is a piece of the shard in its name, so that there can be as many shards as a rate needs (1 MB/s each).

Requests per second are means over the usage intervals, of 10 s, in which totals were written. The busiest second
stands beside them: the totals of an interval are written at once, when it is over. An hour that begins meanwhile
looks like more shards.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from lab.bench.events import DUPLICATES, SEED, events
from lab.bench.figures import Figure, Say
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.process import StackError
from lab.stack.proxy import Proxy, Request
from ops.release import job_zip
from settings import load
from stores.project import linked
from stores.projects import Projects
from stores.usage import TABLE, UsageTable

INTERVAL = 10  # s, the default of ingest.usage_interval_seconds
INTERVALS = 2  # of input in each phase
SECONDS = INTERVALS * INTERVAL - 2  # of input; the rest is for reading the last of it within the interval
PATIENCE = 180  # s after the input until all of it is in the totals
FIRST_PROJECT = 400_001


class Phase(NamedTuple):
    """Input at a steady rate in events/s, spread at random over projects and shards."""

    projects: int
    shards: int
    rate: int

    @property
    def title(self) -> str:
        """What the phase is called."""
        shards = "1 shard" if self.shards == 1 else f"{self.shards} shards"
        return f"writes: {self.projects:,} projects, {shards}, {self.rate:,}/s"

    @property
    def records(self) -> int:
        """How many that makes."""
        return self.rate * SECONDS


PHASES = (
    Phase(1_000, 1, 1_000),
    Phase(1_000, 1, 5_000),
    Phase(100, 1, 5_000),
    Phase(1_000, 8, 5_000),
    Phase(1_000, 64, 5_000),
)


Key = tuple[str, ...]


class Counted(NamedTuple):
    """One request as it passed: when in seconds of the epoch, what, to which table, the keys of what it writes."""

    at: float
    operation: str
    table: str
    keys: list[Key]


def counted(request: Request) -> Counted:
    """What of a request is counted. Of statements only totals' have their keys read."""
    asked = json.loads(request.body)
    if statements := asked.get("Statements"):
        (table,) = {one["Statement"].split('"')[1] for one in statements}
        return Counted(request.at, request.operation, table, [_key(one) for one in statements])
    key = _values(asked.get("Key", {}).values())
    return Counted(request.at, request.operation, asked.get("TableName", ""), [key])


def _key(statement: Mapping[str, Any]) -> Key:
    at = statement["Statement"].partition("project_id")[0].count("?")
    return _values(statement["Parameters"][at : at + 2])


def _values(given: Iterable[Mapping[str, str]]) -> Key:
    return tuple(value for one in given for value in one.values())


def measure(say: Say) -> list[Figure]:
    """All phases, one after the other, on one stack and in one job."""
    seen: list[Counted] = []
    with (
        Stack("bench-writes", Ports.free()) as stack,
        Proxy(stack.ports.dynamodb, lambda request: seen.append(counted(request))) as proxy,
    ):
        usage = _register(stack)
        live = stack.folder / "input" / "live"
        live.mkdir(parents=True)
        job = _submit(stack, proxy.endpoint, live)
        try:
            found: list[Figure] = []
            for number, phase in enumerate(PHASES):
                folder = write_input(live.parent / f"phase-{number}", phase, SEED + number)
                found += _run(phase, folder, live, usage, seen)
                say("; ".join(f"{one.what} {one.shown}" for one in found if one.benchmark == phase.title))
            stack.flink.cancel(job)
        finally:
            rmtree(live.parent)
        return found


def write_input(folder: Path, phase: Phase, seed: int) -> Path:
    """Write a file per second and shard, named by both; as large a share is repeated as elsewhere."""
    folder.mkdir()
    projects = range(FIRST_PROJECT, FIRST_PROJECT + phase.projects)
    payloads = events(phase.records, seed, projects, DUPLICATES)
    for second in range(SECONDS):
        shards: list[list[bytes]] = [[] for _ in range(phase.shards)]
        for number, data in enumerate(islice(payloads, phase.rate)):
            shards[number % phase.shards].append(data + b"\n")
        for shard, lines in enumerate(shards):
            (folder / f"{folder.name}-{second:04d}-{shard:012d}").write_bytes(b"".join(lines))
    return folder


def _register(stack: Stack) -> UsageTable:
    """Register the projects of all phases, past the proxy; returns the table of totals."""
    address = load(stack.write_settings()).tables_address
    projects = Projects(address)
    projects.create()
    for number in range(max(phase.projects for phase in PHASES)):
        projects.add(linked(FIRST_PROJECT + number, f"notifly-{number}"))
    return UsageTable(address)


def _submit(stack: Stack, endpoint: str, live: Path) -> str:
    job = ("-pyfs", job_zip.build(), "-py", ROOT / "lab" / "bench" / "job_ours.py")
    overrides = (f"dynamodb.endpoint={endpoint}", f"ingest.usage_interval_seconds={INTERVAL}")
    options = [part for override in overrides for part in ("--set", override)]
    job_id = stack.flink.run(
        job, ("--config", stack.settings_path, "--input", f"file://{live}", "--follow", *options)
    )
    stack.flink.wait_until_running(job_id)
    return job_id


def _run(phase: Phase, folder: Path, live: Path, usage: UsageTable, seen: Sequence[Counted]) -> list[Figure]:
    """Feed one phase from the beginning of an interval on, and wait until the totals hold all of it."""
    before = _totals(usage)
    begin = (time.time() // INTERVAL + 1) * INTERVAL
    for second in range(SECONDS):
        time.sleep(max(0.0, begin + second - time.time()))
        for file in sorted(folder.glob(f"{folder.name}-{second:04d}-*")):
            file.rename(live / file.name)
    expected = before + Counter(records=phase.records, events=phase.records - int(phase.records * DUPLICATES))
    deadline = time.monotonic() + PATIENCE
    while (totals := _totals(usage)) != expected and time.monotonic() < deadline:
        time.sleep(0.5)
    verdict = "ok" if totals == expected else f"WRONG: {dict(totals)} instead of {dict(expected)}"
    requests = [one for one in list(seen) if begin <= one.at]
    if not any(one.table == TABLE for one in requests):
        msg = f"{phase.title}: no total was written within {PATIENCE} s, see var/bench-writes/log"
        raise StackError(msg)
    return [Figure(phase.title, "totals", verdict), *_figures(phase, requests, begin)]


def _totals(usage: UsageTable) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in usage.list():
        total.update(records=one.records, events=one.events)
    return total


def _figures(phase: Phase, requests: Sequence[Counted], begin: float) -> list[Figure]:
    writes = [one for one in requests if one.table == TABLE]
    last = max(one.at for one in writes)
    intervals = int((last - begin) // INTERVAL)
    seconds = intervals * INTERVAL
    written = [(one.at, key) for one in writes for key in one.keys]
    pairs = len({(at // INTERVAL, key) for at, key in written})
    kinds = Counter((one.operation, one.table) for one in requests)
    busiest = max(Counter(int(at) for at, _ in written).values())
    found = [
        ("events taken", phase.records / seconds, "events/s"),
        *((f"{operation} {table}", n / seconds, "requests/s") for (operation, table), n in sorted(kinds.items())),
        ("writes of totals", len(written) / seconds, "writes/s"),
        ("one write per project and interval would be", phase.projects / INTERVAL, "writes/s"),
        ("writes in the busiest second", busiest, "writes/s"),
        ("writes per project and interval", len(written) / pairs, ""),
        ("writes per second of input", len(written) / (INTERVALS * INTERVAL), ""),
        ("events per write", phase.records / len(written), ""),
        ("intervals written", intervals, ""),
        ("last input to last write", last - begin - SECONDS, "s"),
    ]
    return [Figure(phase.title, *one) for one in found]
