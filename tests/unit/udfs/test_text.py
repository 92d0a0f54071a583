"""JSON text the careful way: the fields of one object, what was mended in them, or why there are none."""

import gzip
import json
import zlib
from base64 import b64encode, encodebytes, urlsafe_b64encode
from typing import Any

import msgspec

from tests.builders import encode, event
from tests.cases import each
from tests.kpl import aggregate_of
from udfs import text
from udfs.model import Reason, Rejection, Repair
from udfs.text import BOM, MAX_BYTES, MAX_DEPTH, TOO_DEEP, Fields

VALID = encode(event())


def fields_of(payload: bytes) -> Fields:
    found = text.fields(payload)
    assert isinstance(found, Fields), found
    return found


def shown(value: object) -> Any:
    """JSON's view of a value, numbers by their spelling."""
    return json.loads(msgspec.json.encode(value), parse_int=str, parse_float=str)


SPELLED = b'{"app":434735,"event_type":"a","user_id":"someone@example.com","device_id":"d"}'
GZIP64, WRAPPED = b64encode(gzip.compress(SPELLED)), encodebytes(SPELLED)
HEX = SPELLED.hex().encode()
IN_STRINGS = json.dumps(json.dumps(SPELLED.decode())).encode()
ENCODED = {
    f"encoded, {number}": (payload, reason, detail)
    for number, (payload, reason, detail) in enumerate(
        [
            (WRAPPED, Reason.INVALID_JSON, "base64 of JSON"),
            (WRAPPED.replace(b"\n", b"\r\n "), Reason.INVALID_JSON, "base64 of JSON"),
            (b64encode(SPELLED) + b"\n" + b64encode(SPELLED), Reason.INVALID_JSON, "base64 of JSON"),
            (json.dumps(WRAPPED.decode()).encode(), Reason.NOT_AN_OBJECT, "base64 of JSON"),
            (b64encode(BOM + SPELLED), Reason.INVALID_JSON, "base64 of JSON"),
            (b64encode(SPELLED.decode().encode("utf-16-le")), Reason.INVALID_JSON, "base64 of JSON"),
            (encodebytes(GZIP64), Reason.INVALID_JSON, "Expecting value: line 1 column 1 (char 0)"),
            (urlsafe_b64encode(gzip.compress(SPELLED)), Reason.INVALID_JSON, "base64 of a gzip"),
            (b"data:application/json;charset=utf-8;base64," + GZIP64, Reason.INVALID_JSON, "base64 of a gzip"),
            (b64encode(zlib.compress(SPELLED, 1)), Reason.INVALID_JSON, "base64 of zlib"),
            (HEX, Reason.INVALID_JSON, "hexadecimal digits of JSON"),
            (b"\\x" + HEX.upper() + b"\n", Reason.INVALID_JSON, "hexadecimal digits of JSON"),
            (HEX[:60] + b"\n" + HEX[60:], Reason.INVALID_JSON, "hexadecimal digits of JSON"),
            (gzip.compress(SPELLED).hex().encode(), Reason.INVALID_JSON, "hexadecimal digits of a gzip"),
            (b"7b226 is no hexadecimal", Reason.INVALID_JSON, "Extra data: line 1 column 2 (char 1)"),
            (b"%7B%22app%22%3A434735%7D", Reason.INVALID_JSON, "JSON in percent-encoding"),
            (b"%5b%0A%7b%22app%22%3a434735%7d%5d", Reason.INVALID_JSON, "JSON in percent-encoding"),
            (b"data:application/json,%7B%22app%22%3A1%7D", Reason.INVALID_JSON, "JSON in percent-encoding"),
            (b'"data:;base64,' + GZIP64 + b'"', Reason.NOT_AN_OBJECT, "base64 of a gzip"),
            (json.dumps(json.dumps('{\n "app": 434735}')).encode(), Reason.NOT_AN_OBJECT, "JSON as a string"),
            (IN_STRINGS, Reason.NOT_AN_OBJECT, "JSON as a string"),
            (json.dumps("\ufeff" + SPELLED.decode()).encode(), Reason.NOT_AN_OBJECT, "JSON as a string"),
        ]
    )
}
REFUSED = {
    "zero bytes": (b"", Reason.EMPTY, "0 bytes"),
    "white space": (b" \t\r\n", Reason.EMPTY, "4 bytes"),
    "a byte order mark alone": (BOM, Reason.EMPTY, "3 bytes"),
    "two byte order marks": (BOM + BOM, Reason.EMPTY, "6 bytes"),
    "NULs": (bytes(10), Reason.EMPTY, "10 bytes"),
    "commas": (b",,\n,", Reason.EMPTY, "4 bytes"),
    "no-break spaces and separators": ("\xa0\u2028|;\x1c\x01\\n".encode(), Reason.EMPTY, "11 bytes"),
    "a byte order mark and blanks": (BOM + b"\r\n", Reason.EMPTY, "5 bytes"),
    "more than a record may have": (b" " * (MAX_BYTES + 1), Reason.TOO_LARGE, "10,485,761 bytes"),
    "invalid byte": (b'{"city":"\xff"}', Reason.INVALID_UTF8, "invalid start byte at byte 9"),
    "invalid byte behind a mark": (BOM + b'{"\xff"}', Reason.INVALID_UTF8, "invalid start byte at byte 5"),
    "half a letter": ('{"city":"밤'.encode()[:-1], Reason.INVALID_UTF8, "unexpected end of data at byte 9"),
    "surrogate in bytes": (b'"\xed\xa0\xbd"', Reason.INVALID_UTF8, "invalid continuation byte at byte 1"),
    "overlong slash": (b'"\xc0\xaf"', Reason.INVALID_UTF8, "invalid start byte at byte 1"),
    "beyond Unicode": (b'"\xf4\x90\x80\x80"', Reason.INVALID_UTF8, "invalid continuation byte at byte 1"),
    "Latin 1": ('{"city":"Zürich"}'.encode("latin-1"), Reason.INVALID_UTF8, "invalid start byte at byte 10"),
    "UTF-16": ("{}".encode("utf-16"), Reason.INVALID_UTF8, "UTF-16, not UTF-8"),
    "UTF-16, big end": (b"\xfe\xff\0{\0}", Reason.INVALID_UTF8, "UTF-16, not UTF-8"),
    "UTF-16 without a mark": ("{}".encode("utf-16-le"), Reason.INVALID_UTF8, "UTF-16, not UTF-8"),
    "UTF-16 without a mark, big end": ("[{".encode("utf-16-be"), Reason.INVALID_UTF8, "UTF-16, not UTF-8"),
    "UTF-16 behind a blank line": ("\r\n{}".encode("utf-16-le"), Reason.INVALID_UTF8, "UTF-16, not UTF-8"),
    "UTF-16 behind a blank, big end": ("\n[{".encode("utf-16-be"), Reason.INVALID_UTF8, "UTF-16, not UTF-8"),
    "UTF-32 behind a blank, big end": ("\n{ ".encode("utf-32-be"), Reason.INVALID_UTF8, "UTF-32, not UTF-8"),
    "UTF-32": ("{}".encode("utf-32"), Reason.INVALID_UTF8, "UTF-32, not UTF-8"),
    "UTF-32 without a mark": ("{ ".encode("utf-32-le"), Reason.INVALID_UTF8, "UTF-32, not UTF-8"),
    "UTF-32 without a mark, big end": ("{ ".encode("utf-32-be"), Reason.INVALID_UTF8, "UTF-32, not UTF-8"),
    "base64 in an event": (b"id: 7\ndata: eyJhIjoxfQ==\n\n", Reason.INVALID_JSON, "base64 of JSON"),
    "events without data": (b":\n\nevent: a\nid: 7\n\n", Reason.INVALID_JSON, "server-sent events without data"),
    "a tar without files": (bytes(1024), Reason.EMPTY, "1024 bytes, as a tar without files has them"),
    "two marks": (
        BOM + BOM + b"{}",
        Reason.INVALID_JSON,
        "Unexpected byte order mark: line 1 column 1 (char 0)",
    ),
    "cut off": (b'{"app":1', Reason.INVALID_JSON, "Expecting ',' delimiter: line 1 column 9 (char 8)"),
    "a word": (b"PK", Reason.INVALID_JSON, "Expecting value: line 1 column 1 (char 0)"),
    "two objects": (b"{}{}", Reason.INVALID_JSON, "Extra data: line 1 column 3 (char 2)"),
    "newline in a text": (
        b'{"a":"b\nc"}',
        Reason.INVALID_JSON,
        "Invalid control character at: line 1 column 8 (char 7)",
    ),
    "NUL in a text": (b'["\0"]', Reason.INVALID_JSON, "Invalid control character at: line 1 column 3 (char 2)"),
    "NULs behind": (b"{}\0\0", Reason.INVALID_JSON, "Extra data: line 1 column 3 (char 2)"),
    "unknown escape": (rb'["\q"]', Reason.INVALID_JSON, r"Invalid \escape: line 1 column 3 (char 2)"),
    "half an escape": (rb'["\u00e"]', Reason.INVALID_JSON, r"Invalid \uXXXX escape: line 1 column 4 (char 3)"),
    "leading zero": (b"[01]", Reason.INVALID_JSON, "Expecting ',' delimiter: line 1 column 3 (char 2)"),
    "a mark's escape cut": (rb'["\ud83', Reason.INVALID_JSON, r"Invalid \uXXXX escape: line 1 column 4 (char 3)"),
    "null": (b"null", Reason.NOT_AN_OBJECT, "starts with 'null'"),
    "number": (b"1", Reason.NOT_AN_OBJECT, "starts with '1'"),
    "NaN": (b"NaN", Reason.NOT_AN_OBJECT, "starts with 'NaN'"),
    "text": (b' "{}"', Reason.NOT_AN_OBJECT, "starts with '\"{}\"'"),
    "a bracket in a text": (b'"[a] b"', Reason.NOT_AN_OBJECT, "starts with '\"[a] b\"'"),
    "a list in a string": (rb'"\n [ {\"app\":1}]"', Reason.NOT_AN_OBJECT, "JSON as a string"),
    "the beginning of base64": (b"eyJ", Reason.INVALID_JSON, "Expecting value: line 1 column 1 (char 0)"),
    "JSON in a string": (b' "{\\"app\\":434735}"', Reason.NOT_AN_OBJECT, "JSON as a string"),
    "base64 of an object": (b64encode(b'{"app":434735}'), Reason.INVALID_JSON, "base64 of JSON"),
    "base64 of an array": (b64encode(b'[{"app":434735}]'), Reason.INVALID_JSON, "base64 of JSON"),
    "base64 of lines": (b64encode(b'{\n"app":434735}') + b"\n", Reason.INVALID_JSON, "base64 of JSON"),
    "base64 of a gzip": (b64encode(gzip.compress(b"{}")), Reason.INVALID_JSON, "base64 of a gzip"),
    "base64 of a zip": (b64encode(b"PK\3\4" + bytes(26)), Reason.INVALID_JSON, "base64 of a zip"),
    "base64 of zlib": (b64encode(zlib.compress(b"{}" * 9)), Reason.INVALID_JSON, "base64 of zlib"),
    "base64 of an aggregate": (
        b64encode(aggregate_of(["k"], [(0, None, b"{}")])),
        Reason.INVALID_JSON,
        "base64 of an aggregate of the KPL",
    ),
    "base64 in a string": (b'"%b"' % b64encode(b'{"app":434735}'), Reason.NOT_AN_OBJECT, "base64 of JSON"),
    "a form of the JavaScript SDK": (
        b"checksum=ab&client=5ec2e7&e=%5B%7B%22a%22%3A1%7D%5D&v=2",
        Reason.API_REQUEST,
        "the body of a request to one of Amplitude's APIs, as a form",
    ),
    **ENCODED,
    "a word like base64": (b"eyJ is.no base64", Reason.INVALID_JSON, "Expecting value: line 1 column 1 (char 0)"),
    "list": (b'[{"app":434735,"event_type":"a"}]', Reason.NOT_AN_OBJECT, 'starts with \'[{"app":434735,"even\''),
}


