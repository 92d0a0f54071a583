"""Bytes of one record into an event, or the reason why they are none."""

import json
from typing import Any

import msgspec
import pytest

from tests.builders import EVENT_A, EVENT_B, EVENT_C, MISSING, Record, encode, event
from udfs import parse
from udfs.model import EXPORT_COLUMNS, Reason, Rejection

VALID = encode(event())
HEAD = b'{"app":1,"event_type":"a",'


def parsed(payload: bytes) -> tuple[Any, parse.Misfits]:
    found = parse.parse(payload)
    assert not isinstance(found, Rejection), found
    return found


def misfits_of(payload: bytes) -> object:
    """The misfits as JSON says them, numbers by their spelling."""
    _, misfits = parsed(payload)
    text = msgspec.json.encode(misfits).decode()
    return json.loads(text, parse_int=str, parse_float=str)


REJECTED = {
    "zero bytes": (b"", Reason.EMPTY),
    "white space": (b" \t\r\n", Reason.EMPTY),
    "invalid byte": (HEAD + b'"city":"\xff"}', Reason.INVALID_UTF8),
    "invalid byte inside an object": (HEAD + b'"data":{"x":"\xff"}}', Reason.INVALID_UTF8),
    "surrogate in bytes": (HEAD + b'"city":"\xed\xa0\xbd"}', Reason.INVALID_UTF8),
    "UTF-16": (VALID.decode().encode("utf-16"), Reason.INVALID_UTF8),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", Reason.INVALID_UTF8),
    "cut off": (VALID[:-1], Reason.INVALID_JSON),
    "two objects": (VALID + VALID, Reason.INVALID_JSON),
    "two lines": (VALID + b"\n" + VALID, Reason.INVALID_JSON),
    "raw newline in text": (HEAD + b'"city":"a\nb"}', Reason.INVALID_JSON),
    "raw newline inside an object": (HEAD + b'"data":{"x":"a\nb"}}', Reason.INVALID_JSON),
    "unknown escape": (HEAD + rb'"data":{"x":"\q"}}', Reason.INVALID_JSON),
    "half an escape": (HEAD + rb'"city":"\u00e"}', Reason.INVALID_JSON),
    "half an escape of an emoji": (HEAD + rb'"city":"\ud83"}', Reason.INVALID_JSON),
    "an emoji's escape that is none": (HEAD + rb'"city":"\ud8zz"}', Reason.INVALID_JSON),
    "leading zero": (HEAD + b'"data":{"x":01}}', Reason.INVALID_JSON),
    "trailing comma": (HEAD + b'"data":{"x":1,}}', Reason.INVALID_JSON),
    "single quotes": (b"{'app':1}", Reason.INVALID_JSON),
    "a word": (b"PK", Reason.INVALID_JSON),
    "null": (b"null", Reason.NOT_AN_OBJECT),
    "number": (b"1", Reason.NOT_AN_OBJECT),
    "NaN": (b"NaN", Reason.NOT_AN_OBJECT),
    "text": (b'"{}"', Reason.NOT_AN_OBJECT),
    "list of events": (b"[" + VALID + b"]", Reason.NOT_AN_OBJECT),
    "deep list": (HEAD + b'"x":' + b"[" * 5000 + b"]" * 5000 + b"}", Reason.TOO_DEEP),
    "deep object": (HEAD + b'"data":' + b'{"x":' * 5000 + b"1" + b"}" * 5001, Reason.TOO_DEEP),
    "deep and cut off": (b"[" * 100_000, Reason.TOO_DEEP),
    "two apps": (b'{"app":1,"app":2,"event_type":"a"}', Reason.DUPLICATE_KEY),
    "two equal apps": (b'{"app":1,"app":1,"event_type":"a"}', Reason.DUPLICATE_KEY),
    "an app and a null": (b'{"app":1,"event_type":"a","app":null}', Reason.DUPLICATE_KEY),
    "an app in disguise": (b'{"\\u0061pp":2,"app":1,"event_type":"a"}', Reason.DUPLICATE_KEY),
    "two uuids": (HEAD + b'"uuid":"a","uuid":"b"}', Reason.DUPLICATE_KEY),
    "two null uuids": (HEAD + b'"uuid":null,"uuid":null}', Reason.DUPLICATE_KEY),
    "two event types": (HEAD + b'"event_type":"a"}', Reason.DUPLICATE_KEY),
    "two user ids": (HEAD + b'"user_id":null,"user_id":"b"}', Reason.DUPLICATE_KEY),
    "empty object": (b"{}", Reason.APP_MISSING),
    "no app": (encode(event(app=MISSING)), Reason.APP_MISSING),
    "app null": (encode(event(app=None)), Reason.APP_MISSING),
    "app NaN": (b'{"app":NaN,"event_type":"a"}', Reason.APP_MISSING),
    "app true": (encode(event(app=True)), Reason.APP_INVALID),
    "app float": (encode(event(app=434735.0)), Reason.APP_INVALID),
    "app negative": (encode(event(app=-1)), Reason.APP_INVALID),
    "app too large": (encode(event(app=2**63)), Reason.APP_INVALID),
    "app of 5000 digits": (b'{"app":' + b"9" * 5000 + b"}", Reason.APP_INVALID),
    "app empty": (encode(event(app="")), Reason.APP_INVALID),
    "app object": (encode(event(app={"id": 1})), Reason.APP_INVALID),
    "no event type": (encode(event(event_type=MISSING)), Reason.EVENT_TYPE_MISSING),
    "event type null": (encode(event(event_type=None)), Reason.EVENT_TYPE_MISSING),
    "event type empty": (encode(event(event_type="")), Reason.EVENT_TYPE_INVALID),
    "event type number": (encode(event(event_type=5)), Reason.EVENT_TYPE_INVALID),
    "event type list": (encode(event(event_type=["a"])), Reason.EVENT_TYPE_INVALID),
}

