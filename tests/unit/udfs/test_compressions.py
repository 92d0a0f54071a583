"""Compressed streams are opened, or named by what they are, whatever their window and what precedes them."""

import bz2
import gzip
import lzma
import zlib
from itertools import product

from tests.cases import each
from tests.kpl import aggregate_of
from tests.leaves import opened
from tests.unit.udfs.test_inflate import spoilt, zipped
from udfs import envelope, parse
from udfs.model import Reason, Rejection

A, B = b'{"a":1}', b'{"b":[{}]}'
BOM = b"\xef\xbb\xbf"
DEFLATE = -15


def streamed(content: bytes, window: int, level: int = 9) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, window)
    return stream.compress(content) + stream.flush()


@each("window", [*range(9, 16), DEFLATE])
def test_a_stream_of_any_window_is_opened_behind_marks_and_blanks(window: int) -> None:
    for before in (b"", BOM, b" \n", b",\n\0"):
        assert opened(before + streamed(A, window)) == ([A], []), before
        assert opened(before + streamed(b" " * 500 + BOM + A, window)) == ([A], []), before


@each("window", [*range(9, 16), DEFLATE])
def test_a_stream_between_lines_is_opened(window: int) -> None:
    assert opened(A + b"\n" + streamed(B, window) + b"\n" + A + b"\n") == ([A, B, A], [])
    assert opened(b"[" + A + b"," + streamed(B, window) + b"," + A + b"]") == ([A, B, A], [])


@each("window", range(9, 15))
def test_a_stream_of_a_rare_window_may_hold_another(window: int) -> None:
    assert opened(streamed(streamed(A, 10), window)) == ([A], [])


def test_a_blank_may_be_the_first_byte_of_bare_deflate() -> None:
    record = b'{"%b":233}' % bytes(33 + (n * n * 233) % 90 for n in range(93)).translate(None, b'"\\')
    packed, stored = streamed(record, DEFLATE), streamed(A + b" " * 70_000, DEFLATE, level=0)
    assert (packed[:1], stored[:1]) == (b"\r", b"\0")
    for before in (b"", b"\n", BOM + b"\r\n"):
        assert opened(before + packed) == ([record], [])
        assert opened(before + stored) == ([A], [])


ODD = [
    BOM,
    b" \n",
    b"\0",
    b",",
    b"\x01",
    b"\x1c",
    b"\\n",
    "\xa0".encode(),
    "\u2028".encode(),
    b" \x03" + BOM + b"\x1f\n",
]


@each("before", ODD)
def test_bare_deflate_may_hold_anything_behind_marks_and_blanks(before: bytes) -> None:
    whole = zipped(A), aggregate_of(["k"], [(0, None, A)]), gzip.compress(A), streamed(streamed(A, 15), 15)
    for held in (A, streamed(A, DEFLATE), streamed(A, 15), *whole):
        packed = streamed(before + held, DEFLATE)
        assert envelope.form(packed) is envelope.Form.DEFLATE, held
        assert opened(packed) == ([A], []), held
        assert opened(gzip.compress(packed) + b"\n" + packed) == ([A, A], []), held
    assert opened(streamed(before, DEFLATE))[1] == [Rejection(Reason.EMPTY, "deflate that holds nothing")]


@each("level", [0, 1, 9])
def test_bare_deflate_is_opened_as_deep_as_anything_and_named_beyond(level: int) -> None:
    packed = streamed(A, DEFLATE, level)
    for _ in range(3):
        packed = streamed(packed, DEFLATE, level)
    assert opened(packed) == ([A], [])
    fault = Rejection(Reason.ENVELOPE_TOO_DEEP, "more than 4 envelopes in each other")
    for _ in range(4):
        packed = streamed(packed, DEFLATE, level)
        assert opened(packed) == ([], [fault])


