"""The row of one event: what stands in which column, and what stays readable in `extra`."""

import json
from datetime import datetime, timedelta
from typing import Any

from tests.builders import ARRIVAL, EVENT_B, MISSING, MONTH_END, UPLOAD, YEAR_END, Record, encode, event
from tests.cases import each
from udfs import events, parse
from udfs.model import DECODED, DOCUMENTED_COLUMNS, Rejection, Repair

at = datetime.fromisoformat


def row_of(payload: bytes, arrival: datetime = ARRIVAL) -> dict[str, Any]:
    """The row of an event, read the quick way or, where that refuses, the careful one."""
    repairs: set[Repair] = set()
    parsed: Any = parse.quick(payload)
    if parsed is None:
        record = parse.record(payload)
        assert isinstance(record, parse.Record), record
        repairs = record.repairs
        parsed = parse.careful(record.fields, repairs)
        assert not isinstance(parsed, Rejection), parsed
    values = events.event_row(parsed, payload, "acme", arrival.replace(tzinfo=None), repairs)
    return dict(zip(DECODED, values, strict=True))


def extra_of(record: Record) -> Any:
    extra = row_of(encode(record))["extra"]
    return None if extra is None else json.loads(extra)


def test_the_whole_row_of_a_public_record() -> None:
    row = row_of(encode(EVENT_B))
    objects = {name: json.loads(row.pop(name)) for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict}
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
        "to_profile": False,
        "project_id": 203138,
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


def test_a_whole_row_in_which_much_was_mended() -> None:
    change = {
        "event_type": "Play\0Song", "user_id": "null", "city": 7, "session_id": 2**63, "location_lat": 1e400,
        "event_time": "soon", "plan": [1], "server_upload_time": "2027-01-01 00:00:00.000000", "price": 0.50,
        "event_properties": {"\ud83d": "a\0b"},
    }  # fmt: skip
    text = json.dumps(event(**change)).replace("Infinity", "1e400")
    row = row_of(b"\xef\xbb\xbf" + text.replace('"price": 0.5', '"price": 0.50').encode())
    assert row["repairs"] == (
        "bom_removed container_expected:plan float_not_finite:location_lat integer_beyond_int64:session_id "
        "nul_removed sentinel_id:user_id surrogate_replaced timestamp_implausible:server_upload_time "
        "timestamp_unreadable:event_time wrong_type:city"
    )
    assert (row["name"], row["event_properties"]) == ("amplitude__PlaySong", '{"\ufffd":"ab"}')
    assert json.loads(row["extra"], parse_int=str, parse_float=str) == {
        "user_id": "null", "city": "7", "session_id": str(2**63), "location_lat": "1e400", "event_time": "soon",
        "plan": ["1"], "server_upload_time": "2027-01-01 00:00:00", "price": "0.50",
    }  # fmt: skip
    none = ("user_id", "city", "session_id", "location_lat", "event_time", "server_upload_time")
    assert {row[name] for name in none} == {None}
    assert (row["plan"], row["month"]) == ("{}", "2026-03")


def test_a_minimal_record_has_empty_objects_and_nothing_else() -> None:
    row = row_of(b'{"app":1,"event_type":"a"}')
    objects = {name for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict}
    assert {name: row[name] for name in DOCUMENTED_COLUMNS} == {
        name: "{}" if name in objects else None for name in DOCUMENTED_COLUMNS
    }
    assert (row["month"], row["identity_rung"], row["extra"]) == ("2026-03", 4, None)


@each(
    "event_type",
    ["Play Song", "[Amplitude] Page Viewed", "amplitude__x", " ", "밤편지 😀", "n" * 1024],
    ids=["plain", "of Amplitude", "prefixed already", "a space", "korean", "long"],
)
def test_the_name_is_amplitudes_behind_a_prefix(event_type: str) -> None:
    assert row_of(encode(event(event_type=event_type)))["name"] == f"amplitude__{event_type}"


@each("key", ["uuid", "user_id"])
@each("value", ["", None, MISSING], ids=["empty", "null", "missing"])
def test_an_empty_id_is_null(key: str, value: object) -> None:
    row = row_of(encode(event(**{key: value})))
    assert (row[key], row["extra"]) == (None, None)


