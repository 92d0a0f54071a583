"""The row of one event: what stands in which column, and what stays readable in `extra`."""

import json
from datetime import datetime
from typing import Any

import pytest

from stores.projects import Project
from tests.builders import ARRIVAL, EVENT_B, MISSING, MONTH_END, PROJECT, YEAR_END, Record, encode, event
from udfs import events, parse
from udfs.model import DECODED, EXPORT_COLUMNS

at = datetime.fromisoformat
ACME = Project(PROJECT, "acme")


def row_of(payload: bytes, arrival: datetime = ARRIVAL) -> dict[str, Any]:
    parsed = parse.parse(payload)
    assert not isinstance(parsed, parse.Rejection), parsed
    values = events.event_row(*parsed, payload, ACME, arrival.replace(tzinfo=None))
    return dict(zip(DECODED, values, strict=True))


def extra_of(record: Record) -> Any:
    extra = row_of(encode(record))["extra"]
    return None if extra is None else json.loads(extra)


def test_the_whole_row_of_a_public_record() -> None:
    row = row_of(encode(EVENT_B))
    objects = {name: json.loads(row.pop(name)) for name, kind in EXPORT_COLUMNS.items() if kind is dict}
    assert objects == {
        "event_properties": EVENT_B["event_properties"],
        "user_properties": EVENT_B["user_properties"],
        "groups": {"[Segment] Group": ["90f978f0-5e4e-11ea-9bb3-0ed254670000"]},
        "group_properties": {"[Segment] Group": {"90f978f0-5e4e-11ea-9bb3-0ed254670000": {}}},
        "data": {"group_ids": {"3124": [2357687219]}, "group_first_event": {}},
        "plan": {},
    }
    assert {name: value for name, value in row.items() if value is not None} == {
        "kind": "event",
        "identity_hash": bytes.fromhex("d4e78d1d740ef7e3e4b301bd40ad1968"),
        "project_id": PROJECT,
        "notifly_project": "acme",
        "month": "2020-11",
        "name": "amplitude__segment.definition.permission_paywall.load",
        "identity": ("1|36:d0b5b3a6-2e3b-11eb-9a80-0a6213450000|42:segment.definition.permission_paywall.load"),
        "identity_rung": 1,
        "uuid": "d0b5b3a6-2e3b-11eb-9a80-0a6213450000",
        "user_id": "1fa23f90-c215-11ea-a639-02ed18110000",
        "insert_id": "ajs-de09c0da8f0c71f2e67cdae5a4400000:CS4fUc2U9U",
        "device_id": "a1c9357b-b104-41c5-b4be-2b4114890000",
        "amplitude_id": 176632796945,
        "event_id": 213979667,
        "session_id": -1,
        "event_time": at("2020-11-24 09:59:55.977000"),
        "client_event_time": at("2020-11-24 09:59:55.977000"),
        "client_upload_time": at("2020-11-24 09:59:58.863000"),
        "server_received_time": at("2020-11-24 09:59:58.863000"),
        "server_upload_time": at("2020-11-24 09:59:58.880000"),
        "processed_time": at("2020-11-24 10:00:00.480098"),
        "user_creation_time": at("2020-07-09 18:51:29.664000"),
        "platform": "Web",
        "os_name": "Chrome",
        "os_version": "86",
        "device_model": "Mac OS",
        "device_family": "Mac OS",
        "country": "Canada",
        "region": "Newfoundland and Labrador",
        "city": "St. John's",
        "language": "English",
        "ip_address": "203.0.113.34",
        "library": "segment",
        "extra": '{"$schema":12,"is_attribution_event":false}',
    }


def test_a_minimal_record_has_empty_objects_and_nothing_else() -> None:
    row = row_of(b'{"app":1,"event_type":"a"}')
    objects = {name for name, kind in EXPORT_COLUMNS.items() if kind is dict}
    assert {name: row[name] for name in EXPORT_COLUMNS} == {
        name: "{}" if name in objects else None for name in EXPORT_COLUMNS
    }
    assert (row["month"], row["identity_rung"], row["extra"]) == ("2026-03", 4, None)


