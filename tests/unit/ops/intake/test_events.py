"""What a batch is told of each of its events: what the job will make of it."""

import gzip
import json
from datetime import datetime
from typing import Any

import pytest

from ops.intake.app import ENDPOINTS
from ops.intake.errors import IntakeError
from ops.intake.events import EVENTS, INFLATED_BYTES, judged
from ops.intake.openapi import DESCRIBED, document, page
from stores.project import linked
from tests.builders import cohort
from tests.cases import each
from udfs.intake import Header

SHOP = 434735
HEADER = Header(SHOP, datetime.fromisoformat("2026-11-28 04:00"), "request-1", "batch", ("events",))
REGISTRY = {SHOP: linked(SHOP, "acme")}


def event(**fields: Any) -> dict[str, Any]:
    return {"app": SHOP, "event_type": "play", "user_id": "sora", "device_id": "d"} | fields


def told(body: bytes) -> list[tuple[str | None, str, str | None]]:
    return [(one.id, one.verdict, one.reason) for one in judged(body, HEADER, REGISTRY)]


@each(
    ("given", "expected"),
    [
        (event(uuid="u"), ("u", "ok", None)),
        (event(**{"$insert_id": "i"}), ("i", "ok", None)),
        (event(uuid="", insert_id="i"), ("i", "ok", None)),
        (event(), (None, "ok", None)),
        ({"event_type": "play", "uuid": "u"}, ("u", "ok", None)),
        ({"user_id": "sora", "user_properties": {"$set": {"a": 1}}}, (None, "ok", None)),
        (event(app=1, uuid="u"), ("u", "dead_letter", "app_mismatch")),
        (event(event_type=7, uuid=7), (None, "dead_letter", "event_type_invalid")),
        ({"a": 1}, (None, "dead_letter", "foreign")),
        (cohort(), (None, "dead_letter", "scope_missing")),
        (5, (None, "dead_letter", "not_an_object")),
    ],
)
def test_an_event_is_told_what_becomes_of_it(given: object, expected: tuple[str | None, str, str | None]) -> None:
    assert told(json.dumps(given).encode()) == [expected]


def test_copies_within_a_request_are_told_whatever_holds_them() -> None:
    lines = [json.dumps(event(uuid=uuid)).encode() for uuid in "aab"]
    verdicts = [("a", "ok", None), ("a", "duplicate", None), ("b", "ok", None)]
    assert told(b"\n".join(lines)) == told(b"[" + b",".join(lines) + b"]") == verdicts
    assert told(gzip.compress(b"\n".join(lines))) == verdicts


@each("body", [gzip.compress(b" " * (INFLATED_BYTES + 1)), b"{}" * (EVENTS + 1)], ids=["bytes", "events"])
def test_what_holds_too_much_is_refused_whole(body: bytes) -> None:
    with pytest.raises(IntakeError) as refused:
        judged(body, HEADER, REGISTRY)
    assert refused.value.status == 413


def test_every_endpoint_is_described_and_no_other() -> None:
    assert set(DESCRIBED) == {one.path for one in ENDPOINTS} == set(document()["paths"])
    assert all(path in page() for path in DESCRIBED)
    assert "http" not in page().replace("https://HOST", "").replace("no HTTP", "").replace('"http', "")
