"""Bytes of one record into an event, by the quick way or the careful one, or the reason why they are none."""

import json
from typing import Any, NamedTuple

import msgspec

from tests.builders import EVENT_A, EVENT_B, EVENT_C, MISSING, Record, encode, event
from tests.cases import each
from udfs import ids, parse
from udfs.model import DOCUMENTED_COLUMNS, Reason, Rejection

VALID = encode(event())
HEAD = b'{"app":1,"event_type":"a",'


class Found(NamedTuple):
    """A parsed event, and what was mended."""

    export: Any
    objects: list[str]
    misfits: parse.Misfits
    repairs: set[str]


def careful(payload: bytes) -> Found | Rejection:
    record = parse.record(payload)
    if isinstance(record, Rejection):
        return record
    parsed = parse.careful(record.fields, record.repairs)
    return parsed if isinstance(parsed, Rejection) else Found(*parsed, record.repairs)


def parsed(payload: bytes) -> Found:
    found = parse.quick(payload)
    either = Found(*found, set()) if found else careful(payload)
    assert not isinstance(either, Rejection), either
    return either


def named(repair: str | None, field: str) -> set[str]:
    """A repair as it is spelled: only what is about a field names it."""
    about_text = {None: set(), "nan_to_null": {"nan_to_null"}, "surrogate_replaced": {"surrogate_replaced"}}
    return about_text.get(repair, {f"{repair}:{field}"})


def shown(misfits: parse.Misfits) -> Any:
    """The misfits as JSON says them, numbers by their spelling."""
    return json.loads(msgspec.json.encode(misfits), parse_int=str, parse_float=str)


REFUSED = {
    "no JSON": (VALID[:-1], Reason.INVALID_JSON, None),
    "two apps": (HEAD + b'"app":2}', Reason.DUPLICATE_KEY, "app stands 2 times"),
    "two equal apps": (HEAD + b'"app":1}', Reason.DUPLICATE_KEY, "app stands 2 times"),
    "three apps": (HEAD + b'"app":1,"app":null}', Reason.DUPLICATE_KEY, "app stands 3 times"),
    "an app in disguise": (HEAD + b'"\\u0061pp":2}', Reason.DUPLICATE_KEY, "app stands 2 times"),
    "two uuids": (HEAD + b'"uuid":"a","uuid":"b"}', Reason.DUPLICATE_KEY, "uuid stands 2 times"),
    "two null uuids": (HEAD + b'"uuid":null,"uuid":null}', Reason.DUPLICATE_KEY, "uuid stands 2 times"),
    "two event types": (HEAD + b'"event_type":"a"}', Reason.DUPLICATE_KEY, "event_type stands 2 times"),
    "two user ids": (HEAD + b'"user_id":null,"user_id":"b"}', Reason.DUPLICATE_KEY, "user_id stands 2 times"),
    "two devices without a uuid": (
        HEAD + b'"device_id":"d","device_id":"d"}', Reason.DUPLICATE_KEY, "device_id stands 2 times"
    ),
    "two insert ids, the uuid is empty": (
        HEAD + b'"uuid":"","$insert_id":"i","$insert_id":"j"}', Reason.DUPLICATE_KEY, "$insert_id stands 2 times"
    ),
    "two event ids, the uuid says nothing": (
        HEAD + b'"uuid":"null","event_id":1,"event_id":2}', Reason.DUPLICATE_KEY, "event_id stands 2 times"
    ),
    "two times, the uuid is no id": (
        HEAD + b'"uuid":7.5,"client_event_time":1,"client_event_time":2}',
        Reason.DUPLICATE_KEY,
        "client_event_time stands 2 times",
    ),
    "no app": (encode(event(app=MISSING)), Reason.APP_MISSING, "no app, or null"),
    "app null": (encode(event(app=None)), Reason.APP_MISSING, "no app, or null"),
    "app NaN": (b'{"app":NaN,"event_type":"a"}', Reason.APP_MISSING, "no app, or null"),
    "app true": (encode(event(app=True)), Reason.APP_INVALID, "app is true, not a project id"),
    "app float": (encode(event(app=434735.0)), Reason.APP_INVALID, "app is 434735.0, not a project id"),
    "app negative": (encode(event(app=-1)), Reason.APP_INVALID, "app is -1, not a project id"),
    "app empty": (encode(event(app="")), Reason.APP_INVALID, 'app is "", not a project id'),
    "app object": (encode(event(app={"id": 1})), Reason.APP_INVALID, 'app is {"id":1}, not a project id'),
    "app of 5000 digits": (
        b'{"app":' + b"9" * 5000 + b',"event_type":"a"}',
        Reason.APP_INVALID,
        f"app is {'9' * 80}…, not a project id",
    ),
    "event type empty": (
        encode(event(event_type="")), Reason.EVENT_TYPE_INVALID, 'event_type is "", not a name'
    ),
    "event type of NULs, which are dropped": (
        encode(event(event_type="\0")), Reason.EVENT_TYPE_INVALID, r'event_type is "\u0000", not a name'
    ),
    "event type number": (encode(event(event_type=5)), Reason.EVENT_TYPE_INVALID, "event_type is 5, not a name"),
    "event type list": (
        encode(event(event_type=["a"])), Reason.EVENT_TYPE_INVALID, 'event_type is ["a"], not a name'
    ),
}  # fmt: skip

