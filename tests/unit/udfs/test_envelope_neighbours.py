"""Values and members beside broken ones, and what reading them may cost."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable

import pytest

from tests.cases import each
from tests.kpl import aggregate_of
from tests.leaves import opened
from udfs import envelope, values
from udfs.envelope import Limits
from udfs.model import Reason, Rejection

A, B, C = b'{"a":1}', '{"b":"밤"}'.encode(), b'{"c":[{}]}'


def zipped(*files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{number}.json", data)
    return out.getvalue()


A_GZ, A_ZIP = gzip.compress(A, mtime=0), zipped(A)
ROWS = {
    "gzip and text": (A_GZ + B, [A, B]),
    "gzip, line, gzip, line": (A_GZ + b"\n" + B + b"\n", [A, B]),
    "zips": (A_ZIP, [A]),
    "zips and a comma": (A_ZIP + b",", [A]),
    "zip, gzip, zlib, line": (A_ZIP + A_GZ + zlib.compress(C) + b"\n" + B + b"\n", [A, A, C, B]),
    "gzip of gzip, text": (gzip.compress(A_GZ) + C, [A, C]),
    "zip of gzips, text": (zipped(A_GZ, A_GZ) + C, [A, A, C]),
    "a broken line, gzip": (b"broken\n" + A_GZ + b"\n", [b"broken", A]),
}


@each(("group", "heads"), ROWS.values(), ids=ROWS)
def test_what_stands_in_a_row_is_no_level(group: bytes, heads: list[bytes]) -> None:
    assert opened(group * 20) == (heads * 20, [])
    inside = gzip.compress(zipped(group * 9))
    assert opened((inside + B) * 9) == ((heads * 9 + [B]) * 9, [])


def test_only_what_is_in_another_is_a_level() -> None:
    deep = A
    for _ in range(5):
        deep = gzip.compress(deep)
    too_deep = Rejection(Reason.ENVELOPE_TOO_DEEP, "more than 4 envelopes in each other")
    assert opened(A_GZ + B + A_ZIP + b"\n" + deep) == ([A, B, A], [too_deep])


def test_an_array_may_hold_what_is_packed() -> None:
    assert opened(b"[" + A + b", " + A_GZ + b"," + A_ZIP + b",\n[" + B + b"," + A_GZ + b"]]\n" + C) == (
        [A, A, A, B, A, C], []
    )  # fmt: skip


LINE_OF_ARRAY = b"[" + A + b",\n"
CUT_ARRAYS = {
    "lines": (LINE_OF_ARRAY * 100, [A] * 100),
    "lines set in": ((b"  " + LINE_OF_ARRAY) * 100, [A] * 100),
    "lines of several": ((b"[[" + A + b"],[" + B + b",\r\n") * 100, [A, B] * 100),
    "records of RFC 7464": ((b"\x1e[" + A) * 100, [A] * 100),
}


@each(("payload", "heads"), CUT_ARRAYS.values(), ids=CUT_ARRAYS)
def test_arrays_that_are_cut_line_by_line_are_not_in_each_other(payload: bytes, heads: list[bytes]) -> None:
    broken = Rejection(Reason.INVALID_JSON, f"an array breaks off, at byte {len(payload):,}")
    assert opened(payload) == (heads, [broken])


@each("indent", [0, 1, None])
def test_arrays_of_several_lines_may_lie_in_each_other(indent: int | None) -> None:
    nested: object = [{"a": 1}]
    for _ in range(40):
        nested = [nested, [{"b": 2}]]
    singles, faults = opened(json.dumps(nested, indent=indent).encode())
    assert ([json.loads(one) for one in singles], faults) == ([{"a": 1}] + [{"b": 2}] * 40, [])


def test_of_a_line_too_deep_the_next_ones_are_read() -> None:
    deep = b"[" * 65 + C + b"]" * 65
    assert opened(A + b"\n" + deep + b"\n" + B) == (
        [A, B], [Rejection(Reason.TOO_DEEP, "nested deeper than 64 levels")]
    )  # fmt: skip


SEPARATED = {
    "semicolons": (A + b";" + B + b"; " + C + b";", [A, B, C]),
    "semicolons at ends of lines": (A + b";\n" + B + b";\r\n", [A, B]),
    "bars": (A + b"|" + B + b" | " + C, [A, B, C]),
    "blanks of Unicode": ("\xa0".encode() + A + "\u3000\u200b".encode() + B + "\n\u2003".encode() + C, [A, B, C]),
    "separators of ASCII": (A + b"\x1c" + B + b"\x1d" + C + b"\x1f" + A + b"\x1f", [A, B, C, A]),
    "separators of Hive": (b"\x01" + A + b"\x02" + B + b"\x03\n" + C, [A, B, C]),
    "ends of lines as they are escaped": (A + rb"\n" + B + rb"\r\n" + C + rb"\t" + A + rb"\n", [A, B, C, A]),
    "a separator before a gzip": (A + b"\x1f" + A_GZ + b"\x1f" + A_GZ, [A, A, A]),
    "bars in an array": (b"[" + A + b"|" + B + b"|1|2]", [A, B, b"1", b"2"]),
    "one server-sent event": (b"data: " + A, [A]),
    "server-sent events": (b"data: " + A + b"\n\ndata:" + B + b"\r\n\r\n", [A, B]),
    "server-sent events with all fields": (
        b": hello\n\nid: 1\nevent: e\nretry: 10\ndata: " + A + b"\n\n:\nid: 2\ndata: [" + B + b"]\n\n", [A, B]
    ),
    "server-sent events without ends of lines": (
        b"data: " + A + b"data: " + B + b"data:[" + C + b"]data: [data:" + A + b"]", [A, B, C, A]
    ),
    "an array, then an event": (b"[" + A_GZ + b"]data: " + B + b"\n\n" + A_ZIP, [A, B, A]),
    "server-sent events, one is none": (b"data: " + A + b"\n\ndata: ping\n\ndata: " + B, [A, b"ping", B]),
    "server-sent events, the last without data": (b"data: " + A + b"\n\nid: 1\n\n: bye\n\nevent: done", [A]),
    "server-sent events, fields behind the data": (
        b"data: " + A + b"\nid: 1\nevent: e\n\ndata: " + B + b"\rid: 2\r", [A, B]
    ),
    "one server-sent event, data over several lines": (
        b'data: {"a":\ndata:  [{},\nid: 7\r\ndata:"b"]}\n\ndata: ' + B,
        [b'{"a":\n       [{},' + b"\n" * 6 + b'\r\n     "b"]}', B],
    ),
    "fields of something else": (b"id: 1\n" + A + b"\nevent: e\n" + B, [b"id: 1", A, b"event: e", B]),
}  # fmt: skip


@each(("payload", "heads"), SEPARATED.values(), ids=SEPARATED)
def test_values_are_taken_whatever_people_put_between_them(payload: bytes, heads: list[bytes]) -> None:
    assert envelope.form(payload) is not None
    assert opened(payload) == (heads, [])
    assert opened(gzip.compress(payload) + b"\n" + payload) == (heads * 2, [])


def test_a_line_that_is_none_takes_no_packed_one_with_it() -> None:
    assert opened(A_GZ + b"\nbroken\n" + A_ZIP) == ([A, b"broken", A], [])
    assert [fault.reason for fault in opened(A_GZ + b"broken\n" + A_ZIP)[1]] == [Reason.GZIP_INVALID]


def test_values_that_go_on_behind_lines_like_beginnings_are_whole_however_many() -> None:
    event = {"a": [{"b": 1}, [{"c": 2}]], "d": {"e": [{"f": 3}]}}
    spelled = json.dumps([event] * 500, indent=0).encode()
    singles, faults = opened(spelled)
    assert ([json.loads(one) for one in singles], faults) == ([event] * 500, [])
    singles, _ = opened(spelled.replace(b'"b": 1', b'"b": x', 10))
    assert singles.count(json.dumps(event, indent=0).encode()) == 490


@each("separator", [b"\r", b"\n", "\u2028".encode(), "\u0085".encode(), b"\x1e", b"\x0c"])
def test_a_cut_value_takes_none_behind_the_next_separator_with_it(separator: bytes) -> None:
    assert opened(separator.join((A, B[:-1], C, A))) == ([A, B[:-1], C, A], [])


CUT = b'{"u":"v","x":{"y'
PRETTY = b'{\n  "a": 1,\n  "p": 2\n}\n'
TOGETHER = {
    "a cut one and another": ([CUT, B], [CUT, B]),
    "a cut one between": ([A, CUT, B, C], [A, CUT, B, C]),
    "a cut one and one of several lines": ([CUT, PRETTY], [CUT, PRETTY.strip()]),
    "one of several lines, cut": ([PRETTY[:10] + b",\n", A], [PRETTY[:10], A]),
    "a string and an object": ([b'"{}"', A], [b'"{}"', A]),
    "an object and an event": ([A, b"data: " + C + b"\n\n"], [A, C]),
    "events": ([b"data: " + A, b"id: 1\ndata: " + C + b"\n\n"], [A, C]),
    "another encoding, then UTF-8": (['{"a":1}'.encode("utf-16-le"), B], ['{"a":1}'.encode("utf-16-le"), B]),
    "an object that goes on": ([b'{"a":', b'{"b":1}}'], [b'{"a":{"b":1}}']),
    "an array that goes on": ([b"[" + A + b",", C + b"]"], [A, C]),
}


@each("pack", [gzip.compress, zlib.compress])
@each(("members", "texts"), TOGETHER.values(), ids=TOGETHER)
def test_a_value_may_go_on_in_the_next_member_and_a_broken_one_ends_before_it(
    pack: Callable[[bytes], bytes], members: list[bytes], texts: list[bytes]
) -> None:
    assert opened(b"".join(map(pack, members)))[0] == texts
    assert opened(b"\n".join(map(pack, members)))[0] == texts


def bare(data: bytes) -> bytes:
    """Deflate, as it is and without an end of its own."""
    deflate = zlib.compressobj(0, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


LIKE_A_FIELD = {
    "an aggregate whose key has 58 letters": (aggregate_of(["k" * 58], [(0, None, A)]), [A]),
    "a text that ends so": (bare(A + b"\n: bye"), [A, b": bye"]),
    "a gzip whose name does": (A_GZ[:3] + b"\x08" + A_GZ[4:10] + b"\n: name\0" + A_GZ[10:], [A]),
}


@each(("packed", "inside"), LIKE_A_FIELD.values(), ids=LIKE_A_FIELD)
def test_bytes_of_an_envelope_that_look_like_a_field_of_an_event_take_no_text_with_them(
    packed: bytes, inside: list[bytes]
) -> None:
    event = b"data: " + C + b"\n\n"
    for texts, found in (
        (packed + B + b"\n" + event, [*inside, B, C]),
        (event + packed + B + b"\n", [C, *inside, B]),
        (packed + event, [*inside, C]),
    ):
        assert opened(texts)[0] == found


@each("separator", [b",", b",\n", b"\x1e", b"\0", b" "])
def test_members_are_told_apart_by_what_people_put_between_them(separator: bytes) -> None:
    assert opened(separator.join(map(gzip.compress, (A, gzip.compress(B), C)))) == ([A, B, C], [])


def test_a_long_array_is_not_read_in_vain_for_each_of_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    vain = []
    read = values._read

    def counting(spelled: str, at: int) -> values._Read:
        found = read(spelled, at)
        vain.extend([at] if found.length is None else [])
        return found

    monkeypatch.setattr(values, "MAX_BYTES", 1_000)
    monkeypatch.setattr(values, "_read", counting)
    assert len(opened(b"[" + b",".join([A] * 5_000) + b"]")[0]) == 5_000
    assert len(vain) <= 1


def test_what_others_have_taken_is_no_room_for_those_behind() -> None:
    limits = Limits(opened_bytes=3_000, ratio=10**6)
    inner = gzip.compress(gzip.compress(b'{"a":"%b"}' % (b"x" * 2_500)))
    singles, faults = opened(gzip.compress(A) + inner + inner + inner + gzip.compress(B), limits)
    assert A in singles
    assert {fault.reason for fault in faults} == {Reason.ENVELOPE_TOO_LARGE}