# field: JSON value as written, as its column holds it
FITTING = {
    "text": ("city", '"Seoul"', "Seoul"),
    "empty text": ("city", '""', ""),
    "escaped text": ("city", r'"\u0061\/\n\u0000"', "a/\n\0"),
    "escaped emoji": ("city", r'"\ud83d\uDE00"', "😀"),
    "lone high surrogate": ("city", r'"a\ud83d"', "a\ufffd"),
    "lone low surrogate": ("city", r'"\uDE00b"', "\ufffdb"),
    "surrogates the wrong way round": ("city", r'"\ude00\ud83d"', "\ufffd\ufffd"),
    "a backslash before a u": ("city", r'"\\ud83d"', r"\ud83d"),
    "disguised key": (r"c\u0069ty", '"Seoul"', "Seoul"),
    "largest integer": ("amplitude_id", str(2**63 - 1), 2**63 - 1),
    "smallest integer": ("amplitude_id", str(-(2**63)), -(2**63)),
    "minus one": ("session_id", "-1", -1),
    "float": ("location_lat", "37.5665", 37.5665),
    "integer in a float's place": ("location_lat", "37", 37.0),
    "null": ("city", "null", None),
    "NaN": ("location_lat", "NaN", None),
    "minus infinity": ("location_lat", "-Infinity", None),
}

# JSON that does not fit its column, as the misfits show it
MISFITS = {
    "integer for text": ("city", "7", "7"),
    "list for text": ("city", '["a"]', ["a"]),
    "uuid as number": ("uuid", "7", "7"),
    "user id as number": ("user_id", "12345", "12345"),
    "user id as object": ("user_id", '{"a":1}', {"a": "1"}),
    "text for an integer": ("event_id", '"135"', "135"),
    "whole float for an integer": ("event_id", "1.0", "1.0"),
    "true for an integer": ("event_id", "true", True),
    "too large for 64 bits": ("event_id", str(2**63), str(2**63)),
    "5000 digits": ("event_id", "9" * 5000, "9" * 5000),
    "text for a float": ("location_lat", '"37.5"', "37.5"),
    "true for a float": ("location_lat", "true", True),
    "float without bounds": ("location_lat", "1e400", "1e400"),
    "epoch for a time": ("event_time", "1752748588583", "1752748588583"),
    "text for a time": ("event_time", '"soon"', "soon"),
    "unknown field": ("price", "0.10", "0.10"),
    "unknown object": ("derived_properties", '{"a":[1,{"b":null}]}', {"a": ["1", {"b": None}]}),
    "NaN inside": ("price", '{"a":[NaN,Infinity]}', {"a": [None, None]}),
    "lone surrogates inside": ("price", r'{"\ud83d":"\udc00"}', {"\ufffd": "\ufffd"}),
    "insert_id without its dollar": ("insert_id", '"a"', "a"),
    "empty key": ("", '"a"', "a"),
    "key with dots": ("a.b", '"a"', "a"),
    "key in other letters": ("City", '"a"', "a"),
}