# field: JSON value as written, as its column holds it
FITTING = {
    "text": ("city", '"Seoul"', "Seoul"),
    "empty text": ("city", '""', ""),
    "escaped text": ("city", r'"\u0061\/\n"', "a/\n"),
    "escaped emoji": ("city", r'"\ud83d\uDE00"', "😀"),
    "a backslash before a u": ("city", r'"\\ud83d"', r"\ud83d"),
    "disguised key": (r"c\u0069ty", '"Seoul"', "Seoul"),
    "largest integer": ("amplitude_id", str(2**63 - 1), 2**63 - 1),
    "smallest integer": ("amplitude_id", str(-(2**63)), -(2**63)),
    "minus one": ("session_id", "-1", -1),
    "float": ("location_lat", "37.5665", 37.5665),
    "integer in a float's place": ("location_lat", "37", 37.0),
    "null": ("city", "null", None),
}

# JSON that does not fit its column, as the misfits show it, and the repair
MISFITS = {
    "integer for text": ("city", "7", "7", "wrong_type"),
    "list for text": ("city", '["a"]', ["a"], "wrong_type"),
    "uuid as float": ("uuid", "7.0", "7.0", "wrong_type"),
    "user id as float": ("user_id", "12345e0", "12345e0", "wrong_type"),
    "user id as boolean": ("user_id", "true", True, "wrong_type"),
    "zero for a user id": ("user_id", "-0", "0", "sentinel_id"),
    "user id as object": ("user_id", '{"a":1}', {"a": "1"}, "wrong_type"),
    "text for an integer": ("event_id", '"135"', "135", "wrong_type"),
    "whole float for an integer": ("event_id", "1.0", "1.0", "wrong_type"),
    "true for an integer": ("event_id", "true", True, "wrong_type"),
    "too large for 64 bits": ("event_id", str(2**63), str(2**63), "integer_beyond_int64"),
    "too small for 64 bits": ("amplitude_id", str(-(2**63) - 1), str(-(2**63) - 1), "integer_beyond_int64"),
    "5000 digits": ("session_id", "9" * 5000, "9" * 5000, "integer_beyond_int64"),
    "text for a float": ("location_lat", '"37.5"', "37.5", "wrong_type"),
    "true for a float": ("location_lat", "true", True, "wrong_type"),
    "float without bounds": ("location_lat", "1e400", "1e400", "float_not_finite"),
    "integer beyond a double": ("location_lng", "9" * 400, "9" * 400, "float_not_finite"),
    "epoch for a time": ("event_time", "1752748588583", "1752748588583", "timestamp_unreadable"),
    "text for a time": ("event_time", '"soon"', "soon", "timestamp_unreadable"),
    "list for an object": ("data", "[1]", ["1"], "container_expected"),
    "text for an object": ("user_properties", '"{}"', "{}", "container_expected"),
    "unknown field": ("price", "0.10", "0.10", None),
    "unknown object": ("derived_properties", '{"a":[1,{"b":null}]}', {"a": ["1", {"b": None}]}, None),
    "NaN inside": ("price", '{"a":[NaN,Infinity]}', {"a": [None, None]}, "nan_to_null"),
    "lone surrogates inside": ("price", r'{"\ud83d":"\udc00"}', {"\ufffd": "\ufffd"}, "surrogate_replaced"),
    "insert_id without its dollar": ("insert_id", '"a"', "a", None),
    "empty key": ("", '"a"', "a", None),
    "key with dots": ("a.b", '"a"', "a", None),
    "key in other letters": ("City", '"a"', "a", None),
}