@pytest.mark.parametrize(
    "event_type",
    ["Play Song", "[Amplitude] Page Viewed", "amplitude__x", " ", "밤편지 😀", "n" * 1024],
    ids=["plain", "of Amplitude", "prefixed already", "a space", "korean", "long"],
)
def test_the_name_is_amplitudes_behind_a_prefix(event_type: str) -> None:
    assert row_of(encode(event(event_type=event_type)))["name"] == f"amplitude__{event_type}"


@pytest.mark.parametrize("key", ["uuid", "user_id"])
@pytest.mark.parametrize("value", ["", None, MISSING], ids=["empty", "null", "missing"])
def test_an_empty_id_is_null(key: str, value: object) -> None:
    row = row_of(encode(event(**{key: value})))
    assert (row[key], row["extra"]) == (None, None)


@pytest.mark.parametrize("name", [name for name, kind in EXPORT_COLUMNS.items() if kind is dict])
@pytest.mark.parametrize(
    ("value", "column", "extra"),
    [
        (None, "{}", None),
        ({}, "{}", None),
        ({"a": None}, '{"a":null}', None),
        ([1], "{}", [1]),
        ("{}", "{}", "{}"),
        (False, "{}", False),
        (0, "{}", 0),
        ("", "{}", ""),
    ],
    ids=["null", "empty", "object", "list", "text", "false", "zero", "empty text"],
)
def test_an_object_column_holds_an_object(name: str, value: object, column: str, extra: object) -> None:
    row = row_of(encode(event(**{name: value})))
    assert row[name] == column
    assert row["extra"] == (None if extra is None else json.dumps({name: extra}, separators=(",", ":")))


def test_an_object_stays_as_it_was_written() -> None:
    written = '{"b": 1.50, "a":{"밤":[ 1e2,"\\/"]},"a ":12345678901234567890}'
    payload = f'{{"app":1,"event_type":"a","event_properties":{written}}}'.encode()
    assert row_of(payload)["event_properties"] == written


def test_keys_that_differ_in_case_are_two_keys() -> None:
    properties = {"country": "test", "Country": "UK", "": 1, "a.b": 2, "$c": 3}
    assert json.loads(row_of(encode(event(user_properties=properties)))["user_properties"]) == properties


@pytest.mark.parametrize(
    ("change", "extra"),
    [
        ({}, None),
        ({"price": 9.99, "unknown": None}, {"price": 9.99}),
        ({"city": 7, "event_id": "135"}, {"city": 7, "event_id": "135"}),
        ({"event_time": 1752748588583}, {"event_time": 1752748588583}),
        ({"paying": "true", "price": 1}, {"paying": "true", "price": 1}),
        ({"insert_id": "a", "extra": "b", "kind": "c"}, {"insert_id": "a", "extra": "b", "kind": "c"}),
        ({"data": [1], "price": 1}, {"data": [1], "price": 1}),
        ({"amplitude_attribution_ids": ["a", "b"]}, {"amplitude_attribution_ids": ["a", "b"]}),
        ({"uuid": 7}, {"uuid": 7}),
    ],
    ids=[
        "nothing", "unknown", "wrong types", "epoch", "no column", "names of our columns", "mixed", "list", "uuid",
    ],
)  # fmt: skip
def test_what_has_no_column_stays_in_extra(change: Record, extra: object) -> None:
    assert extra_of(event(**change)) == extra


def test_the_month_of_a_time_that_is_none_is_the_one_of_the_arrival() -> None:
    payload = encode(event(server_upload_time="soon"))
    assert row_of(payload, MONTH_END)["month"] == "2026-03"
    assert row_of(payload, YEAR_END)["month"] == "2025-12"


def test_a_device_clock_does_not_move_the_month() -> None:
    far = {"client_event_time": "2099-01-01 00:00:00", "event_time": "1999-01-01 00:00:00"}
    assert row_of(encode(event(**far)))["month"] == "2026-03"
