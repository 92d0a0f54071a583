"""The way back through the real job: what waits at the start, then a steady rate: `python -m lab.bench export`.

Input are files that appear in a folder, for the emulated Kinesis takes some 60 records/s. All else is the product:
graph, routes, sender, tables, flink-conf/; checkpoints are every 10 s. The stand-in of Amplitude, a process on the
same cores, parses each event and writes it down. An event is put when its file appears, and accepted when the
sender has the answer, as table `deliveries` says; its id is its number.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.bench import figures
from lab.bench.figures import Figure, Say
from lab.bench.processes import Sampler
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.patience import wait_until
from ops.answers.export_ledger import unbalanced
from ops.release import job_zip
from settings import Settings, load
from stores.destinations import Destination, Destinations
from stores.lake import DELIVERIES, Lake
from stores.project import linked
from stores.projects import Projects
from stores.seal import Seal
from udfs.export.sender import Outcome

WARM_UP: Final = 150_000
WAITING: Final = 300_000
RATE: Final = 1_000
"""Events a second, and those of a file."""
SECONDS: Final = 60
FAR: Final = 0.2
"""Seconds after which an Amplitude that is far away answers."""
PROJECTS: Final = {1_001 + n: f"shop-{n}" for n in range(20)}
_LIMIT: Final = 1_000
"""events/s; below this something hangs"""
_REQUESTS: Final = "requests"
_METRICS: Final = {
    "accumulateBusyTimeMs": "busy",
    "accumulateBackPressuredTimeMs": "back-pressured",
    "amplitude_requests": _REQUESTS,
}
_JVM: Final = "the TaskManager's JVM"
_PROCESSES: Final = {
    _JVM: "taskmanager-1",
    "the JobManager": "jobmanager",
    "the stand-in of Amplitude": "amplitude",
    "DynamoDB Local": "dynamodb",
}
_FLINK: Final = {"execution.checkpointing.interval": "10s", "metrics.fetcher.update-interval": "500"}
_EVENT: Final = (
    b'{"version":1,"event_id":"%d","message_id":"m-%032d","notifly_project":"%b","kind":"sent","time":1773000000000,'
    b'"channel":"kakao_alimtalk","user_id":"user-%d@example.com","send_id":"%036d","campaign_id":"campaign-%08d",'
    b'"campaign_name":"\xeb\xb4\x84 \xec\x84\xb8\xec\x9d\xbc","template_code":"T-2026-03-%06d","provider":"kakao",'
    b'"sender_key":"%040d","phone_number":"+821012345678"}\n'
)


class Bench(NamedTuple):
    """A running job and the folder that it reads; when each file was put, in seconds of the epoch."""

    stack: Stack
    settings: Settings
    job: str
    live: Path
    puts: list[float]

    def put(self, lines: Sequence[bytes]) -> None:
        """Let a file of these events appear."""
        draft = self.live.with_name("draft")
        draft.write_bytes(b"".join(lines))
        draft.rename(self.live / f"{len(self.puts):09}")
        self.puts.append(time.time())

    def wait(self, count: int) -> None:
        """Until so many attempts have their answer and are visible."""
        table = Lake(self.settings.lake_address).table(DELIVERIES)
        wait_until(lambda: table.refresh().scan().count() >= count, 60 + count / _LIMIT, pause=1)

    def answered(self) -> dict[str, NDArray[Any]]:
        """The attempts in order of their events' numbers: number, project, `accepted`, times in seconds."""
        columns = ("event_id", "project_id", "outcome", "arrival", "answered")
        rows = Lake(self.settings.lake_address).rows(DELIVERIES, columns)
        found = {name: rows[name].to_numpy() for name in columns}
        found["event_id"] = found["event_id"].astype(np.int64)
        for name in ("arrival", "answered"):
            found[name] = found[name].astype("datetime64[us]").astype(np.int64) / 1e6
        order = np.argsort(found["event_id"])
        return {name: column[order] for name, column in found.items()}

    def counted(self) -> dict[str, float]:
        """By task and metric, of those that are asked for: the sum over its subtasks."""
        found = dict[str, float]()
        for _ in range(2):  # REST answers with what it knows, then asks the TaskManager
            for vertex in self.stack.rest(f"/jobs/{self.job}")["vertices"]:
                path = f"/jobs/{self.job}/vertices/{vertex['id']}/subtasks/metrics"
                names = [one["id"] for one in self.stack.rest(path) if one["id"].endswith(tuple(_METRICS))]
                for one in self.stack.rest(f"{path}?get={','.join(names)}") if names else ():
                    task, metric = vertex["name"].split(" ->")[0], _METRICS[one["id"].rpartition(".")[2]]
                    found[f"{task}: {metric}"] = float(one["sum"])
            time.sleep(1)
        return found