@each(("payload", "reason", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_event_is_refused_with_its_reason(payload: bytes, reason: Reason, detail: str | None) -> None:
    assert parse.quick(payload) is None
    found = careful(payload)
    assert isinstance(found, Rejection)
    assert found == (reason, found.detail if detail is None else detail)


@each(("name", "text", "value"), FITTING.values(), ids=FITTING)
def test_a_documented_value_is_in_its_column(name: str, text: str, value: object) -> None:
    payload = HEAD + f'"{name}":{text}}}'.encode()
    column = json.loads(f'"{name}"')
    for found in (parsed(payload), careful(payload)):
        assert isinstance(found, Found)
        assert (getattr(found.export, column), found.misfits, found.repairs) == (value, {}, set())


@each(("name", "text", "value", "repair"), MISFITS.values(), ids=MISFITS)
def test_any_other_value_stays_under_its_own_name(name: str, text: str, value: object, repair: str | None) -> None:
    payload = HEAD + f'"{name}":{text}}}'.encode()
    found = careful(payload)
    assert isinstance(found, Found)
    assert (shown(found.misfits), found.repairs) == ({name: value}, named(repair, name))
    quick = parse.quick(payload)
    if quick and name not in {"data", "user_properties"}:  # whether these are objects is seen with the row
        assert (shown(quick[2]), repair) == ({name: value}, None)


@each("record", [EVENT_A, EVENT_B, EVENT_C, event()], ids=["A", "B", "C", "built"])
def test_documented_events_never_need_the_careful_way(record: Record) -> None:
    found = parse.quick(encode(record))
    assert found is not None
    export, objects, misfits = found
    assert (export.uuid, export.app, misfits) == (record["uuid"], record["app"], {})
    names = [name for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict]
    assert [json.loads(spelled) for spelled in objects] == [record.get(name, {}) for name in names]


CAREFUL = {
    "another type": {"city": 7},
    "a cohort's fields": {"cohort_id": "c", "users": []},
    "another name": {"event_name": "Play"},
    "a user update": {"event_type": "$identify"},
    "our own event": {"event_type": "[Notifly] push_delivered"},
    "Braze's event": {"event_type": "[Appboy] Email Opened"},
    "Amplitude's test": {"event_type": "test_event_type"},
    "a uuid that says nothing": {"uuid": "null"},
    "a user id that says nothing": {"user_id": "Anonymous"},
    "a device that says nothing": {"device_id": "00000000-0000-0000-0000-000000000000"},
    "an insert id that says nothing": {"$insert_id": "-1"},
    "a key twice that may name the event": {"uuid": None, "event_properties": {"device_id": "d"}},
    "a time with a zone": {"event_time": "2026-03-15T09:30:28Z"},
    "65 levels": {"event_properties": json.loads("[" * 64 + "]" * 64)},
}


@each("change", CAREFUL.values(), ids=CAREFUL)
def test_the_quick_way_leaves_to_the_careful_one(change: Record) -> None:
    assert parse.quick(encode(event(**change))) is None


@each("field", ["uuid", "user_id", "device_id", "$insert_id"])
@each(
    "word",
    [*ids.NOBODY, "N/A", "UNKNOWN", "Unknown", "uNkNoWn", "LMY47D", "LMY47d"],
)  # fmt: skip
def test_an_id_that_means_nobody_is_none_and_stays_readable(field: str, word: str) -> None:
    found = parsed(encode(event(**{field: word})))
    assert (found.misfits, found.repairs) == ({field: word}, {f"sentinel_id:{field}"})
    assert not getattr(found.export, field.strip("$"))


@each("field", ["uuid", "user_id", "device_id", "$insert_id"])
@each("number", ["7", "-7", str(2**63 - 1), str(2**63), "9" * 5000])
def test_an_integer_is_an_id_by_its_digits(field: str, number: str) -> None:
    payload = HEAD + f'"{field}":{number}}}'.encode()
    assert parse.quick(payload) is None
    found = parsed(payload)
    assert (getattr(found.export, field.strip("$")), found.misfits) == (number, {})
    assert found.repairs == {f"id_from_number:{field}"}


@each("word", ["nobody", "anonymous ", "00", "-10", "null@example.com", "nada", "[]", "true"])
def test_an_id_that_only_looks_like_nobody_is_one(word: str) -> None:
    found = parsed(encode(event(user_id=word)))
    assert (found.export.user_id, found.misfits, found.repairs) == (word, {}, set())


@each("name", [MISSING, None], ids=["missing", "null"])
def test_amplitudes_other_names_are_read(name: object) -> None:
    record = event(event_type=name, event_time=name, event_name="Play", created_at="2026-03-15 09:30:28.583000")
    found = parsed(encode(record))
    assert (found.export.event_type, str(found.export.event_time)) == ("Play", "2026-03-15 09:30:28.583000")
    assert (found.misfits, found.repairs) == ({}, {"field_renamed:event_type", "field_renamed:event_time"})


def test_amplitudes_other_names_stay_fields_beside_the_documented_ones() -> None:
    found = parsed(encode(event(event_name="Stop", created_at="2020-01-01 00:00:00")))
    assert found.export.event_type == "Play Song"
    assert (found.misfits, found.repairs) == ({"event_name": "Stop", "created_at": "2020-01-01 00:00:00"}, set())


def test_the_last_of_two_equal_keys_counts_where_no_rule_looks() -> None:
    payload = HEAD + b'"city":1,"city":"Seoul","dma":"x","dma":null}'
    found = careful(payload)
    assert isinstance(found, Found)
    assert (found.export.city, found.export.dma) == ("Seoul", None)
    assert (found.misfits, found.repairs) == ({}, {"duplicate_field"})


@each("field", ["device_id", "$insert_id"])
def test_with_a_uuid_other_ids_may_stand_twice(field: str) -> None:
    found = parsed(HEAD + f'"uuid":"u","{field}":"a","{field}":"b"}}'.encode())
    assert getattr(found.export, field.strip("$")) == "b"


def test_a_duplicate_inside_an_object_is_no_duplicate_of_the_record() -> None:
    payload = HEAD + b'"data":{"app":2,"app":3,"uuid":"x","uuid":"y"}}'
    for found in (parsed(payload), careful(payload)):
        assert isinstance(found, Found)
        assert (found.export.app, found.export.uuid) == (1, "")


def test_a_record_that_is_refused_leaves_no_trace_in_the_next() -> None:
    assert parse.quick(b'{"app":1,"event_type":"a","uuid":"u"') is None
    found = parse.quick(b'{"app":1,"event_type":"a","uuid":"u"}')
    assert found is not None
    assert found[0].uuid == "u"


def test_white_space_around_a_record_does_not_matter() -> None:
    assert parse.quick(b" \r\n" + VALID + b"\n") == parse.quick(VALID)


def test_40_levels_are_an_event() -> None:
    found = parse.quick(HEAD + b'"data":' + b'{"x":' * 40 + b"1" + b"}" * 41)
    assert found is not None
    assert bytes(found[0].data) == b'{"x":' * 40 + b"1" + b"}" * 40


@each(
    ("name", "value"),
    [
        ("paying", True),
        ("paying", "true"),
        ("sample_rate", 0.5),
        ("$schema", 12),
        ("followed_an_identify", False),
        ("amplitude_attribution_ids", "a"),
    ],
)
def test_a_documented_field_without_a_column_is_split_off(name: str, value: object) -> None:
    found = parse.quick(encode(event(**{name: value})))
    assert found is not None
    assert found[2] == {}
    assert parse.split(found[0])[1] == {name: value}


def test_split_gives_the_columns_in_their_order() -> None:
    values, others = parse.split(parsed(encode(EVENT_C)).export)
    row = dict(zip(DOCUMENTED_COLUMNS, values, strict=True))
    assert others == {}
    assert (row["uuid"], row["insert_id"], row["library"]) == (
        EVENT_C["uuid"],
        EVENT_C["$insert_id"],
        "google_ads",
    )
    assert (row["event_id"], row["session_id"], row["data_type"]) == (355175889, -1, "event")


def test_content_gives_every_field_whatever_its_type() -> None:
    payload = HEAD + b'"city":7,"x":{"y":[NaN,"\\ud83d"]},"city":8}'
    assert parse.content(payload) == {
        "app": 1, "event_type": "a", "city": 8, "x": {"y": [None, "\ufffd"]},
    }  # fmt: skip
    assert parse.content(b"[]") == {}
