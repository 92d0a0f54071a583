"""The intake as a process, before the emulator of Kinesis: what it acknowledges, and what it says of the rest."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from urllib3 import BaseHTTPResponse, HTTPConnectionPool

from lab.stack import intake
from lab.stack.patience import scaled, wait_until
from lab.stack.process import Process, free_port
from lab.stack.proxy import Proxy
from ops.intake.limits import BODY_BYTES
from ops.intake.openapi import DESCRIBED, Refused, document
from settings import load
from stores.access_keys import AccessKeys
from stores.project import linked
from stores.projects import Projects
from stores.stream import Stream
from tests.cases import each
from udfs.intake import Header, MacKeys, unwrap

SHOP, PER_MINUTE = 434735, 100_000
EVENTS = "/amplitude/v1/events"
EVENT = json.dumps({"app": SHOP, "user_id": "sora", "event_type": "play", "uuid": "6c1ff3a2"}).encode()


class Door(NamedTuple):
    """A running intake, and what is behind it."""

    process: Process
    config: Path
    proxy: Proxy
    keys: dict[str, str]
    """access keys by what they are for"""
    pool: HTTPConnectionPool

    def post(self, body: bytes, path: str = EVENTS, key: str = "events", **headers: str) -> BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {self.keys[key]}"} | named
        return self.pool.urlopen("POST", path, body, sent, retries=False, timeout=scaled(20))

    def get(self, path: str) -> BaseHTTPResponse:
        return self.pool.urlopen("GET", path, retries=False, timeout=scaled(20))

    def on_stream(self) -> dict[str, tuple[Header, bytes]]:
        """What is on the stream, by request id."""
        settings = load(self.config)
        keys = MacKeys(settings.intake.mac_keys_file)
        found = [unwrap(record.data, keys) for record in Stream(settings.stream_address).records()]
        return {one[0].request_id: one for one in found if isinstance(one[0], Header)}


@pytest.fixture(scope="module")
def door(
    tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str, kinesis_endpoint: str
) -> Iterator[Door]:
    folder, port = tmp_path_factory.mktemp("intake"), free_port()
    (folder / "mac-keys").write_text("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n", encoding="ascii")
    config = folder / "job.toml"
    with Proxy(int(kinesis_endpoint.rpartition(":")[2])) as proxy:
        config.write_text(
            f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{folder.name}-"\n'
            f'[kinesis]\nendpoint = "{proxy.endpoint}"\nstream = "{folder.name}"\n'
            f'[lake]\ncatalog_uri = "sqlite:///{folder}/catalog.db"\nwarehouse = "file://{folder}/warehouse"\n'
            f'[intake]\nmac_keys_file = "{folder}/mac-keys"\nport = {port}\nworkers = 1\n'
            f"requests_per_minute = {PER_MINUTE}\nconnections = 50\n",
            encoding="utf-8",
        )
        settings = load(config)
        Stream(settings.stream_address).create(2)
        projects = Projects(settings.tables_address)
        projects.create()
        projects.add(linked(SHOP, "acme"))
        table = AccessKeys(settings.tables_address)
        table.create()
        keys = {scope: table.add(SHOP, [scope], "a test").text for scope in ("events", "cohorts")}
        revoked = table.add(SHOP, ["events"], "a test")
        table.revoke(SHOP, revoked.prefix, "a test")
        keys |= {"revoked": revoked.text, "wrong": keys["events"][:-4] + "0000", "foreign": "sk_live_1", "": ""}
        process = intake.start(config, folder / "intake.log")
        try:
            yield Door(process, config, proxy, keys, HTTPConnectionPool("127.0.0.1", port, maxsize=40))
        finally:
            process.stop(patience=15)


def test_what_is_acknowledged_is_on_the_stream_as_it_came(door: Door) -> None:
    long = b'[{"user_id": "x"}' + b" " * (BODY_BYTES - 18) + b"]"  # longer than a record, with its envelope
    bodies = {
        "a-single-event": EVENT,
        "packed-events": gzip.compress(EVENT),
        "no-json-at-all": b'{"user_id": "',
        "none-at-all": b"",
        "a-long-body": long,
    }
    for request_id, body in bodies.items():
        got = door.post(body, request_id=request_id)
        assert (got.status, got.json()) == (200, {"request_id": request_id})
        assert got.headers["Request-Id"] == request_id
        assert got.headers["x-ratelimit-limit"] == str(PER_MINUTE)
        assert int(got.headers["x-ratelimit-remaining"]) < PER_MINUTE
    found = door.on_stream()
    stored = {name: found[name][1] for name in bodies}
    assert gzip.decompress(stored.pop("a-long-body")) == bodies.pop("a-long-body")
    assert stored == bodies
    assert {(found[name][0].project_id, found[name][0].source) for name in bodies} == {(SHOP, "amplitude")}


@each(
    ("key", "status", "code"),
    [
        ("", 401, "key_missing"),
        ("foreign", 401, "key_invalid"),
        ("wrong", 401, "key_invalid"),
        ("revoked", 401, "key_revoked"),
        ("cohorts", 403, "scope_missing"),
    ],
)
def test_nobody_else_is_let_in(door: Door, key: str, status: int, code: str) -> None:
    got = door.post(EVENT, key=key)
    error = got.json()["error"]
    assert (got.status, error["code"], error["param"]) == (status, code, "Authorization")
    assert error["request_id"] == got.headers["Request-Id"]
    assert error["message"]


def test_what_is_not_served_says_so(door: Door) -> None:
    assert (door.get("/nothing").status, door.get(EVENTS).status) == (404, 405)
    assert door.get("/nothing").json()["error"]["code"] == "not_found"
    assert door.get("/health/live").data == b"ok\n"


def test_each_event_of_a_batch_is_told_what_becomes_of_it(door: Door) -> None:
    events = [EVENT, EVENT, json.dumps({"event_type": "stop", "$insert_id": "i1"}).encode(), b'{"app": 1, "event_']
    got = door.post(b"[" + b",".join(events), "/v1/batch", request_id="batch-one")
    assert got.status == 200
    assert got.json()["request_id"] == "batch-one"
    told = [(one["index"], one["id"], one["verdict"], one.get("reason")) for one in got.json()["results"]]
    assert told == [
        (0, "6c1ff3a2", "ok", None),
        (1, "6c1ff3a2", "duplicate", None),
        (2, "i1", "ok", None),
        (3, None, "dead_letter", "invalid_json"),
    ]
    assert door.on_stream()["batch-one"][1] == b"[" + b",".join(events)
    nothing = door.post(events[3], "/v1/batch", request_id="batch-two")
    assert (nothing.status, nothing.json()["error"]["code"]) == (400, "nothing_taken")
    assert nothing.json()["results"][0]["reason"] == "invalid_json"
    assert "batch-two" not in door.on_stream()
    bomb = door.post(gzip.compress(b"{}" * 2**20), "/v1/batch")
    assert (bomb.status, bomb.json()["error"]["code"]) == (413, "body_too_large")


ANSWERS = {path: one["post"]["responses"] for path, one in document()["paths"].items()}
"""Of each path, by status: those that the OpenAPI document has."""
NAMES = st.sampled_from(["app", "event_type", "user_id", "uuid", "$insert_id", "cohort_id", "users", "event_time"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([SHOP, "play"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=6),
    max_leaves=20,
)
BODIES = JSON.map(lambda one: json.dumps(one).encode()) | st.binary() | st.sampled_from([EVENT, b""])
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Encoding", "Content-Type", "Request-Id", "Authorization", "Expect", "X-\x7f"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    max_size=3,
)


@given(st.sampled_from(sorted(DESCRIBED)), st.lists(BODIES, max_size=3), st.booleans(), HEADERS)
def test_no_request_fails_whatever_it_is(
    door: Door, path: str, parts: list[bytes], packed: bool, headers: dict[str, str]
) -> None:
    body, key = b"\n".join(parts), "cohorts" if "cohorts" in path else "events"
    got = door.post(gzip.compress(body) if packed else body, path, key, **headers)
    assert got.status < 500, got.data
    assert str(got.status) in ANSWERS[path]
    described = DESCRIBED[path]
    own = described.answers.get(got.status, described.refuses or Refused)
    # what is no HTTP belongs to no path
    assert msgspec.json.decode(got.data, type=Refused if b"invalid_http" in got.data else own)


def said(door: Door, *parts: bytes) -> bytes:
    """What these bytes are answered with: an error."""
    with socket.create_connection(("127.0.0.1", door.pool.port or 0), timeout=scaled(20)) as connection:
        for part in parts:
            connection.sendall(part)
        found = b""
        while not found.endswith(b"}}"):
            some = connection.recv(65_536)
            assert some, found
            found += some
    return found


def test_who_says_too_much_is_told(door: Door) -> None:
    too_long = door.post(bytes(BODY_BYTES + 1))
    assert (too_long.status, too_long.json()["error"]["code"]) == (413, "body_too_large")
    chunk = b"%x\r\n%b\r\n" % (2**19, bytes(2**19))
    head = f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.keys['events']}\r\n".encode()
    assert b"body_too_large" in said(door, head + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk)
    assert b"431 " in said(door, b"GET / HTTP/1.1\r\nX: " + bytes(17_000).replace(b"\0", b"x"))
    assert b"431 " in said(door, head + b"X: %b\r\n\r\n" % (b"x" * 17_000))
    assert b"invalid_http" in said(door, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    assert door.post(EVENT).status == 200


@pytest.fixture(scope="module")
def slow(door: Door) -> Callable[[], tuple[bytes, float]]:
    """What a request is answered of which only the beginning comes, and after how many seconds."""
    begin = time.monotonic()
    pool = ThreadPoolExecutor()
    answer = pool.submit(lambda: (said(door, b"POST / HTTP/1.1\r\nHo"), time.monotonic() - begin))
    return answer.result


def test_who_sends_from_too_many_places_stalls_nobody(door: Door, slow: Callable[[], tuple[bytes, float]]) -> None:
    assert callable(slow)  # which begins here: its end is waited for below
    with ExitStack() as crowd:
        for _ in range(60):
            last = crowd.enter_context(socket.create_connection(("127.0.0.1", door.pool.port or 0)))
        refused = last.recv(1000)
    assert b"503 " in refused
    assert b"too_many_connections" in refused
    assert door.post(EVENT).status == 200


def test_throttling_is_429_and_silence_is_503(door: Door) -> None:
    door.proxy.fail("throttled")
    throttled = door.post(EVENT)
    door.proxy.fail("down")
    begin = time.monotonic()
    away = door.post(EVENT)
    seconds = time.monotonic() - begin
    wait_until(lambda: (door.post(EVENT), door.get("/health/ready"))[1].status == 503, scaled(20))
    door.proxy.mend()
    assert (throttled.status, throttled.json()["error"]["code"]) == (429, "throttled")
    assert (away.status, away.json()["error"]["code"]) == (503, "stream_away")
    assert int(throttled.headers["Retry-After"]) < int(away.headers["Retry-After"])
    assert 2.9 < seconds < scaled(4)
    assert door.post(EVENT).status == 200
    assert door.get("/health/ready").status == 200


def test_who_is_slow_is_told(slow: Callable[[], tuple[bytes, float]]) -> None:
    found, seconds = slow()
    assert b"408 " in found
    assert 9 < seconds < scaled(15)


def test_the_metrics_tell_of_it(door: Door) -> None:
    found = {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(door.get("/metrics").data.decode())
        for one in family.samples
    }
    assert found["intake_requests_total", EVENTS, "200"] >= 5
    assert found["intake_requests_total", EVENTS, "401"] >= 4
    assert found["intake_records_total", "taken"] >= 5
    assert found["intake_records_total", "throttled"] >= 1


def test_the_end_waits_for_what_is_being_answered(door: Door) -> None:
    door.proxy.fail("throttled")
    answers: list[int] = []
    sender = threading.Thread(target=lambda: answers.append(door.post(EVENT, request_id="the-last-one").status))
    sender.start()
    time.sleep(0.3)
    door.process.terminate()
    time.sleep(0.3)
    door.proxy.mend()
    sender.join()
    assert answers == [200]
    assert door.process.wait(15) == 0
    assert "the-last-one" in door.on_stream()
