"""Braze's endpoints and Amplitude's cohort sync as a process serves them, and every example of docs/intake.md."""

import gzip
import json
import re
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from urllib3 import BaseHTTPResponse

from lab.stack.patience import scaled, wait_until
from settings import load
from stores.access_keys import AccessKeys
from tests.cases import each
from tests.integration import test_intake
from tests.integration.test_intake import PER_MINUTE, SHOP, Door

door = test_intake.door
PAGE = Path(__file__).resolve().parents[2] / "docs" / "intake.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
EXAMPLES = [
    (text, BLOCKS[at + 1][1].strip() if at + 1 < len(BLOCKS) and BLOCKS[at + 1][0] == "json" else None)
    for at, (language, text) in enumerate(BLOCKS)
    if language == "sh" and "curl" in text
]
EVENT = {"external_id": "ann-17", "name": "opened", "time": "2026-03-15T09:30:00Z"}
COHORTS = "/amplitude/v1/cohorts"


def lines(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


@pytest.fixture(scope="module")
def any_key(door: Door) -> str:
    return AccessKeys(load(door.config).tables_address).add(SHOP, ["events", "cohorts"], "a test").text


@each(("command", "answer"), EXAMPLES, [text.partition("\n")[0][:60] for text, _ in EXAMPLES])
def test_an_example_of_the_page(
    command: str, answer: str | None, door: Door, any_key: str, tmp_path: Path
) -> None:
    given = {"INTAKE": f"http://127.0.0.1:{door.pool.port}", "KEY": any_key, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-ec", command], env=given, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    assert answer in {None, done.stdout}


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 7


def test_objects_are_on_the_stream_as_lines_before_the_answer(door: Door) -> None:
    body = json.dumps(
        {"events": [EVENT, EVENT | {"name": "closed"}], "attributes": [{"external_id": "b"}]}
    ).encode()
    plain = door.post(body, "/users/track", request_id="braze-plain")
    packed = door.post(gzip.compress(body), "/users/track", request_id="braze-packed", content_encoding="gzip")
    success = {"message": "success", "attributes_processed": 1, "events_processed": 2}
    assert [(got.status, got.json()) for got in (plain, packed)] == [(201, success)] * 2
    assert plain.headers["x-ratelimit-limit"] == str(PER_MINUTE)
    found = door.on_stream()
    header, stored = found["braze-plain"]
    assert (header.project_id, header.source) == (SHOP, "braze")
    assert [one["event_type"] for one in lines(stored)] == ["$identify", "opened", "closed"]
    again = lines(found["braze-packed"][1])
    assert [one["uuid"] for one in again][1:] == [one["uuid"] for one in lines(stored)][1:]


def test_the_key_may_be_in_the_body(door: Door) -> None:
    asked = {"api_key": door.keys["events"], "attributes": [{"external_id": "a"}]}
    got = door.pool.urlopen("POST", "/users/track", json.dumps(asked).encode(), retries=False)
    assert (got.status, got.json()) == (201, {"message": "success", "attributes_processed": 1})


@each(
    ("key", "status", "words"),
    [
        ("", 401, "send the access key in this header: Authorization: Bearer ntfy_…"),
        ("wrong", 401, "there is no such access key: compare it with the one that was shown to you"),
        ("cohorts", 403, None),
    ],
)
def test_a_fatal_error_has_brazes_shape_and_the_rate(door: Door, key: str, status: int, words: str | None) -> None:
    got = door.post(b"{}", "/users/track", key=key)
    assert (got.status, got.json().keys()) == (status, {"message", "errors"})
    assert got.json()["message"] == (words or got.json()["message"])
    assert int(got.headers["x-ratelimit-reset"]) > 1_700_000_000
    assert got.headers["x-ratelimit-limit"] == str(PER_MINUTE)


def test_a_bulk_request_may_be_longer_than_a_record(door: Door) -> None:
    users = [{"external_id": f"u{n}", "about": f"{n}" * 400} for n in range(1_000)]
    body = json.dumps({"attributes": users}).encode()
    assert len(body) > 1_100_000
    assert door.post(body, "/users/track").status == 413

    def posted() -> BaseHTTPResponse:
        return door.post(body, "/users/track/bulk", request_id="braze-bulk")

    wait_until(lambda: posted().status != 503, scaled(20))  # a busy machine's emulator needs more than 3 s
    got = posted()
    assert (got.status, got.json()) == (201, {"message": "success", "attributes_processed": 1_000})
    too_long = door.post(b" " * (2**21 + 1), "/users/track/bulk")
    assert (too_long.status, too_long.json()["errors"]) == (413, [])


def test_a_list_is_created_and_changed_by_any_form_of_the_key(door: Door) -> None:
    key, new = door.keys["cohorts"], {"cohort_id": "gs72ns", "cohort_name": "Carts"}
    access, _, secret = key.rpartition("_")
    basic = "Basic " + b64encode(f"{access}:{secret}".encode()).decode()
    in_body = {"access_key": access, "secret_key": secret, "project_id": str(SHOP)}

    def call(path: str, body: dict[str, Any], **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return door.pool.urlopen("POST", path, json.dumps(body).encode(), named, retries=False)

    created = call(COHORTS, new | in_body, request_id="cohort-new")
    assert created.status == 200
    list_id = created.json()["listId"]
    added = call(f"{COHORTS}/{list_id}/add", {"users": ["a", "b"]}, authorization=basic, request_id="cohort-add")
    assert (added.status, added.json()) == (200, {"listId": list_id})
    left = call(
        f"{COHORTS}/{list_id}/remove", {"users": ["b"]}, authorization=f"Bearer {key}", request_id="cohort-left"
    )
    assert left.status == 200
    found = door.on_stream()
    assert {found[name][0].source for name in ("cohort-new", "cohort-add", "cohort-left")} == {"cohorts"}
    messages = [json.loads(found[name][1]) for name in ("cohort-new", "cohort-add", "cohort-left")]
    assert [(one["in_cohort"], len(one["users"])) for one in messages] == [(False, 0), (True, 2), (False, 1)]
    assert call(COHORTS, new).json()["error"]["code"] == "key_missing"


def test_a_whole_batch_of_a_first_sync_is_one_call(door: Door) -> None:
    body = json.dumps({"users": [f"user-{n:032}@example.com" for n in range(10_000)]}).encode()
    got = door.post(body, f"{COHORTS}/gs72ns.1773567000000123/add", key="cohorts")
    assert (got.status, got.json()) == (200, {"listId": "gs72ns.1773567000000123"})