@pytest.mark.parametrize(("payload", "reason"), REJECTED.values(), ids=REJECTED)
def test_what_is_no_event_is_rejected_with_its_reason(payload: bytes, reason: Reason) -> None:
    found = parse.parse(payload)
    assert isinstance(found, Rejection)
    assert found.reason is reason
    assert found.detail.isprintable()
    assert 0 < len(found.detail) < 200


@pytest.mark.parametrize(("name", "text", "value"), FITTING.values(), ids=FITTING)
def test_a_documented_value_is_in_its_column(name: str, text: str, value: object) -> None:
    export, misfits = parsed(HEAD + f'"{name}":{text}}}'.encode())
    column = json.loads(f'"{name}"')
    assert (getattr(export, column), misfits) == (value, {})


@pytest.mark.parametrize(("name", "text", "value"), MISFITS.values(), ids=MISFITS)
def test_any_other_value_stays_under_its_own_name(name: str, text: str, value: object) -> None:
    assert misfits_of(HEAD + f'"{name}":{text}}}'.encode()) == {name: value}


@pytest.mark.parametrize("record", [EVENT_A, EVENT_B, EVENT_C, event()], ids=["A", "B", "C", "built"])
def test_documented_events_never_need_the_careful_way(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def careful(_payload: bytes) -> None:
        pytest.fail("took the careful way")

    monkeypatch.setattr(parse, "_careful", careful)
    export, misfits = parsed(encode(record))
    assert (export.uuid, export.app, misfits) == (record["uuid"], record["app"], {})


def test_the_last_of_two_equal_keys_counts_where_no_rule_looks() -> None:
    export, misfits = parsed(HEAD + b'"city":1,"city":"Seoul","dma":"x","dma":null}')
    assert (export.city, export.dma, misfits) == ("Seoul", None, {})


def test_a_duplicate_inside_an_object_is_no_duplicate_of_the_record() -> None:
    export, _ = parsed(HEAD + b'"data":{"app":2,"app":3,"uuid":"x","uuid":"y"}}')
    assert (export.app, export.uuid) == (1, "")


def test_a_record_that_is_refused_leaves_no_trace_in_the_next() -> None:
    assert isinstance(parse.parse(b'{"app":1,"event_type":"a","uuid":"u"'), Rejection)
    assert parsed(b'{"app":1,"event_type":"a","uuid":"u"}')[0].uuid == "u"


def test_white_space_around_a_record_does_not_matter() -> None:
    assert parsed(b" \r\n" + VALID + b"\n") == parsed(VALID)


def test_40_levels_are_an_event() -> None:
    export, _ = parsed(HEAD + b'"data":' + b'{"x":' * 40 + b"1" + b"}" * 41)
    assert bytes(export.data) == b'{"x":' * 40 + b"1" + b"}" * 40


@pytest.mark.parametrize(
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
    export, misfits = parsed(encode(event(**{name: value})))
    assert misfits == {}
    assert parse.split(export)[1] == {name: value}


def test_split_gives_the_columns_in_their_order() -> None:
    values, others = parse.split(parsed(encode(EVENT_C))[0])
    row = dict(zip(EXPORT_COLUMNS, values, strict=True))
    assert others == {}
    assert (row["uuid"], row["insert_id"], row["library"]) == (
        EVENT_C["uuid"],
        EVENT_C["$insert_id"],
        "google_ads",
    )
    assert (row["event_id"], row["session_id"], row["data_type"]) == (355175889, -1, "event")


def test_record_gives_every_field_whatever_its_type() -> None:
    payload = HEAD + b'"city":7,"x":{"y":[NaN,"\\ud83d"]},"city":8}'
    assert parse.record(payload) == {
        "app": 1, "event_type": "a", "city": 8, "x": {"y": [None, "\ufffd"]},
    }  # fmt: skip
