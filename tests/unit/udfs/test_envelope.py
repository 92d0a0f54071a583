"""Records that hold several: each form, good heads before bad tails, and the limits."""

import gzip
import json
from hashlib import md5

import pytest

from tests.builders import encode, event
from tests.cases import each
from tests.leaves import opened
from udfs import envelope, values
from udfs.envelope import Form, Limits, Part
from udfs.model import Reason, Rejection

A, B, C = b'{"a":1}', b'{"b":"\xeb\xb0\xa4"}', b'{"c":[{}]}'
BOM = b"\xef\xbb\xbf"
MAGIC = b"\xf3\x89\x9a\xc2"


def gzipped(*texts: bytes) -> bytes:
    """A gzip of as many members."""
    return b"".join(gzip.compress(text, mtime=0) for text in texts)


WHOLE: dict[str, tuple[Form, bytes, list[bytes]]] = {
    "lines": (Form.LINES, A + b"\n" + B + b"\n" + C + b"\n", [A, B, C]),
    "lines, no newline at the end": (Form.LINES, A + b"\n" + B, [A, B]),
    "lines of Windows": (Form.LINES, BOM + A + b"\r\n" + B + b"\r\n", [A, B]),
    "lines with empty ones": (Form.LINES, b"\n\n" + A + b"\n \t\n\r\n" + B + b"\n\n", [A, B]),
    "lines set in": (Form.LINES, b"  " + A + b" \n\t" + B + b" ", [A, B]),
    "lines, the first is cut": (Form.LINES, b'rest":1}\n' + A + b"\n" + B, [b'rest":1}', A, B]),
    "lines, the last is cut": (Form.LINES, A + b"\n" + B[:-2], [A, B[:-2]]),
    "lines, one is no UTF-8": (Form.LINES, A + b'\n{"\xff":1}\n' + B, [A, b'{"\xff":1}', B]),
    "lines with a comma each": (Form.LINES, A + b",\n" + B + b",\n", [A, B]),
    "lines with a comma before each": (Form.LINES, A + b"\n, " + B + b"\n," + C, [A, B, C]),
    "lines of two": (Form.LINES, A + B + b"\n" + B + b" " + C, [A, B, B, C]),
    "lines of arrays": (Form.ARRAY, b"[" + A + b"," + B + b"]\n[]\n[[" + C + b"],]\n", [A, B, C]),
    "lines with a mark each": (Form.LINES, BOM + A + b"\n" + BOM + B + b"\n" + BOM, [A, B]),
    "lines of an old Mac": (Form.LINES, A + b"\r" + B + b"\r", [A, B]),
    "lines of JavaScript": (Form.SEQUENCE, A + "\u2028".encode() + B + "\u2029".encode(), [A, B]),
    "lines, one is broken": (Form.LINES, A + b"\nbroken\n" + B, [A, b"broken", B]),
    "lines, one breaks off": (Form.LINES, A + b'\n{"b":[{}\n' + B, [A, b'{"b":[{}', B]),
    "lines, one ends twice": (Form.LINES, A + b"}\n" + B, [A, b"}", B]),
    "lines of zlib's magic": (Form.LINES, A + b"\nx\x9cy\n" + B, [A, b"x\x9cy", B]),
    "lines, one of 5000 digits": (Form.LINES, b'{"a":%b}\n' % (b"9" * 5000) + A, [b'{"a":%b}' % (b"9" * 5000), A]),
    "objects without a gap": (Form.SEQUENCE, A + B + C, [A, B, C]),
    "objects and blanks": (Form.SEQUENCE, b" " + A + b" \t" + B + b" " + C + b" ", [A, B, C]),
    "objects behind a mark": (Form.SEQUENCE, BOM + A + B, [A, B]),
    "objects over several lines": (Form.LINES, b'{\n"a":1\n}\n{\n"b":2\n}', [b'{\n"a":1\n}', b'{\n"b":2\n}']),
    "an object and other values": (Form.SEQUENCE, A + b'null 1 "x" [2]' + B, [A, b'null 1 "x" [2]' + B]),
    "objects, 5000 digits": (Form.SEQUENCE, b'{"a":%b}' % (b"9" * 5000) + B, [b'{"a":%b}' % (b"9" * 5000), B]),
    "array": (Form.ARRAY, b"[" + A + b"," + B + b"]", [A, B]),
    "array with blanks": (Form.ARRAY, BOM + b" [ " + A + b" ,\n" + B + b"\t]\n", [A, B]),
    "array over several lines": (Form.ARRAY, b"[\n" + A + b",\n" + B + b"\n]", [A, B]),
    "array of other values": (Form.ARRAY, b'[null,1e400,NaN,"]"]', [b"null", b"1e400", b"NaN", b'"]"']),
    "array of arrays": (Form.ARRAY, b"[[" + A + b"],[[]]]", [A]),
    "arrays in a row": (Form.ARRAY, b"[" + A + b"][" + B + b"]", [A, B]),
    "array with commas to spare": (Form.ARRAY, b"[," + A + b",," + B + b",]", [A, B]),
    "array without commas": (Form.ARRAY, b"[1 2" + A + B + b"]", [b"1", b"2", A, B]),
    "array, one is no UTF-8": (Form.ARRAY, b"[" + A + b',{"b":"\xff"},' + C + b"]", [A, b'{"b":"\xff"}', C]),
    "array over lines, one is broken": (Form.ARRAY, b"[\n " + A + b",\n {,\n " + B + b"\n]", [A, b"{", B]),
    "one and a comma": (Form.SEQUENCE, A + b",", [A]),
    "objects and commas": (Form.SEQUENCE, A + b"," + B + b" , " + C, [A, B, C]),
    "objects and padding": (Form.SEQUENCE, A + bytes(3) + B + bytes(9), [A, B]),
    "objects and record separators": (Form.LINES, b"\x1e" + A + b"\n\x1e" + B + b"\n", [A, B]),
    "objects, one is no UTF-8": (Form.SEQUENCE, A + b'{"b":"\xff"}' + C, [A, b'{"b":"\xff"}', C]),
    "objects, the last is cut": (Form.SEQUENCE, A + C[:-1], [A, C[:-1]]),
    "objects, one holds lines": (Form.SEQUENCE, b'{"a":[\n{},\n{}\n]}' + B, [b'{"a":[\n{},\n{}\n]}', B]),
    "array and an object": (Form.ARRAY, b"[" + A + b"]\n" + B, [A, B]),
    "gzip of one": (Form.GZIP, gzipped(A), [A]),
    "gzip of lines": (Form.GZIP, gzipped(A + b"\n" + B + b"\n"), [A, B]),
    "gzip of an array": (Form.GZIP, gzipped(b"[" + A + b"," + B + b"]"), [A, B]),
    "gzip of members": (Form.GZIP, gzipped(A + b"\n", B + b"\n"), [A, B]),
    "gzip that parts a record": (Form.GZIP, gzipped(A[:3], A[3:] + b"\n" + B[:1], B[1:]), [A, B]),
    "gzip with padding": (Form.GZIP, gzipped(A) + bytes(500), [A]),
    "gzip of members and padding": (Form.GZIP, gzipped(BOM + A) + b"\r\n" + gzipped(BOM + B) + bytes(9), [A, B]),
    "gzip behind a line break": (Form.GZIP, b"\n" + gzipped(A), [A]),
    "gzip and a line": (Form.GZIP, gzipped(A) + b"\n" + B + b"\n", [A, B]),
    "a line, gzip and a line": (Form.LINES, A + b"\n" + gzipped(B) + b"\n" + C, [A, B, C]),
    "gzips behind a mark": (Form.GZIP, BOM + gzipped(A) + gzipped(B), [A, B]),
    "gzip of gzip": (Form.GZIP, gzipped(gzipped(A + B)), [A, B]),
    "gzip without compression": (Form.GZIP, gzip.compress(A + B, 0), [A, B]),
    "gzip with a name": (Form.GZIP, b"\x1f\x8b\x08\x08" + bytes(6) + b"a.json\0" + gzipped(A)[10:], [A]),
}