@each("name", [name for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict])
@each(
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
    assert row["repairs"] == (None if extra is None else f"container_expected:{name}")


def test_an_object_stays_as_it_was_written() -> None:
    written = '{"b": 1.50, "a":{"밤":[ 1e2,"\\/"]},"a ":12345678901234567890}'
    payload = f'{{"app":1,"event_type":"a","event_properties":{written}}}'.encode()
    assert row_of(payload)["event_properties"] == written


def test_keys_that_differ_in_case_are_two_keys() -> None:
    properties = {"country": "test", "Country": "UK", "": 1, "a.b": 2, "$c": 3}
    assert json.loads(row_of(encode(event(user_properties=properties)))["user_properties"]) == properties


@each(
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
        ({"uuid": 7.0}, {"uuid": 7.0}),
        ({"uuid": 7}, None),
    ],
    ids=[
        "nothing", "unknown", "wrong types", "epoch", "no column", "names of our columns", "mixed", "list",
        "uuid", "a number",
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


@each(
    ("ahead", "month"),
    [(timedelta(0), "2026-04"), (timedelta(days=1), "2026-04"), (timedelta(days=1, microseconds=1), "2026-03")],
    ids=["now", "a day ahead", "more than a day ahead"],
)
def test_an_upload_that_is_ahead_of_its_arrival_by_more_than_a_day_counts_as_none(
    ahead: timedelta, month: str
) -> None:
    arrival = MONTH_END if month == "2026-03" else MONTH_END + timedelta(microseconds=1)
    uploaded = (arrival + ahead).replace(tzinfo=None)
    row = row_of(encode(event(server_upload_time=uploaded.isoformat(" "))), arrival)
    plausible = ahead <= timedelta(days=1)
    assert (row["server_upload_time"], row["month"]) == (uploaded if plausible else None, month)
    assert row["repairs"] == (None if plausible else "timestamp_implausible:server_upload_time")
    assert row["extra"] == (None if plausible else f'{{"server_upload_time":"{uploaded}"}}')


@each("uploaded", ["0001-01-01 00:00:00", "2011-12-31 23:59:59.999999"])
def test_an_upload_before_there_was_amplitude_counts_as_none(uploaded: str) -> None:
    row = row_of(encode(event(server_upload_time=uploaded)))
    assert (row["server_upload_time"], row["month"]) == (None, "2026-03")
    assert row["repairs"] == "timestamp_implausible:server_upload_time"
    assert row["extra"] == f'{{"server_upload_time":"{uploaded}"}}'


def test_an_old_upload_is_as_good_as_any() -> None:
    row = row_of(encode(event(server_upload_time="2012-01-01 00:00:00")))
    assert (row["server_upload_time"], row["month"], row["repairs"]) == (at("2012-01-01"), "2012-01", None)


def test_nul_leaves_names_and_values_and_nothing_else() -> None:
    text = (
        r'{"app":1,"event_type":"a\u0000","uuid":"u\u0000v","city":"\\u0000","x\u0000":"\u0000y\\u0000",'
        r'"event_properties":{"k\u0000":"\u0000\\u0000"}}'
    )
    row = row_of(text.encode())
    assert (row["name"], row["uuid"], row["city"]) == ("amplitude__a", "uv", r"\u0000")
    assert json.loads(row["event_properties"]) == {"k": r"\u0000"}
    assert json.loads(row["extra"]) == {"x": r"y\u0000"}
    assert row["repairs"] == "nul_removed"


def test_the_hash_of_an_identity_still_knows_the_nul() -> None:
    one, other = (row_of(rb'{"app":1,"event_type":"a","uuid":"u%b"}' % nul) for nul in (rb"\u0000", b""))
    assert one["uuid"] == other["uuid"] == "u"
    assert one["identity_hash"] != other["identity_hash"]


def test_repairs_are_named_once_and_in_order() -> None:
    row = row_of(b'{"app":1,"event_type":"a","x":NaN,"y":NaN,"city":1,"dma":2,"city":3}')
    assert row["repairs"] == "duplicate_field nan_to_null wrong_type:city wrong_type:dma"


def test_a_plain_event_has_no_repairs() -> None:
    row = row_of(encode(event()))
    assert (row["repairs"], row["extra"], row["kind"]) == (None, None, "event")
    assert row["server_upload_time"] == UPLOAD.replace(tzinfo=None)