@contextmanager
def running(projects: Mapping[int, str]) -> Iterator[Bench]:
    """A job for these Amplitude projects, by their ids with their Notifly projects."""
    with Stack("bench-export", Ports.free(), flink_options=_FLINK) as stack:
        settings = load(stack.write_settings(**stack.start_amplitude()))
        connect(settings, projects)
        (stack.folder / "amplitude" / "keys").write_text("\n".join(map(key, projects)), encoding="ascii")
        live = stack.folder / "input" / "live"
        live.mkdir(parents=True)
        script = ROOT / "lab" / "bench" / "job_export.py"
        program = "--config", str(stack.settings_path), "--input", f"file://{live}"
        job = stack.flink.run(("-pyfs", job_zip.build(), "-py", script), program)
        stack.flink.wait_until_running(job)
        yield Bench(stack, settings, job, live, [])


def connect(settings: Settings, shops: Mapping[int, str]) -> None:
    """Make the projects, each with a destination and a key of its own."""
    projects, destinations = Projects(settings.tables_address), Destinations(settings.tables_address)
    projects.create()
    destinations.create()
    seal = Seal(settings.seal_keys)
    for project_id, shop in shops.items():
        projects.add(linked(project_id, shop))
        sealed = seal.seal(project_id, key(project_id))
        destinations.set(Destination(project_id, "us", sealed, key(project_id)[-4:]))


def key(project_id: int) -> str:
    """A project's API key."""
    return f"{project_id:032x}"


def event(number: int, shop: str) -> bytes:
    """A message event of the usual size, as a line."""
    n = number
    return _EVENT % (n, n, shop.encode(), n % 50_000, n // 9_000, n // 9_000, n // 9_000, n // 9_000)


def measure(say: Say) -> list[Figure]:
    """What waits, a steady rate, what waits for a far Amplitude: events of 20 projects that are all accepted."""
    with running(PROJECTS) as bench:
        say(f"{WARM_UP:,} events of warm-up")
        put(bench, WARM_UP)
        say(f"{WAITING:,} events at once")
        with watched(bench) as cost:
            put(bench, WAITING)
        say(f"{RATE:,} events/s for {SECONDS} s")
        put(bench, SECONDS * RATE, pause=1)
        say(f"{WAITING:,} events at once, each answer {FAR} s away")
        (bench.stack.folder / "amplitude" / "faults").write_text(f"slow={FAR} 1", encoding="ascii")
        put(bench, WAITING)
        rows = bench.answered()
        wait_until(lambda: not unbalanced(Lake(bench.settings.lake_address)), 60, pause=1)
    return [*timed(rows, bench.puts), *cost, Figure("export", "events", accepted(rows, len(bench.puts) * RATE))]


def timed(rows: Mapping[str, NDArray[Any]], puts: Sequence[float]) -> list[Figure]:
    """How fast the events were accepted."""
    near, steady = slice(WARM_UP, WARM_UP + WAITING), slice(WARM_UP + WAITING, -WAITING)
    waits = rows["answered"][steady] - np.repeat(puts, RATE)[steady]
    seconds = {f"put to accepted, p{p}": float(np.percentile(waits, p)) for p in (50, 95, 100)}
    return [
        Figure("export", f"{WAITING:,} events at once", speed(rows["answered"][near]), "events/s"),
        Figure("export", f"the same, answers {FAR} s away", speed(rows["answered"][-WAITING:]), "events/s"),
        *figures.of(f"{RATE:,} events/s", seconds, "s"),
    ]


def speed(answered: NDArray[Any]) -> float:
    """Events a second, from the first answer to the last."""
    return len(answered) / float(answered.max() - answered.min())


def put(bench: Bench, count: int, pause: float = 0.0) -> None:
    """Put events of all projects in turn, a file every so many seconds, and wait for their answers."""
    shops, begin, first = list(PROJECTS.values()), time.time(), len(bench.puts) * RATE
    for at in range(0, count, RATE):
        time.sleep(max(0.0, begin + pause * at / RATE - time.time()))
        bench.put([event(first + n, shops[n % len(shops)]) for n in range(at, at + RATE)])
    bench.wait(len(bench.puts) * RATE)


@contextmanager
def watched(bench: Bench) -> Iterator[list[Figure]]:
    """What `WAITING` events cost within it; the list is filled at its end."""
    found = list[Figure]()
    before, begin = bench.counted(), time.time()
    pids = bench.stack.pids()
    with ExitStack() as stack:
        cost = {name: stack.enter_context(Sampler(pids[process])) for name, process in _PROCESSES.items()}
        yield found
    took, after = time.time() - begin, bench.counted()
    parts = {name: one.leader for name, one in cost.items()} | {"Python": cost[_JVM].others}
    for name, now in after.items():
        more = now - before.get(name, 0.0)
        requests = name.endswith(_REQUESTS)
        what = (1_000 * more / WAITING, "per 1,000 events") if requests else (more / 1000 / took, "of the time")
        found.append(Figure("tasks", name, *what))
    found += figures.of("CPU", {name: 1e6 * one.cpu_seconds / WAITING for name, one in parts.items()}, "µs/event")
    found += figures.of("peak memory", {name: one.peak_mb for name, one in parts.items()}, "MB")


def accepted(rows: Mapping[str, NDArray[Any]], count: int) -> str:
    """Whether these are the answers to so many events, all of them a yes."""
    yes = int(np.sum(rows["outcome"] == Outcome.ACCEPTED))
    return "ok" if len(rows["outcome"]) == yes == count else f"WRONG: {yes:,} of {count:,} accepted"