@each(("form", "payload", "heads"), WHOLE.values(), ids=WHOLE)
def test_an_envelope_opens_into_its_records(form: Form, payload: bytes, heads: list[bytes]) -> None:
    assert envelope.form(payload) is form
    assert opened(payload) == (heads, [])


SINGLE = {
    "an object": encode(event()),
    "an object over several lines": json.dumps(event(), indent=1).encode(),
    "an object whose lines begin with brackets": b'{"a":[\n{},\n{}\n]}',
    "cut off": b'{"a":{}',
    "a word": b"PK",
    "a number": b"1 2",
    "a text": b'"a"{}',
    "nothing": b"",
    "blanks": b" \n\n ",
    "NULs": bytes(9),
    "the head of a magic": b"\x1f",
    "no UTF-8": b"\xff{}{}",
    "a compression that is not read": b"BZh91AY&SY\n{}\n{}",
    "two lines, one no object": b"1\n2",
    "a cut line and a text": b'{"a"\n"b"',
}


@each("payload", SINGLE.values(), ids=SINGLE)
def test_what_is_one_record_or_none_is_no_envelope(payload: bytes) -> None:
    assert envelope.form(payload) is None


def invalid_json(detail: str) -> Rejection:
    return Rejection(Reason.INVALID_JSON, detail)


