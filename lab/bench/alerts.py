"""From the event that crosses a threshold to its notification: `python -m lab.bench alerts`, 4 minutes.

The clock runs from the acknowledged put of the event with which a project's month reaches a threshold, to the
arrival of the first request about that threshold that the webhook's receiver acknowledges; both ends are in this
process. Checkpoints, totals and `usage watch` come at the intervals as shipped: 30 s, 10 s, 10 s. About every
second project the receiver answers every other request with 503, the first of each notification to begin with.

Totals are written when a full interval of the clock ends. How long after that the watch looks, is settled when it
starts and then stays: it differs from run to run, is reported, and is part of all that is measured in that run.
"""

import json
import threading
import time
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from random import Random
from typing import Any

import numpy as np

from lab.bench.events import DUPLICATES, SEED
from lab.bench.figures import Figure, Say
from lab.sample.events import encode, make_event, person
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.process import StackError
from settings import Settings, load
from stores.alerts import Alerts
from stores.project import DEFAULT_MONTHLY_LIMIT, Terms, linked
from stores.projects import Projects
from stores.stream import Stream
from stores.usage import UsageTable

SHARDS = 2
RATE = 60  # records/s
SECONDS = 150
BATCH = 10
PROJECTS = range(800_000, 800_300)
AT_A_TIME = 100  # projects that records come for: each has its tenth event some 17 s after its first
OTHER = 800_300  # far from its limit: takes what is put before the first turn and after the last
TERMS = Terms(monthly_limit=10)
PATIENCE = 90  # seconds

Times = dict[tuple[int, int], float]
"""By project and threshold, in seconds of the monotonic clock."""


def measure(say: Say) -> list[Figure]:
    """One feed; the projects of both kinds side by side."""
    told: Times = {}
    with Stack("bench-alerts", Ports.free()) as stack, _receiver(told) as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), name="bench-receiver", daemon=True).start()
        settings = _prepare(stack, f"http://127.0.0.1:{receiver.server_port}/")
        stream, records = Stream(settings.stream_address), _records(1 + RATE * SECONDS)
        _feed(stream, islice(records, 1))  # waits for the job: when it is counted, all has started
        job = stack.submit(stack.settings_path)
        stack.start_watch()
        if not _wait(lambda: bool(UsageTable(settings.tables_address).list())):
            msg = f"no total after {PATIENCE} s: {stack.flink.root_cause(job) or stack.flink.job_state(job)}"
            raise StackError(msg)
        say(f"putting {RATE} records/s for {SECONDS} s, {len(PROJECTS)} projects cross their thresholds")
        begin = time.monotonic()
        crossed = _feed(stream, records)
        took = time.monotonic() - begin
        _wait(lambda: crossed.keys() <= told.keys())
        receiver.shutdown()
        claims = [datetime.fromisoformat(one.claimed_at) for one in Alerts(settings.tables_address).list()]
    return [
        Figure("alerts", "records put", RATE * SECONDS / took, "records/s"),
        Figure("alerts", "end of an interval to the watch's claims", _phase(claims, settings.usage_interval), "s"),
        *_figures("alerts, acknowledged at once", crossed, told, refused=False),
        *_figures("alerts, first attempt refused", crossed, told, refused=True),
    ]


def _is_refused(project_id: int) -> bool:
    return project_id % 2 == 1


def _receiver(told: Times) -> ThreadingHTTPServer:
    """A receiver that notes in `told` when it got what it acknowledges."""
    seen: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at, webhook_id = time.monotonic(), self.headers["webhook-id"]
            data = json.loads(self.rfile.read(int(self.headers["content-length"])))["data"]
            seen[webhook_id] += 1
            fine = not _is_refused(data["project_id"]) or seen[webhook_id] % 2 == 0
            if fine:
                for threshold in data["thresholds"]:
                    told.setdefault((data["project_id"], threshold), at)
            self.send_response(204 if fine else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def _prepare(stack: Stack, url: str) -> Settings:
    """Write the settings, make the stream and register the projects."""
    secret = stack.folder / "secret"
    secret.write_text(f"whsec_{b64encode(bytes(32)).decode()}\n", encoding="ascii")
    webhook = {"webhook_url": url, "webhook_secret_file": str(secret)}
    settings = load(stack.write_settings(ingest={}, metering=webhook))  # all else as shipped
    Stream(settings.stream_address).create(SHARDS)
    projects = Projects(settings.tables_address)
    projects.create()
    for one in (*PROJECTS, OTHER):
        limit = TERMS.monthly_limit if one in PROJECTS else DEFAULT_MONTHLY_LIMIT
        projects.add(linked(one, f"notifly-{one}", monthly_limit=limit))
    return settings


def _records(count: int) -> Iterator[tuple[int, bytes]]:
    """Events with the projects that count them, which take turns and so cross all along; copies are for OTHER."""
    rng, upload, late = Random(SEED), datetime.now(UTC), deque[bytes](maxlen=4096)
    people = [person(rng) for _ in range(100)]
    for number in range(count):
        if late and rng.random() < DUPLICATES:
            yield OTHER, rng.choice(late)
            continue
        place = number * (len(PROJECTS) + AT_A_TIME) // count - rng.randint(1, AT_A_TIME)
        project = PROJECTS[place] if 0 <= place < len(PROJECTS) else OTHER
        late.append(encode(make_event(rng, number, project, rng.choice(people), upload)))
        yield project, late[-1]


def _feed(stream: Stream, records: Iterator[tuple[int, bytes]]) -> Times:
    """Put records at the rate, or as near as the emulator can; returns when which threshold was crossed."""
    crossed: Times = {}
    events: Counter[int] = Counter()
    begin, done = time.monotonic(), 0
    while batch := list(islice(records, BATCH)):
        time.sleep(max(0.0, begin + done / RATE - time.monotonic()))
        done += sum(stream.put((str(hash(data)), data) for _, data in batch))
        now, projects = time.monotonic(), [project for project, _ in batch if project in PROJECTS]
        events.update(projects)
        for project in projects:
            for threshold in TERMS.reached(events[project]):
                crossed.setdefault((project, threshold), now)
    return crossed


def _wait(until: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (done := until()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return done


def _phase(times: Iterable[datetime], interval: timedelta) -> float:
    """How many seconds into an interval of the clock times lie: their mean on its circle."""
    turns = np.array([one.timestamp() for one in times]) / interval.total_seconds()
    return float(np.angle(np.exp(2j * np.pi * turns).mean()) / (2 * np.pi) % 1 * interval.total_seconds())


def _figures(name: str, crossed: Times, told: Times, *, refused: bool) -> list[Figure]:
    wanted = [one for one in crossed if _is_refused(one[0]) == refused]
    waits = [told.get(one, np.inf) - crossed[one] for one in wanted]
    missing = len(wanted) - int(np.isfinite(waits).sum())
    return [
        Figure(name, "thresholds crossed", len(wanted)),
        Figure(name, "notifications", f"WRONG: {missing} did not come" if missing else "ok"),
        *(Figure(name, f"crossing to notification, p{p}", _percentile(waits, p), "s") for p in (50, 95, 100)),
    ]


def _percentile(waits: list[float], p: int) -> float:
    return float(np.percentile(waits, p, method="inverted_cdf"))  # one of them, which may be infinite