@each("level", [0, 9])
@each("held", [B, "\u2028".encode() + B, streamed(B, DEFLATE)])
def test_bare_deflate_in_a_line_may_begin_like_a_blank_or_a_bracket(level: int, held: bytes) -> None:
    packed = streamed(held, DEFLATE, level)
    assert packed[:1] in {b"\1", b"\xab", b"{", b"["}
    assert opened(A + b"\n" + packed + b"\n" + packed + b"\n" + A) == ([A, B, B, A], [])


DEEP = streamed(streamed(A, DEFLATE), DEFLATE)
INFLATED = {
    "zlib": (streamed(A, 15), [A]),
    "deflate": (streamed(A, DEFLATE), [A]),
    "deflate in deflate": (DEEP, [A]),
    "a broken line": (b"broken\n" + A, [b"broken", A]),
    "a number first": (b"[1," + A + b"]", [b"1", A]),
    "a server-sent event": (b"event: a\nid: 7\ndata: " + A, [A]),
    "a long line first": (b"the quick brown fox jumps over the lazy dog " * 9 + b"\n" + A, None),
}


@each(("held", "heads"), INFLATED.values(), ids=INFLATED)
def test_bare_deflate_is_opened_whatever_it_holds(held: bytes, heads: list[bytes] | None) -> None:
    packed = streamed(held, DEFLATE)
    found, faults = opened(packed)
    assert (found if heads else found[-1:], faults) == (heads or [A], [])
    assert packed.startswith(b"[") or opened(A + b"\n" + packed)[0] == [A, *found]


@each("text", ["밤하늘의 별을 헤는 밤 {}", "これはテストです。{}", "Ünïcödé, größer {}"])
@each("encoding", ["euc-kr", "shift-jis", "latin-1", "utf-16-le", "cp037"])
def test_a_text_of_another_encoding_is_no_deflate(text: str, encoding: str) -> None:
    for begin in range(len(text)):
        spelled = text[begin:].encode(encoding, "replace")
        assert envelope.form(spelled) not in {envelope.Form.DEFLATE, envelope.Form.ZLIB}


AS_TEXT = {
    "a gzip": gzip.compress(A),
    "an aggregate of the KPL": aggregate_of(["k"], [(0, None, A)]),
    "zlib": zlib.compress(A),
}


@each("name", AS_TEXT)
def test_what_went_through_a_text_is_named(name: str) -> None:
    for encoding, why in (("utf-8", "UTF-8: its bytes are lost"), ("latin-1", "Latin-1")):
        payload = AS_TEXT[name].decode(encoding, "replace").encode()
        assert parse.record(payload) == (Reason.INVALID_JSON, f"{name} that was decoded as {why}")


@each("between", [b"\x1f", b"\x1f\x1f", b"\n\x1f", b"\x1f\n", b"\x01\x1f", b"\x1f\x02"])
@each("level", [0, 9])
def test_bare_deflate_beside_separators_of_ascii_is_opened(between: bytes, level: int) -> None:
    """A stored block begins with NUL or \\x01, which are separators themselves."""
    packed = streamed(B, DEFLATE, level)
    assert opened(A + between + packed + between + A) == ([A, B, A], [])
    assert opened(between + packed + between + packed + between) == ([B, B], [])


def test_lzma_behind_a_line_is_named() -> None:
    packed = lzma.compress(A, lzma.FORMAT_ALONE)
    heads, faults = opened(A + b"\n" + packed)
    assert (heads, faults) == ([A, packed.rstrip(b"\0")], [])
    assert parse.record(heads[1]) == (Reason.COMPRESSION_UNKNOWN, "LZMA")


@each("between", [b"\0\0", b"\0\0\0", b"\0\0\n"])
def test_an_array_that_ends_before_nuls_is_no_lzma(between: bytes) -> None:
    assert opened(between.join((A, b"[]", A, b"[" + A + b"]", A))) == ([A] * 4, [])


TAIL = bytes(range(128, 160)) + b"\n{}"


def with_dictionary(level: int) -> bytes:
    stream = zlib.compressobj(level, zdict=b"event_type")
    return stream.compress(A) + stream.flush()