BROKEN: dict[str, tuple[bytes, list[bytes], Rejection]] = {
    "array of nothing": (b" [ ] ", [], Rejection(Reason.EMPTY, "array that holds nothing")),
    "array without an end": (b"[" + A + b"," + C, [A, C], invalid_json("an array breaks off, at byte 19")),
    "array cut behind a comma": (b"[" + A + b",", [A], invalid_json("an array breaks off, at byte 9")),
    "array closed twice": (b"[1]]", [b"1"], invalid_json("a bracket closes no array, at byte 4")),
    "array, then a depth bomb": (
        b"[" + A + b"," + b"[" * 10_000, [A], Rejection(Reason.TOO_DEEP, "nested deeper than 64 levels")
    ),
    "gzip of nothing": (gzipped(b""), [], Rejection(Reason.EMPTY, "gzip that holds nothing")),
    "gzip of blanks": (gzipped(b" ", b"\n"), [], Rejection(Reason.EMPTY, "gzip that holds nothing")),
    "gzip and more behind": (
        gzipped(A) + b"more",
        [A],
        Rejection(Reason.GZIP_INVALID, "the gzip has 4 bytes behind its end, at byte 27"),
    ),
    "gzip and a cut member behind": (
        gzipped(A + b"\n") + gzipped(B)[:12],
        [A, b"{"],
        Rejection(Reason.GZIP_INVALID, "the gzip breaks off at byte 40"),
    ),
    "gzip of an unknown method": (
        b"\x1f\x8b\x07" + bytes(20),
        [],
        Rejection(
            Reason.GZIP_INVALID,
            "the gzip is damaged at byte 3: Error -3 while decompressing data: unknown compression method",
        ),
    ),
    "gzip with a wrong checksum": (
        gzipped(A + B)[:-8] + bytes(8),
        [A, B],
        Rejection(
            Reason.GZIP_INVALID,
            "the gzip is damaged at byte 33: Error -3 while decompressing data: incorrect data check",
        ),
    ),
    "gzip of a broken array": (
        gzipped(b"[" + A), [A], invalid_json("an array breaks off, at byte 8")
    ),
    "gzip of gzip that is cut": (
        gzipped(gzipped(A)[:-1]), [A], Rejection(Reason.GZIP_INVALID, "the gzip breaks off at byte 26")
    ),
}  # fmt: skip


@each(("payload", "heads", "fault"), BROKEN.values(), ids=BROKEN)
def test_a_bad_tail_leaves_the_good_heads(payload: bytes, heads: list[bytes], fault: Rejection) -> None:
    assert envelope.form(payload) is not None
    assert opened(payload) == (heads, [fault])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    length, left = b"", len(content)
    while left > 127:
        length, left = length + bytes((left & 127 | 128,)), left >> 7
    return bytes((number << 3 | 2,)) + length + bytes((left,)) + content


def record(data: bytes) -> bytes:
    """A record of an aggregate: partition key index, explicit hash key index, data, a tag."""
    return field(3, b"\x08\x00" + b"\x10\x01" + field(3, data) + field(4, field(1, b"tag")))


