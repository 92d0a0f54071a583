"""Alerts out of the whole product, killed around the crossing, to a receiver that fails and is down for a time."""

import hmac
import json
import threading
import time
from base64 import b64decode, b64encode
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, NamedTuple

import pytest

from lab.sample.events import encode, make_event, person, uuid
from lab.sample.feed import Feed
from lab.sample.generator import Put
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import wait_until
from lab.stack.process import free_port
from ops.answers.ledger import unbalanced
from settings import Settings, load
from stores.alerts import Alerts
from stores.lake import EVENT_STORE, Lake
from stores.project import linked
from stores.projects import Projects
from stores.stream import Stream
from stores.usage import UsageTable
from tests.compare import assert_as_expected, link_times
from tests.e2e.crash import OPTIONS, crash
from tests.oracle import expect

CUSTOMER = linked(700_001, "acme-shop", monthly_limit=2_000)
DISTINCT, COPIES = 3_000, 600
PER_SECOND = 60
SECRET = b64encode(bytes(range(32))).decode()
DOWN = 20  # seconds


class Request(NamedTuple):
    """What came, as far as it was authentic."""

    at: float
    webhook_id: str
    body: bytes
    acknowledged: bool


class Receiver:
    """A webhook receiver that answers every other request about a notification with an error."""

    def __init__(self) -> None:
        self.port, self.requests, self.forged = free_port(), list[Request](), 0
        self.up()

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server: Any = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        webhook_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        message = f"{webhook_id}.{timestamp}.".encode() + body
        signature = "v1," + b64encode(hmac.digest(b64decode(SECRET), message, "sha256")).decode()
        authentic = hmac.compare_digest(signature, request.headers["webhook-signature"])
        self.forged += not (authentic and abs(int(timestamp) - time.time()) < 60)
        fine = sum(one.webhook_id == webhook_id for one in self.requests) % 2 == 1
        self.requests.append(Request(time.time(), webhook_id, body, fine))
        request.send_response(204 if fine else 503)
        request.end_headers()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.down()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-metering", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: Stack, receiver: Receiver) -> Settings:
    secret = stack.folder / "secret"
    secret.write_text(f"whsec_{SECRET}\n")
    metering: dict[str, str | int] = {
        "watch_interval_seconds": 1,
        "webhook_url": f"http://127.0.0.1:{receiver.port}/hooks/usage?token=not-to-be-told",
        "webhook_secret_file": str(secret),
        "webhook_timeout_seconds": 2,
    }
    found = load(stack.write_settings(metering=metering))
    Stream(found.stream_address).create(2)
    projects = Projects(found.tables_address)
    projects.create()
    projects.add(CUSTOMER)
    return found


def records(upload: datetime) -> list[Put]:
    """Distinct events in their order, with copies of earlier ones among them."""
    rng = Random(23)
    people = [person(rng) for _ in range(50)]
    events = [encode(make_event(rng, n, CUSTOMER.project_id, rng.choice(people), upload)) for n in range(DISTINCT)]
    puts = [(n + 0.5, data) for n, data in enumerate(events)]
    for _ in range(COPIES):
        first = rng.randrange(DISTINCT)
        puts.append((rng.uniform(first + 1, DISTINCT), events[first]))
    return [Put(uuid(rng), data) for _, data in sorted(puts)]


def test_each_threshold_is_told_once_whatever_is_killed_and_whoever_does_not_answer(
    stack: Stack, settings: Settings, job: str, receiver: Receiver
) -> None:
    upload = datetime.now(UTC).replace(microsecond=0)
    month, puts = f"{upload:%Y-%m}", records(upload)
    stack.start_watch()
    feed = Feed(Stream(settings.stream_address), puts, PER_SECOND)
    feed.start()

    feed.wait_for(0.40)  # past 50 %
    stack.kill_watch()
    crash(stack, job)
    stack.start_watch()
    feed.wait_for(0.62)  # about 90 %
    receiver.down()
    down_until = time.monotonic() + DOWN
    crash(stack, job)
    alerts = Alerts(settings.tables_address)
    wait_until(lambda: any(one.last_error == "no connection" for one in alerts.pending()), 60, alerts.list)
    time.sleep(max(0.0, down_until - time.monotonic()))
    receiver.up()
    feed.finish(seconds=300)

    thresholds, usage = len(CUSTOMER.terms.thresholds), UsageTable(settings.tables_address)
    wait_until(
        lambda: sum(one.notified_at is not None for one in alerts.list()) == thresholds, 120, alerts.pending
    )
    wait_until(lambda: usage.list()[0].records == len(puts) and not unbalanced(settings), 120, usage.list, pause=1)

    (total,) = usage.list()
    assert (total.project_id, total.month, total.events) == (CUSTOMER.project_id, month, DISTINCT)
    events = Lake(settings.lake_address).rows(EVENT_STORE).to_pylist()
    expected = expect([(put.data, datetime.now(UTC)) for put in puts], link_times([CUSTOMER]))
    assert_as_expected(events, [], [total], expected)

    told = [one for one in receiver.requests if one.acknowledged]
    assert receiver.forged == 0
    assert Counter(threshold for one in told for threshold in json.loads(one.body)["data"]["thresholds"]) == {
        50: 1, 80: 1, 90: 1, 100: 1
    }  # fmt: skip
    assert Counter(one.webhook_id for one in told).most_common(1)[0][1] == 1
    bodies = defaultdict(set)
    for one in receiver.requests:
        bodies[one.webhook_id].add(one.body)
    assert {len(different) for different in bodies.values()} == {1}
    assert [(one.threshold, one.notification_id in bodies) for one in alerts.list()] == [
        (50, True), (80, True), (90, True), (100, True)
    ]  # fmt: skip
    assert alerts.pending() == []
    log = (stack.folder / "log" / "watch.log").read_text()
    assert "token" not in log
    assert SECRET not in log
