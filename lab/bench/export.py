"""The way back through the real stack: what waits on the stream at the start, then a steady rate.

Times are the product's own: from Kinesis' arrival to the answer, in table `deliveries`. The stand-in of Amplitude
and the emulator of Kinesis share the machine's cores; the emulator hands out some thousand records a second.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Any, Final

import numpy as np

from lab.bench.figures import Figure, Say
from lab.sample import messages
from lab.sample.generator import Put
from lab.stack import amplitude
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import wait_until
from ops.answers.export_ledger import unbalanced
from settings import Settings, load
from stores.destinations import Destination, Destinations
from stores.lake import DELIVERIES, Lake
from stores.project import linked
from stores.projects import Projects
from stores.seal import Seal
from stores.stream import Stream

BLAST: Final = 10_000
RATE: Final = 200
SECONDS: Final = 20
_PROJECTS: Final = {1_001 + n: f"shop-{n}" for n in range(20)}
_BATCH: Final = 50


def measure(say: Say) -> list[Figure]:
    """A blast, then a steady rate, of events of 20 projects that are all accepted."""
    with Stack("bench-export", Ports.free(), flink_options={"execution.checkpointing.interval": "10s"}) as stack:
        settings = load(stack.write_settings(**stack.start_amplitude()))
        stream, lake = Stream(settings.export_stream_address), Lake(settings.lake_address)
        connect(settings)
        made = _fine(BLAST + RATE * SECONDS)
        say(f"{BLAST:,} message events wait on the stream")
        sum(stream.put((one.partition_key, one.data) for one in islice(made, BLAST)))
        job = stack.submit(stack.settings_path, job="export")
        stack.flink.wait_until_running(job)
        blast = _answered(lake, BLAST)
        say(f"{RATE * SECONDS:,} message events at up to {RATE} a second")
        rate = _feed(stream, made)
        steady = _answered(lake, BLAST + RATE * SECONDS)[BLAST:]
        wait_until(lambda: not unbalanced(lake), 60, lambda: unbalanced(lake)[:3], 1)
        requests = _requests(stack, job)
    took = (blast[-1]["answered"] - blast[0]["answered"]).total_seconds()
    waits = [(row["answered"] - row["arrival"]).total_seconds() for row in steady]
    wrong = sum(row["outcome"] != "accepted" for row in (*blast, *steady))
    return [
        Figure("export", f"{BLAST:,} events that waited", BLAST / took, "events/s"),
        *(
            Figure("export", f"steady: arrival to answer, p{p}", float(np.percentile(waits, p)), "s")
            for p in (50, 95, 100)
        ),
        Figure("export", "steady: put", rate, "events/s"),
        Figure("export", "requests to Amplitude", requests / (BLAST + RATE * SECONDS), "per event"),
        Figure("export", "events", f"WRONG: {wrong:,} not accepted" if wrong else "ok"),
    ]


def connect(settings: Settings) -> None:
    """Make the stream and the projects, each with a destination that the stand-in knows."""
    Stream(settings.export_stream_address).create(2)
    projects, destinations = Projects(settings.tables_address), Destinations(settings.tables_address)
    projects.create()
    destinations.create()
    seal, key = Seal(settings.seal_keys), amplitude.API_KEY
    for project_id, shop in _PROJECTS.items():
        projects.add(linked(project_id, shop))
        destinations.set(Destination(project_id, "us", seal.seal(project_id, key), key[-4:]))


def _fine(count: int) -> Iterator[Put]:
    rng, now, shops = Random(1), datetime.now(UTC), list(_PROJECTS.values())
    while True:
        yield from (one.puts[0] for one in messages.messages(rng, count, shops, now) if one.fate == "fine")


def _feed(stream: Stream, made: Iterator[Put]) -> float:
    """Put events at the rate, or as near as the emulator can; the rate that it was."""
    begin = time.monotonic()
    for done in range(0, RATE * SECONDS, _BATCH):
        time.sleep(max(0.0, begin + done / RATE - time.monotonic()))
        sum(stream.put((one.partition_key, one.data) for one in islice(made, _BATCH)))
    return RATE * SECONDS / (time.monotonic() - begin)


def _answered(lake: Lake, count: int) -> Sequence[dict[str, Any]]:
    """The attempts by their answers, once there are so many."""
    columns = ("outcome", "arrival", "answered")
    wait_until(lambda: lake.rows(DELIVERIES, ("attempt",)).num_rows >= count, 240, pause=1)
    found: list[dict[str, Any]] = lake.rows(DELIVERIES, columns).sort_by("answered").to_pylist()
    return found


def _requests(stack: Stack, job: str) -> float:
    """Requests to Amplitude, as the workers have counted them."""
    for vertex in stack.rest(f"/jobs/{job}")["vertices"]:
        path = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics"
        for name in (one["id"] for one in stack.rest(path) if one["id"].endswith("amplitude_requests")):
            return sum(float(one["sum"]) for one in stack.rest(f"{path}?get={name}"))
    return float("nan")
