"""Compressed streams are opened, or named by what they are, whatever their window and what precedes them."""

import zlib

import pytest

from tests.leaves import opened
from udfs import envelope, parse
from udfs.model import Reason

A, B = b'{"a":1}', b'{"b":[{}]}'
BOM = b"\xef\xbb\xbf"
DEFLATE = -15


def streamed(content: bytes, window: int, level: int = 9) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, window)
    return stream.compress(content) + stream.flush()


@pytest.mark.parametrize("window", [*range(9, 16), DEFLATE])
@pytest.mark.parametrize("before", [b"", BOM, b" \n", b",\n\0"])
def test_a_stream_of_any_window_is_opened_behind_marks_and_blanks(window: int, before: bytes) -> None:
    assert opened(before + streamed(A, window)) == ([A], [])
    assert opened(before + streamed(b" " * 500 + BOM + A, window)) == ([A], [])


@pytest.mark.parametrize("window", [*range(9, 16), DEFLATE])
def test_a_stream_between_lines_is_opened(window: int) -> None:
    assert opened(A + b"\n" + streamed(B, window) + b"\n" + A + b"\n") == ([A, B, A], [])
    assert opened(b"[" + A + b"," + streamed(B, window) + b"," + A + b"]") == ([A, B, A], [])


@pytest.mark.parametrize("window", range(9, 15))
def test_a_stream_of_a_rare_window_may_hold_another(window: int) -> None:
    assert opened(streamed(streamed(A, 10), window)) == ([A], [])


def test_a_blank_may_be_the_first_byte_of_bare_deflate() -> None:
    record = b'{"%b":233}' % bytes(33 + (n * n * 233) % 90 for n in range(93)).translate(None, b'"\\')
    packed, stored = streamed(record, DEFLATE), streamed(A + b" " * 70_000, DEFLATE, level=0)
    assert (packed[:1], stored[:1]) == (b"\r", b"\0")
    for before in (b"", b"\n", BOM + b"\r\n"):
        assert opened(before + packed) == ([record], [])
        assert opened(before + stored) == ([A], [])


@pytest.mark.parametrize("before", [b"", BOM, b" \n", b"\0"])
def test_what_is_compressed_otherwise_is_named_behind_marks_and_blanks(before: bytes) -> None:
    payload = before + b"\x28\xb5\x2f\xfd\x04\xff\n{}"
    assert envelope.form(payload) is None
    assert parse.record(payload) == (Reason.COMPRESSION_UNKNOWN, "zstd")


@pytest.mark.parametrize("payload", ["(가나)".encode("euc-kr"), "8월 {}".encode("euc-kr"), b"H\xc7\xff\xff{}"])
def test_what_only_looks_like_a_rare_window_is_text(payload: bytes) -> None:
    assert parse.record(payload).reason is Reason.INVALID_UTF8  # type: ignore[union-attr]
    assert envelope.form(payload) is None