def sealed(body: bytes) -> bytes:
    return MAGIC + body + md5(body, usedforsecurity=False).digest()


def aggregate(*records: bytes) -> bytes:
    """What the Kinesis Producer Library makes: two tables of keys, then the records."""
    return sealed(field(1, b"device-1") + field(2, b"0") + b"".join(map(record, records)))


LONG = encode(event(event_properties={"text": "밤" * 6000}))
AGGREGATES = {
    "one": (aggregate(A), [A]),
    "several": (aggregate(A, B, C), [A, B, C]),
    "a length of three bytes": (aggregate(LONG, A), [LONG, A]),
    "an empty record": (aggregate(b"", A), [A]),
    "lines in a record": (aggregate(A + b"\n" + B, C), [A, B, C]),
    "in itself": (aggregate(aggregate(A), B, aggregate(C)), [A, B, C]),
    "in a gzip": (gzipped(aggregate(A, B)), [A, B]),
    "in a row": (aggregate(A) + aggregate() + aggregate(B, C), [A, B, C]),
    "lines around": (A + b"\n" + aggregate(B) + b"\n" + C, [A, B, C]),
    "a line break behind, in each other": (aggregate(aggregate(A) + b"\n", B) + b"\r\n", [A, B]),
    "of gzips": (aggregate(gzipped(A + b"\n" + B), gzipped(C)), [A, B, C]),
    "unknown fields of every type": (
        sealed(b"\x20\xff\xff\x01" + b"\x29" + bytes(8) + b"\x35" + bytes(4) + field(9, b"x") + record(A)), [A]
    ),
    "fields in another order": (sealed(record(A) + field(1, b"k") + record(B)), [A, B]),
}  # fmt: skip


@each(("payload", "heads"), AGGREGATES.values(), ids=AGGREGATES)
def test_an_aggregate_opens_into_its_records(payload: bytes, heads: list[bytes]) -> None:
    assert envelope.form(payload) in {Form.KPL, Form.GZIP, Form.LINES}
    assert opened(payload) == (heads, [])


WRONG_CHECKSUM = Rejection(Reason.KPL_INVALID, "the checksum of the aggregate is wrong")
NO_PROTOBUF = Rejection(Reason.KPL_INVALID, "the aggregate breaks off, or is no protobuf")
BAD_AGGREGATES = {
    "magic alone": (MAGIC, [], WRONG_CHECKSUM),
    "too short for a checksum": (MAGIC + bytes(15), [], WRONG_CHECKSUM),
    "checksum wrong": (aggregate(A)[:-1] + b"\0", [], WRONG_CHECKSUM),
    "cut off": (aggregate(A, B)[:-20], [], WRONG_CHECKSUM),
    "a bit flipped": (aggregate(A).replace(b"device-1", b"device-0"), [], WRONG_CHECKSUM),
    "no records": (sealed(b""), [], Rejection(Reason.EMPTY, "kpl that holds nothing")),
    "keys only": (sealed(field(1, b"k")), [], Rejection(Reason.EMPTY, "kpl that holds nothing")),
    "checksum right, a length too long": (sealed(record(A) + b"\x1a\x7f"), [A], NO_PROTOBUF),
    "checksum right, a length without an end": (sealed(record(A) + b"\x1a\xff"), [A], NO_PROTOBUF),
    "checksum right, a number without an end": (sealed(record(A) + b"\x20" + b"\xff" * 20), [A], NO_PROTOBUF),
    "checksum right, the rest of a number": (sealed(record(A) + b"\x29\0"), [A], NO_PROTOBUF),
    "checksum right, a type that is none": (sealed(record(A) + b"\x1b"), [A], NO_PROTOBUF),
    "checksum right, a broken record": (
        sealed(record(A) + field(3, field(3, B) + b"\x1a\x7f") + record(C)), [A, B], NO_PROTOBUF
    ),
    "checksum right, JSON": (sealed(A), [], NO_PROTOBUF),
    "words behind": (aggregate(A) + b" x", [A], Rejection(
        Reason.KPL_INVALID, f"the aggregate has 1 bytes behind its end, at byte {len(aggregate(A)) + 1:,}"
    )),
    "one of its records is none": (aggregate(A, MAGIC + bytes(30), B), [A, B], WRONG_CHECKSUM),
}  # fmt: skip


