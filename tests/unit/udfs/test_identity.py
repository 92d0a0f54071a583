"""The identity ladder. The project is no part of an identity: keyed state is partitioned by it as well."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.builders import DEVICE, INSERT_ID, MISSING, OTHER_PROJECT, PROJECT, UUID, Record, encode, event
from tests.cases import each
from udfs import events, identity, parse
from udfs.identity import Identity
from udfs.model import Rejection

TIME = "2026-03-15 09:30:28.583000"
WITHOUT_IDS: Mapping[str, Any] = {"uuid": MISSING, "$insert_id": None, "device_id": None}


def identity_of(record: Record) -> Identity:
    payload = encode(record)
    parsed = parse.quick(payload) or careful(payload)
    return events.identify(parsed[0], payload)


def careful(payload: bytes) -> parse.Parsed:
    found = parse.record(payload)
    assert isinstance(found, parse.Record)
    parsed = parse.careful(found.fields, found.repairs)
    assert not isinstance(parsed, Rejection)
    return parsed


# A change here makes every event that is remembered in state a new one: it bills each retry again.
GOLDEN = {
    "uuid": (
        identity.by_uuid(UUID, "Play Song"),
        1,
        "1|36:6f1c2a34-0b1d-4e5f-8a9b-0c1d2e3f4a5b|9:Play Song",
        "fc96436118c7e08419b2376da7f69ac6",
    ),
    "insert id": (
        identity.by_insert_id(DEVICE, INSERT_ID, "Play Song"),
        2,
        "2|37:0d4f8a6c-13b2-4c55-8a1e-7b9c6d5e4f3aR|36:b7e0a9d2-5c41-4f7e-9d35-1f0e8c2b6a70|9:Play Song",
        "9bfa66dc5dd4cf5f3eb3739dd2a723c5",
    ),
    "event id": (
        identity.by_event_id(DEVICE, 135, datetime.fromisoformat(TIME), "Play Song"),
        3,
        "3|37:0d4f8a6c-13b2-4c55-8a1e-7b9c6d5e4f3aR|3:135|26:2026-03-15T09:30:28.583000|9:Play Song",
        "cbb24286f40fd5e122e31c544cb75f93",
    ),
    "content": (
        identity.by_content({"app": 1, "event_type": "노래", "x": {"b": [1, None], "a": "é"}}),
        4,
        "4|32:b8de880f10631af5899c5d8a46131784",
        "3a3b1aed73b379b4705e1462c5943caa",
    ),
}

RUNGS = {
    "all fields": ({}, 1),
    "uuid null": ({"uuid": None}, 2),
    "uuid missing": ({"uuid": MISSING}, 2),
    "uuid empty": ({"uuid": ""}, 2),
    "uuid a number": ({"uuid": 7}, 1),
    "uuid a word for none": ({"uuid": "null"}, 2),
    "uuid of zeros": ({"uuid": "00000000-0000-0000-0000-000000000000"}, 2),
    "no insert id": ({"uuid": None, "$insert_id": None}, 3),
    "insert id empty": ({"uuid": None, "$insert_id": ""}, 3),
    "uuid not text": ({"uuid": 7.0}, 2),
    "uuid a number for none": ({"uuid": 0}, 2),
    "insert id a number": ({"uuid": None, "$insert_id": 7}, 2),
    "insert id not text": ({"uuid": None, "$insert_id": [7]}, 3),
    "insert id a word for none": ({"uuid": None, "$insert_id": "N/A"}, 3),
    "event id zero": ({"uuid": None, "$insert_id": None, "event_id": 0}, 3),
    "no device": ({"uuid": None, "device_id": None}, 4),
    "device empty": ({"uuid": None, "device_id": ""}, 4),
    "device a word for none": ({"uuid": None, "device_id": "unknown"}, 4),
    "no event id": ({"uuid": None, "$insert_id": None, "event_id": None}, 4),
    "event id not an integer": ({"uuid": None, "$insert_id": None, "event_id": 135.0}, 4),
    "event id too large": ({"uuid": None, "$insert_id": None, "event_id": 2**63}, 4),
    "no client time": ({"uuid": None, "$insert_id": None, "client_event_time": None}, 4),
    "client time no timestamp": ({"uuid": None, "$insert_id": None, "client_event_time": "soon"}, 4),
}

OF_THE_EVENT = {
    "rung 1, uuid": ({}, {"uuid": "another"}),
    "rung 1, event type": ({}, {"event_type": "Any Song"}),
    "rung 2, device": ({"uuid": None}, {"device_id": "another"}),
    "rung 2, insert id": ({"uuid": None}, {"$insert_id": "another"}),
    "rung 2, event type": ({"uuid": None}, {"event_type": "Any Song"}),
    "rung 3, device": ({"uuid": None, "$insert_id": None}, {"device_id": "another"}),
    "rung 3, event id": ({"uuid": None, "$insert_id": None}, {"event_id": 136}),
    "rung 3, time": ({"uuid": None, "$insert_id": None}, {"client_event_time": "2026-03-15 09:30:28.583001"}),
    "rung 3, event type": ({"uuid": None, "$insert_id": None}, {"event_type": "Any Song"}),
    "rung 4, a property": (WITHOUT_IDS, {"event_properties": {"title": "Blueming", "seconds": 240}}),
    "rung 4, an unknown field": (WITHOUT_IDS, {"price": 1}),
    "rung 4, another number type": (WITHOUT_IDS, {"event_id": "135"}),
    "rung 4, null in place of nothing": (WITHOUT_IDS, {"price": None}),
}


@each(("found", "rung", "text", "digest"), GOLDEN.values(), ids=GOLDEN)
def test_an_identity_stays_what_it_was(found: Identity, rung: int, text: str, digest: str) -> None:
    assert found == Identity(rung, text, bytes.fromhex(digest))


@each(("overrides", "rung"), RUNGS.values(), ids=RUNGS)
def test_the_first_rung_with_all_its_fields_names_the_event(overrides: Record, rung: int) -> None:
    assert identity_of(event(**overrides)).rung == rung


@each(("rung", "change"), OF_THE_EVENT.values(), ids=OF_THE_EVENT)
def test_what_names_an_event_tells_two_events_apart(rung: Record, change: Record) -> None:
    assert identity_of(event(**rung)) != identity_of(event(**rung | change))


@each(
    "rung",
    [{}, {"uuid": None}, {"uuid": None, "$insert_id": None}],
    ids=["rung 1", "rung 2", "rung 3"],
)
def test_fields_below_the_rung_do_not_matter(rung: Record) -> None:
    again = {"city": "Seoul", "event_properties": {"title": "Blueming"}, "processed_time": None, "price": 1}
    assert identity_of(event(**rung)) == identity_of(event(**rung | again))


def test_the_insert_id_does_not_matter_above_its_rung() -> None:
    assert identity_of(event()) == identity_of(event(**{"$insert_id": None, "device_id": None}))


def test_one_instant_spelt_in_two_ways_is_one_event_at_rung_3() -> None:
    rung: Record = {"uuid": None, "$insert_id": None}
    again = event(**rung, client_event_time="2026-03-15T18:30:28.583+09:00")
    assert identity_of(event(**rung)) == identity_of(again)


@each("processed", [MISSING, None, "2026-03-15 13:02:10.000000", 7])
def test_the_processed_time_does_not_matter_at_rung_4(processed: object) -> None:
    assert identity_of(event(**WITHOUT_IDS)) == identity_of(event(**WITHOUT_IDS, processed_time=processed))


def test_the_order_of_keys_does_not_matter_at_rung_4() -> None:
    properties = {"title": "밤편지", "seconds": 240, "nested": {"a": 1, "b": [2, {"c": 3, "d": 4}]}}
    reverse = {"nested": {"b": [2, {"d": 4, "c": 3}], "a": 1}, "seconds": 240, "title": "밤편지"}
    record = event(**WITHOUT_IDS, event_properties=properties)
    again = dict(reversed(event(**WITHOUT_IDS, event_properties=reverse).items()))
    assert identity_of(record) == identity_of(again)


def test_the_project_separates_equal_identities_by_partition() -> None:
    assert identity_of(event(app=PROJECT)) == identity_of(event(app=OTHER_PROJECT))