UNREAD = {
    "zstd": [b"\x28\xb5\x2f\xfd\x04", b"\x50\x2a\x4d\x18\4\0\0\0abcd"],
    "bzip2": [bz2.compress(A), bz2.compress(b"")],
    "xz": [lzma.compress(A)],
    "LZMA": [lzma.compress(A, lzma.FORMAT_ALONE), b"]\0\0\x80\0\7" + bytes(8)],
    "LZ4": [b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"],
    "Snappy": [b"\xff\x06\0\0sNaPpY", b"\x82SNAPPY\0"],
    "7z": [b"7z\xbc\xaf\x27\x1c\0\4"],
    "RAR": [b"Rar!\x1a\x07\x01\0"],
    "lzip": [b"LZIP\1\x0c"],
    "compress (.Z)": [b"\x1f\x9d\x90"],
    "a Parquet file": [b"PAR1\x15\4", b"PARE\x15"],
    "an Avro file": [b"Obj\x01\x04\x14avro.codec\x08null"],
    "an ORC file": [b"ORC\x11"],
    "zlib with a preset dictionary": [with_dictionary(level) for level in (1, 4, 6, 9)],
}


@each("name", UNREAD)
def test_what_is_packed_otherwise_is_named_behind_marks_and_blanks(name: str) -> None:
    for begins, before in product(UNREAD[name], (b"", BOM, b" \n", b"\0")):
        payload = before + begins + TAIL
        assert envelope.form(payload) is None, payload
        assert parse.record(payload) == (Reason.COMPRESSION_UNKNOWN, name), payload
        (held,) = opened(streamed(payload, DEFLATE))[0]
        assert parse.record(held) == (Reason.COMPRESSION_UNKNOWN, name), payload


@each(
    "begins", [b"x?}, y", "x?밤".encode(), b'BZhang"}', b"BZh9", b"PAR1", b"ORC", b"LZIP", b"Rar!", b"]", b"P*M"]
)
def test_a_text_that_begins_alike_is_read_by_lines(begins: bytes) -> None:
    assert opened(begins + b"\n" + A + b"\n" + B)[0][-2:] == [A, B]


@each("between", [b"", b"\n"])
def test_what_is_packed_otherwise_is_named_behind_a_gzip(between: bytes) -> None:
    first, second = gzip.compress(A), bz2.compress(A)
    place = len(first + between)
    detail = f"the gzip has {len(second)} bytes behind its end, at byte {place}: bzip2"
    assert opened(first + between + second) == ([A], [Rejection(Reason.COMPRESSION_UNKNOWN, detail)])
    assert opened(first + between + second + first)[0] == [A, A]


ZIPPED, PIPED = zipped(A, B), zipped(A, B, pipe=True)
UNREAD_ZIPS = {
    "encrypted": (spoilt(ZIPPED, 6, b"\1"), "is encrypted"),
    "encrypted into a pipe": (spoilt(PIPED, 6, b"\x09"), "is encrypted"),
    "another method": (spoilt(ZIPPED, 8, b"\x63"), "is packed by method 99, which is not read here"),
    "LZMA into a pipe": (spoilt(PIPED, 8, b"\x0e"), "is packed by method 14 (LZMA), which is not read here"),
}


@each(("payload", "detail"), UNREAD_ZIPS.values(), ids=UNREAD_ZIPS)
def test_a_zip_that_is_not_read_here_is_no_damaged_one(payload: bytes, detail: str) -> None:
    fault = Rejection(Reason.COMPRESSION_UNKNOWN, f"'434735/' in the zip {detail}; 2 more like it")
    assert opened(payload) == ([], [fault])


@each("payload", ["(가나)".encode("euc-kr"), "8월 {}".encode("euc-kr"), b"H\xc7\xff\xff{}"])
def test_what_only_looks_like_a_rare_window_is_text(payload: bytes) -> None:
    assert parse.record(payload).reason is Reason.INVALID_UTF8  # type: ignore[union-attr]
    assert envelope.form(payload) is None