@each(("payload", "heads", "fault"), BAD_AGGREGATES.values(), ids=BAD_AGGREGATES)
def test_a_bad_aggregate_is_named(payload: bytes, heads: list[bytes], fault: Rejection) -> None:
    assert envelope.form(payload) is Form.KPL
    assert opened(payload) == (heads, [fault])


def test_several_faults_of_a_reason_are_one_part() -> None:
    payload = aggregate(b"[1", gzipped(b"[2"), b"[3", gzipped(A)[:-1])
    arrays = invalid_json("an array breaks off, at byte 2; 2 more like it")
    gzips = Rejection(Reason.GZIP_INVALID, "the gzip breaks off at byte 26")
    assert opened(payload) == ([b"1", b"2", b"3", A], [arrays, gzips])


def test_thousands_of_faults_are_a_few_parts() -> None:
    _, faults = opened(aggregate(*[MAGIC + bytes(30), b"[", b"[1,]", gzipped(b"")[:-1], b"PK\x03\x04"] * 500))
    assert [fault.reason for fault in faults] == ["kpl_invalid", "invalid_json", "gzip_invalid", "zip_invalid"]
    assert faults[0].detail == "the checksum of the aggregate is wrong; 499 more like it"


def wrapped(payload: bytes, times: int) -> bytes:
    """In a gzip in an aggregate in a gzip and so on."""
    for number in range(times):
        payload = aggregate(payload) if number % 2 else gzipped(payload)
    return payload


def test_four_envelopes_in_each_other_are_opened_and_five_are_not() -> None:
    too_deep = Rejection(Reason.ENVELOPE_TOO_DEEP, "more than 4 envelopes in each other")
    assert opened(wrapped(A + b"\n" + B, 4)) == ([A, B], [])
    assert opened(wrapped(A, 5)) == ([], [too_deep])
    assert opened(aggregate(A, wrapped(B, 4), C)) == ([A, C], [too_deep])


MANY = {
    "lines": b"1\n" + b"{}\n" * 9,
    "sequence": b"{}" * 10,
    "array": b"[" + b"1," * 9 + b"1]",
    "gzip": gzipped(b"1\n" + b"{}\n" * 9),
    "aggregate": aggregate(*[A] * 10),
    "aggregate of lines": aggregate(*[A + b"\n" + B] * 5),
}


@each("payload", MANY.values(), ids=MANY)
def test_records_beyond_the_limit_stay_in_the_envelope(payload: bytes) -> None:
    fault = Rejection(Reason.ENVELOPE_TOO_LARGE, "more than 9 records")
    whole, none = opened(payload, Limits(parts=10))
    assert (len(whole), none) == (10, [])
    assert opened(payload, Limits(parts=9)) == (whole[:9], [fault])


def test_an_envelope_is_opened_lazily() -> None:
    parts = envelope.unpack(gzipped(A + b"\n" + B))
    assert next(parts) == Part(A)
    parts.close()


def test_of_what_is_larger_than_a_record_the_values_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_BYTES", 20)
    assert opened(A + b" " * 20 + B) == ([A, B], [])
    assert opened(gzipped(A + b" " * 20 + B)) == ([A, B], [])
    assert opened(b"[" + b",".join([A, B] * 9) + b"]") == ([A, B] * 9, [])
    assert opened(A + b" " * 20 + b"\n" + B) == ([A, B], [])
    long = b'{"a":"%b"}' % (b"b" * 20)
    assert opened(A + long + B + b"\n" + C) == ([A, long, B, C], [])


def test_room_is_for_all_of_an_envelope() -> None:
    payload = aggregate(*[gzipped(A + b"{}" * 3000) for _ in range(3)])
    heads, (fault,) = opened(payload, Limits(opened_bytes=13_000))
    assert heads == [A, *[b"{}"] * 3000, A, *[b"{}"] * 3000, A, *[b"{}"] * 489, b"{"]
    assert fault == Rejection(Reason.ENVELOPE_TOO_LARGE, "the gzip holds more than 986 bytes")
