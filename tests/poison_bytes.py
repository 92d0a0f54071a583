"""The rows of docs/amplitude.md §8.3 about bytes and spelling: what may come, and the whole outcome of it."""

import gzip
from hashlib import sha256

from tests.poison import (
    VALID,
    Outcome,
    aggregate,
    behind,
    dead,
    extra,
    levels,
    named,
    properties,
    refused,
    spelled,
    taken,
    zipped,
)
from udfs.model import Reason

MIB = 2**20
UNTERMINATED = "Unterminated string starting at: line {} column {} (char {})"
NO_NAME = "Expecting property name enclosed in double quotes"
TOO_DEEP = "nested deeper than 64 levels"
NINES = "9" * 5000
BOTH = taken() * 2
TWICE = VALID + b"\n" + VALID
BOMB = gzip.compress(VALID + b"\n{" + bytes(2 * MIB))
ROOM = MIB - len(VALID) - 1

Rows = dict[str, dict[str, tuple[bytes, list[Outcome]]]]

BYTES: Rows = {
    "huge ints": {
        "amplitude_id of 64 bits": (spelled(amplitude_id=str(2**63 - 1)), taken(amplitude_id=2**63 - 1)),
        "amplitude_id beyond": (
            spelled(amplitude_id=str(2**63)),
            extra("integer_beyond_int64", amplitude_id=2**63),
        ),
        "session_id below": (
            spelled(session_id=str(-(2**64))),
            extra("integer_beyond_int64", session_id=-(2**64)),
        ),
        "more digits than Python takes": (
            spelled(event_id=NINES),
            taken(event_id=None, extra=f'{{"event_id":{NINES}}}', repairs="integer_beyond_int64:event_id"),
        ),
        "in a property, beyond a double": properties(f'{{"n":{2**53 + 1}}}'),
        "in a property, any size": properties(f'{{"n":[{NINES},-{NINES}]}}'),
        "in an unknown field": (behind(f'"n":{NINES}'), taken(extra=f'{{"n":{NINES}}}')),
        "app": refused(Reason.APP_INVALID, f"app is {'9' * 80}…, not a project id", spelled(app=NINES)),
    },
    "float oddities": {
        "0.0": (spelled(location_lat="0.0"), taken(location_lat=0.0)),
        "0.0 in a property": properties('{"cost":0.0,"b":-0.0,"c":1.50,"d":1E2}'),
        "1e400": (
            spelled(location_lat="1e400"),
            taken(extra='{"location_lat":1e400}', repairs="float_not_finite:location_lat"),
        ),
        "1e400 in a property": properties('{"cost":1e400}'),
        "1e-400": (spelled(location_lng="1e-400"), taken(location_lng=0.0)),
        "a float for an integer": (spelled(event_id="135.0"), extra("wrong_type", event_id=135.0)),
    },
    "`NaN`/`Infinity` literals": {
        "in a property": properties('{"a":NaN,"b":[Infinity]}', '{"a":null,"b":[null]}', "nan_to_null"),
        "in a column": (spelled(location_lat="-Infinity"), taken(repairs="nan_to_null")),
        "in an unknown field": (behind('"x":{"y":NaN}'), taken(extra='{"x":{"y":null}}', repairs="nan_to_null")),
        "as app": refused(Reason.APP_MISSING, "no app, or null", spelled(app="NaN")),
    },
    "lone surrogates (`\\ud83d`)": {
        "in a value": properties(r'{"a":"b\ud83d"}', '{"a":"b\ufffd"}', "surrogate_replaced"),
        "in a key": properties(r'{"\udc00":1}', '{"\ufffd":1}', "surrogate_replaced"),
        "in a column": (spelled(city=r'"\ud83d"'), taken(city="\ufffd", repairs="surrogate_replaced")),
        "in the name": (spelled(event_type=r'"a\ud83d"'), named("a\ufffd", repairs="surrogate_replaced")),
        "in an unknown field": (
            behind(r'"\ud83d":["\ud83d"]'), taken(extra='{"\ufffd":["\ufffd"]}', repairs="surrogate_replaced")
        ),
        "two that are one": (spelled(city=r'"\ud83d\ude00"'), taken(city="😀")),
    },
    "NUL / control characters": {
        "NUL in a value": properties(r'{"a":"b\u0000c"}', '{"a":"bc"}', "nul_removed"),
        "NUL in a key": properties(r'{"a\u0000":1}', '{"a":1}', "nul_removed"),
        "NUL in a column": (spelled(city=r'"\u0000a\u0000"'), taken(city="a", repairs="nul_removed")),
        "NUL in an unknown field": (behind(r'"x\u0000":"\u0000"'), taken(extra='{"x":""}', repairs="nul_removed")),
        "other controls": (spelled(city=r'"\u0001\n\u007f"'), taken(city="\x01\n\x7f")),
        "as a byte": refused(
            Reason.INVALID_JSON,
            "Invalid control character at: line 1 column 18 (char 17)",
            b'{"app":1,"city":"\0"}',
        ),
    },
    "invalid UTF-8": {
        "a byte": refused(Reason.INVALID_UTF8, "invalid start byte at byte 17", b'{"app":1,"city":"\xff"}'),
        "in a property": refused(
            Reason.INVALID_UTF8,
            f"invalid start byte at byte {spelled(event_properties='{}').index(b'event_properties') + 20}",
            spelled(event_properties='{"?":1}').replace(b'"?"', b'"\xff"'),
        ),
        "cut in a letter": refused(
            Reason.INVALID_UTF8, "unexpected end of data at byte 9", '{"city":"밤'.encode()[:-1]
        ),
    },
    "duplicate keys": {
        "app": refused(Reason.DUPLICATE_KEY, "app stands 2 times", behind('"app":434735')),
        "app in disguise": refused(Reason.DUPLICATE_KEY, "app stands 2 times", behind(r'"\u0061pp":1')),
        "uuid": refused(Reason.DUPLICATE_KEY, "uuid stands 2 times", behind('"uuid":null')),
        "event_type": refused(Reason.DUPLICATE_KEY, "event_type stands 2 times", behind('"event_type":"a"')),
        "user_id": refused(Reason.DUPLICATE_KEY, "user_id stands 2 times", behind('"user_id":"u"')),
        "device_id without a uuid": refused(
            Reason.DUPLICATE_KEY, "device_id stands 2 times", spelled(uuid="null")[:-1] + b',"device_id":"d"}'
        ),
        "elsewhere": (
            behind('"city":"a","city":"b","price":1,"price":2,"event_id":NaN,"event_id":7'),
            taken(city="b", event_id=7, extra='{"price":2}', repairs="duplicate_field nan_to_null"),
        ),
        "elsewhere, the quick way": (behind('"city":"a","city":"b"'), taken(city="b")),
    },
    "case-colliding keys": {
        "in properties": properties('{"country":"a","Country":"b","COUNTRY":null}'),
        "beside a column": (behind('"City":"a","CITY":"b"'), taken(extra='{"City":"a","CITY":"b"}')),
    },
    "odd keys": {
        "in properties": properties('{"a.b":1," ":2,"is it?":3,"[Amplitude] x":4,"$set":5,"":6,"a\\"b":7}'),
        "of unknown fields": (
            behind('"a.b":1," ":2,"[Amplitude] x":3,"$y":4,"":5,"extra":6,"kind":7'),
            taken(extra='{"a.b":1," ":2,"[Amplitude] x":3,"$y":4,"":5,"extra":6,"kind":7}'),
        ),
    },
    "deep nesting": {
        "as deep as Amplitude takes": properties(levels(41)),
        "64 levels": properties(levels(64)),
        "65 levels": refused(Reason.TOO_DEEP, TOO_DEEP, spelled(event_properties=levels(65))),
        "5000 levels": refused(Reason.TOO_DEEP, TOO_DEEP, spelled(event_properties=levels(5000))),
        "without an end": refused(Reason.TOO_DEEP, TOO_DEEP, b'{"a":[' * 50_000),
    },
    "1 MiB / 10 MiB record": {
        "an event of 1 MiB": properties('{"text":"' + "x" * MIB + '"}'),
        "broken, of 1 MiB": refused(
            Reason.INVALID_JSON, "Extra data: line 1 column 2 (char 1)", b"1" + b"x" * (MIB - 1)
        ),
        "broken, of one byte more": (
            b"1" + b"x" * MIB,
            [
                dead(Reason.INVALID_JSON, "Extra data: line 1 column 2 (char 1)", bytes(MIB + 1))[0]
                | {"payload": b"1" + b"x" * (MIB - 1)}
                | {"payload_sha256": sha256(b"1" + b"x" * MIB).hexdigest()}
            ],
        ),
    },
    "zero-length / whitespace": {
        "nothing": refused(Reason.EMPTY, "0 bytes", b""),
        "blanks": refused(Reason.EMPTY, "4 bytes", b" \t\r\n"),
    },
    "UTF-8 BOM": {
        "before an event": (b"\xef\xbb\xbf" + VALID, taken(repairs="bom_removed")),
        "alone": refused(Reason.EMPTY, "3 bytes", b"\xef\xbb\xbf"),
        "of UTF-16": refused(Reason.INVALID_UTF8, "UTF-16, not UTF-8", VALID.decode().encode("utf-16")),
    },
    "gzip (`1F 8B`) / zip (`PK`)": {
        "gzip": (gzip.compress(TWICE), BOTH),
        "zip of gzips": (zipped(gzip.compress(VALID), gzip.compress(VALID)), BOTH),
        "gzip that is cut": (
            gzip.compress(TWICE)[:-1],
            BOTH + dead(Reason.GZIP_INVALID, f"the gzip breaks off at byte {len(gzip.compress(TWICE)) - 1}",
                        gzip.compress(TWICE)[:-1]),
        ),
        "gzip by its magic alone": refused(Reason.GZIP_INVALID, "the gzip breaks off at byte 2", b"\x1f\x8b"),
        "zip by its magic alone": refused(
            Reason.ZIP_INVALID, "the zip breaks off, or is damaged, at byte 0 of 4", b"PK\x03\x04"
        ),
        "bomb": (
            BOMB,
            taken() + dead(Reason.INVALID_JSON, f"{NO_NAME}: line 1 column 2 (char 1)", b"{")
            + dead(Reason.ENVELOPE_TOO_LARGE, "the gzip holds more than 1,048,576 bytes", BOMB),
        ),
    },
    "NDJSON / concatenated objects / top-level array": {
        "lines": (TWICE, BOTH),
        "objects": (VALID + VALID, BOTH),
        "array": (b"[" + VALID + b"," + VALID + b"]", BOTH),
        "a cut line": (
            TWICE + b'\n{"app', BOTH + dead(Reason.INVALID_JSON, UNTERMINATED.format(1, 2, 1), b'{"app')
        ),
        "a cut object": (
            VALID + b'{"app',
            taken() + dead(Reason.INVALID_JSON, UNTERMINATED.format(1, 2, 1), b'{"app'),
        ),
        "a cut array": (
            b"[" + VALID,
            taken() + dead(
                Reason.INVALID_JSON, f"an array breaks off, at byte {len(VALID) + 1:,}", b"[" + VALID
            ),
        ),
        "array of nothing": refused(Reason.EMPTY, "array that holds nothing", b"[]"),
    },
    "KPL-aggregated": {
        "aggregate": (aggregate(VALID, VALID), BOTH),
        "a bad record": (
            aggregate(VALID, b"null", VALID),
            taken() + dead(Reason.NOT_AN_OBJECT, "starts with 'null'", b"null") + taken(),
        ),
        "checksum wrong": refused(
            Reason.KPL_INVALID, "the checksum of the aggregate is wrong", aggregate(VALID)[:-1] + b"\0"
        ),
    },
}  # fmt: skip