@each(("payload", "reason", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_object_is_refused_with_the_place(payload: bytes, reason: Reason, detail: str) -> None:
    assert text.fields(payload) == Rejection(reason, detail)


# JSON text, as it is kept, what was mended
MENDED: dict[str, tuple[str, Any, set[Repair]]] = {
    "nothing": ('{"a":"밤 😀"}', {"a": "밤 😀"}, set()),
    "a byte order mark": ('\ufeff{"a":1}', {"a": "1"}, {Repair.BOM_REMOVED}),
    "NaN": ('{"a":NaN}', {"a": None}, {Repair.NAN_TO_NULL}),
    "infinities": ('{"a":[Infinity,-Infinity]}', {"a": [None, None]}, {Repair.NAN_TO_NULL}),
    "NaN in a text": ('{"a":"NaN"}', {"a": "NaN"}, set()),
    "half an emoji": (r'{"a":"b\ud83d"}', {"a": "b\ufffd"}, {Repair.SURROGATE_REPLACED}),
    "the other half": (r'{"a":"\uDE00b"}', {"a": "\ufffdb"}, {Repair.SURROGATE_REPLACED}),
    "halves the wrong way round": (r'{"a":"\ude00\ud83d"}', {"a": "\ufffd\ufffd"}, {Repair.SURROGATE_REPLACED}),
    "a half before a whole": (r'{"a":"\ud83d\ud83d\ude00"}', {"a": "\ufffd😀"}, {Repair.SURROGATE_REPLACED}),
    "a half in a key": (r'{"\ud83d":1}', {"\ufffd": "1"}, {Repair.SURROGATE_REPLACED}),
    "an escaped emoji": (r'{"a":"\ud83d\uDE00"}', {"a": "😀"}, set()),
    "a backslash before a u": (r'{"a":"\\ud83d\\\\u0000"}', {"a": r"\ud83d\\u0000"}, set()),
    "NUL": (r'{"a":"\u0000"}', {"a": "\0"}, {Repair.NUL_REMOVED}),
    "NUL behind a backslash": (r'{"a":"\\\u0000"}', {"a": "\\\0"}, {Repair.NUL_REMOVED}),
    "other controls": (r'{"a":"\u0001\u001f\u007f"}', {"a": "\x01\x1f\x7f"}, set()),
    "equal keys": ('{"a":1,"b":2,"a":3}', {"a": "3", "b": "2"}, {Repair.DUPLICATE_FIELD}),
    "equal keys inside": ('{"a":[{"b":1,"b":2}]}', {"a": [{"b": "2"}]}, {Repair.DUPLICATE_FIELD}),
    "keys in different cases": ('{"a":1,"A":2}', {"a": "1", "A": "2"}, set()),
    "all at once": (
        '\ufeff{"a":NaN,"a":"\\u0000\\ud83d"}',
        {"a": "\0\ufffd"},
        {Repair.BOM_REMOVED, Repair.NAN_TO_NULL, Repair.DUPLICATE_FIELD, Repair.NUL_REMOVED,
         Repair.SURROGATE_REPLACED},
    ),
}  # fmt: skip


@each(("spelled", "kept", "repairs"), MENDED.values(), ids=MENDED)
def test_what_can_be_mended_is_and_is_named(spelled: str, kept: object, repairs: set[Repair]) -> None:
    found = fields_of(spelled.encode())
    assert (shown(dict(found.pairs)), found.repairs) == (kept, repairs)


def test_fields_keep_their_order_and_duplicates() -> None:
    assert fields_of(b' {"b":true,"a":{"c":null},"b":"d"}\n').pairs == [
        ("b", True),
        ("a", {"c": None}),
        ("b", "d"),
    ]


@each(
    "number",
    ["0", "-1", str(2**63 - 1), str(-(2**63)), str(2**63), "9" * 5000, "1.0", "1.50", "1e400", "-1E-400", "0.1"],
)
def test_a_number_keeps_its_spelling(number: str) -> None:
    ((_, value),) = fields_of(f'{{"a":{number}}}'.encode()).pairs
    assert msgspec.json.encode(value).decode() == number


@each(
    ("digits", "kind"),
    [(str(2**63 - 1), int), (str(-(2**63)), int), (str(2**63), msgspec.Raw), (str(-(2**63) - 1), msgspec.Raw)],
)
def test_an_integer_is_one_as_far_as_64_bits_go(digits: str, kind: type) -> None:
    ((_, value),) = fields_of(f'{{"a":{digits}}}'.encode()).pairs
    assert type(value) is kind


@each(
    ("spelled", "value"),
    [("1.50", 1.5), ("1e400", None), ("-1e400", None), ("9" * 400, None), ("1e-400", 0.0), ("9" * 300, 1e300)],
)
def test_the_value_of_a_spelled_number_is_finite_or_none(spelled: str, value: float | None) -> None:
    assert text.finite(text.raw(spelled)) == value


# what goes around a value, and how many levels that is
AROUND = {
    "objects": (b'{"a":', b"}", 1),
    "arrays": (b"[", b"]", 1),
    "both": (b'[{"a":', b"}]", 2),
    "with other brackets in texts": (b'{"[[[{{{\\"[":', b"}", 1),
    "with closing brackets in texts": (b'["]]]}}}\\\\",', b"]", 1),
    "with empty texts": (b'["","","]",', b"]", 1),
}


@each(("opening", "closing", "levels"), AROUND.values(), ids=AROUND)
def test_64_levels_are_read_and_65_are_not(opening: bytes, closing: bytes, levels: int) -> None:
    times = (MAX_DEPTH - 2) // levels
    innermost = opening * times + b"[]" + closing * times
    assert isinstance(text.fields(b'{"x":' + innermost + b"}"), Fields)
    assert text.fields(b'{"x":[' + innermost + b"]}") == TOO_DEEP


@each("bomb", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"a":' * 100_000])
@each("head", [b"", b'{"app":434735,"event_type":"a","data":'], ids=["bare", "in an event"])
def test_a_depth_bomb_is_too_deep_even_when_it_is_cut(head: bytes, bomb: bytes) -> None:
    assert text.fields(head + bomb) == TOO_DEEP


def test_many_brackets_beside_each_other_are_not_deep() -> None:
    assert text.may_be_deep(b'{"a":[' + b"[]," * 70 + b"1]}")
    assert not text.deep(b'{"a":[' + b"[]," * 70 + b"1]}")
    assert not text.may_be_deep(b"[" * MAX_DEPTH)
    assert text.may_be_deep(b"[{" * (MAX_DEPTH // 2) + b"[")


@each(
    ("spelled", "kept"),
    [
        (r'{"a\u0000b":"\u0000\u0000c"}', '{"ab":"c"}'),
        (r'"\\u0000"', r'"\\u0000"'),
        (r'"\\\u0000\u0001\ud83d\ude00\n"', r'"\\\u0001\ud83d\ude00\n"'),
    ],
)
def test_nul_is_left_out_of_json_text_and_nothing_else(spelled: str, kept: str) -> None:
    assert text.without_nul(spelled) == kept
