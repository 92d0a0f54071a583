"""Braze's requests: what each is answered, and what the job makes of it."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ops.intake import braze
from ops.intake.braze import Outcome, Sender, track
from stores.project import linked
from tests.builders import ARRIVAL, PROJECT
from tests.cases import each
from udfs.decode import decode
from udfs.model import DECODED

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "braze"
LIMITS = {"/users/track": braze.TRACK, "/users/track/bulk": braze.BULK, "/users/track/sync": braze.SYNC}
SENDER = Sender(PROJECT, {"shop-app"}, "request-1")
REGISTRY = {PROJECT: linked(PROJECT, "acme")}
EVENT = {"external_id": "ann-17", "name": "opened", "time": "2026-03-15T09:30:00Z"}


def sent(sender: Sender = SENDER, **arrays: Any) -> Outcome:
    return track(msgspec.json.encode(arrays), sender)


def row(record: bytes) -> Mapping[str, Any]:
    """What the job makes of a record, as the fixtures spell it."""
    decoded = dict(zip(DECODED, decode(record, ARRIVAL.replace(tzinfo=None), REGISTRY), strict=True))
    objects = {name: json.loads(value) for name, value in decoded.items() if DECODED[name] is dict and value}
    times = {name: str(value) for name, value in decoded.items() if isinstance(value, datetime)}
    return decoded | objects | times


def uuids(outcome: Outcome) -> list[str]:
    return [json.loads(record)["uuid"] for record in outcome.records]


@each("name", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_a_request_of_brazes_pages(name: str) -> None:
    recorded = json.loads((FOLDER / f"{name}.json").read_bytes())
    outcome = track(json.dumps(recorded["request"], indent=2).encode(), SENDER, LIMITS[recorded["path"]])
    assert (outcome.status, outcome.answer) == (recorded["status"], recorded["answer"])
    assert len(outcome.records) == len(recorded["records"])
    for record, expected in zip(outcome.records, recorded["records"], strict=True):
        found = row(record)
        assert {column: found[column] for column in expected} == expected
        assert (found["project_id"], found["identity_rung"], found["library"]) == (PROJECT, 1, "braze")
        assert found["repairs"] is None


@each(
    ("body", "message"),
    [
        (b"", "Bad Request: the body is no JSON object: 0 bytes"),
        (b"[]", "Bad Request: the body is no JSON object: Expected `object`, got `array`"),
        (b'{"events": [', "Bad Request: the body is no JSON object: Expecting value: line 1 column 13 (char 12)"),
        (b'{"events": ["\xff"]}', "Bad Request: the body is no JSON object: invalid start byte at byte 13"),
        (b'{"a":' * 5_000, "Bad Request: the body is no JSON object: nested deeper than 64 levels"),
    ],
)
def test_a_body_that_is_no_request(body: bytes, message: str) -> None:
    assert track(body, SENDER) == Outcome(400, {"message": message, "errors": []})


def test_half_an_emoji_does_not_cost_the_request() -> None:
    body = json.dumps({"events": [EVENT | {"name": "cut \ud83d"}]}).encode()
    outcome = track(body, SENDER)
    assert outcome.status == 201
    assert row(outcome.records[0])["name"] == "amplitude__cut \N{REPLACEMENT CHARACTER}"


def test_numbers_keep_their_spelling() -> None:
    body = b'{"attributes":[{"external_id":"a","n":1.10,"big":123456789012345678901234567890}]}'
    assert b'{"n":1.10,"big":123456789012345678901234567890}' in track(body, SENDER).records[0]


def test_an_event_that_comes_again_is_a_copy_whatever_the_request() -> None:
    first = sent(events=[EVENT])
    assert uuids(first) == uuids(sent(SENDER._replace(request_id="request-2"), events=[EVENT]))
    assert uuids(first) == uuids(sent(events=[dict(reversed(EVENT.items()))]))
    assert uuids(first) != uuids(sent(events=[EVENT | {"time": "2026-03-15T09:30:01Z"}]))


def test_events_that_are_alike_in_a_request_are_several() -> None:
    assert len({*uuids(sent(events=[EVENT, EVENT]))}) == 2
    assert uuids(sent(events=[EVENT, EVENT])) == uuids(sent(events=[EVENT, EVENT]))


def test_the_senders_own_id_tells_events_apart_for_each_user() -> None:
    first = EVENT | {"insert_id": "a-1"}
    again = sent(events=[first, first | {"name": "closed"}])
    assert len({*uuids(again)}) == 1
    assert row(again.records[0])["insert_id"] == "a-1"
    assert uuids(sent(events=[first])) != uuids(sent(events=[first | {"external_id": "bob-2"}]))


def test_an_update_is_a_copy_only_of_the_same_place_in_the_same_request() -> None:
    more = {"external_id": "ann-17", "points": {"inc": 1}}
    first = uuids(sent(attributes=[more, more]))
    assert len({*first}) == 2
    assert first == uuids(sent(attributes=[more, more]))
    assert {*first}.isdisjoint(uuids(sent(SENDER._replace(request_id="request-2"), attributes=[more, more])))
    assert {*first}.isdisjoint(uuids(sent(attributes=[{"external_id": "ann-17", "points": {"inc": 2}}] * 2)))


@each(
    ("event", "words"),
    [
        ({"name": "\0"}, "'name' is not valid: expected `str` matching regex '[^\\x00]'"),
        ({"properties": {"n": [[[]]]}}, None),
        ({"properties": {"text": "x" * 899_000}}, None),
        ({"properties": {"text": "x" * 900_000}}, "the object is not valid: longer than 900,000 bytes"),
        ({"properties": {"deep": json.loads("[" * 62 + "]" * 62)}}, None),
        (
            {"properties": {"deep": json.loads("[" * 63 + "]" * 63)}},
            "the object is not valid: nested deeper than 64 levels",
        ),
    ],
    ids=["no name", "nested", "long", "too long", "deep", "too deep"],
)
def test_what_the_job_would_not_take_is_told_at_once(event: dict[str, Any], words: str | None) -> None:
    errors = sent(events=[EVENT | event]).answer.get("errors")
    assert errors == (words and [{"type": words, "input_array": "events", "index": 0}])


@each(
    ("flag", "errors"),
    [
        (
            True,
            ["'_update_existing_only' is not supported: without it a missing profile is made"],
        ),
        (1, ["'_update_existing_only' is not valid: expected `bool | null`, got `int`"]),
        (False, []),
        (None, []),
    ],
)
def test_an_update_that_must_make_no_profile_is_refused(flag: object, errors: list[str]) -> None:
    only = {"_update_existing_only": flag}
    outcome = sent(attributes=[{"external_id": "a"} | only], events=[EVENT | {"_update_existing_only": True}])
    assert [one["type"] for one in outcome.answer.get("errors", ())] == errors
    assert outcome.answer["events_processed"] == 1
    alias = {"user_alias": {"alias_name": "n", "alias_label": "l"}, "_update_existing_only": True}
    assert sent(attributes=[alias]).answer["attributes_processed"] == 1


def test_a_number_that_none_can_hold_is_told() -> None:
    body = b'{"events":[{"external_id":"a","name":"b","time":"2026-03-15","properties":{"n":1e400}}]}'
    assert track(body, SENDER).answer["errors"] == [
        {
            "type": "the object is not valid: Number out of range - at `$[...][...]`",
            "input_array": "events",
            "index": 0,
        }
    ]


@each(
    ("body", "key"),
    [
        (b'{"api_key": "ntfy_abc", "events": []}', "ntfy_abc"),
        (b'{"api_key": 7}', None),
        (b"{}", None),
        (b"ntfy_abc", None),
    ],
)
def test_the_key_in_the_body(body: bytes, key: str | None) -> None:
    assert braze.api_key(body) == key


def test_a_key_without_app_ids_takes_any() -> None:
    assert sent(SENDER._replace(app_ids=()), events=[EVENT | {"app_id": "other"}]).status == 201


@each("name", ["[Notifly] Push Sent", "[Appboy] Push Open", "$groupidentify", "_identify"])
def test_no_name_reaches_the_loop_guard(name: str) -> None:
    assert not sent(events=[EVENT | {"name": name}]).records
