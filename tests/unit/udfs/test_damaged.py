"""What is damaged takes no sound neighbour with it."""

import gzip
import zlib

from tests.cases import each
from tests.kpl import aggregate_of
from tests.leaves import opened
from tests.unit.udfs.test_inflate import zipped
from tests.unit.udfs.test_tar import tarred
from udfs.model import Reason, Rejection

A, B, C = b'{"a":1}', b'{"b":"\xeb\xb0\xa4"}', b'{"c":[{}]}'
TEXT = b'{"t":"%b"}' % b" ".join(b"%d" % (n * n % 1013) for n in range(300))


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 :]


BAD_KPL, TAR = aggregate_of(["k"], [(0, None, A)])[:-1] + b"?", tarred(A)[:1536]
CHECKSUM, HALF = gz(A)[:-6] + bytes(6), gz(TEXT)[:300]
NEIGHBOURS = {
    "gzips behind a wrong checksum": (CHECKSUM + gz(B) * 999, [A, *[B] * 999], Reason.GZIP_INVALID, 1),
    "a line and a gzip behind a wrong checksum": (
        CHECKSUM + b"\n" + B + b"\n" + gz(C), [A, B, C], Reason.GZIP_INVALID, 1
    ),
    "a line behind a wrong checksum, of an array and set in": (
        CHECKSUM + b"\r\n [ " + B + b"," + C + b"]", [A, B, C], Reason.GZIP_INVALID, 1
    ),
    "a server-sent event behind a wrong checksum": (
        CHECKSUM + b"\n\ndata: " + B + b"\n\n", [A, B], Reason.GZIP_INVALID, 1
    ),
    "a zip behind a wrong checksum": (CHECKSUM + zipped(B, C), [A, B, C], Reason.GZIP_INVALID, 1),
    "a gzip behind one that lost the last byte": (gz(A)[:-1] + gz(B), [A, B], Reason.GZIP_INVALID, 1),
    "a gzip behind one that lost its checksum": (gz(A)[:-8] + gz(B), [A, B], Reason.GZIP_INVALID, 1),
    "an aggregate behind one that is cut": (gz(TEXT)[:300] + aggregate_of(["k"], [(0, None, B)]), [B], None, 1),
    "a zip behind zlib that is cut": (zlib.compress(TEXT)[:300] + zipped(B, C), [B, C], None, 1),
    "gzips, some without their heads": (
        (b"\x88" + gz(A)[3:] + gz(B)[:3] + b"\n" + gz(B)) * 3, [*[B] * 3], None, 0
    ),
    "every second one damaged": ((CHECKSUM + gz(B)) * 9, [A, B] * 9, Reason.GZIP_INVALID, 9),
    "zlib, then a line": (zlib.compress(A)[:-1] + b"\xff\n" + B, [A, B], Reason.ZLIB_INVALID, 1),
    "a zip that is cut, then a gzip": (zipped(A)[:-30] + gz(B), [A, B], Reason.ZIP_INVALID, 1),
    "a zip without its end, then a zip": (zipped(A)[:-22] + zipped(B), [A, B], Reason.ZIP_INVALID, 1),
    "a zip without its end, then a line": (zipped(A)[:-22] + b"\n" + B, [A, B], Reason.ZIP_INVALID, 1),
    "words behind a gzip": (gz(A) + b"junk\n" + B, [A, B], Reason.GZIP_INVALID, 1),
    "words behind a gzip, then a gzip": (gz(A) + b"junk" + gz(B), [A, B], Reason.GZIP_INVALID, 1),
    "an aggregate with a wrong checksum, then a line": (BAD_KPL + b"\n" + B, [B], Reason.KPL_INVALID, 1),
    "an aggregate with a wrong checksum, then a zip": (BAD_KPL + zipped(B), [B], Reason.KPL_INVALID, 1),
    "aggregates with wrong checksums": ((BAD_KPL + b"\n" + B + b"\n") * 3, [B] * 3, Reason.KPL_INVALID, 3),
    "a tar without its end, then a value": (TAR + B, [A, B], Reason.ZIP_INVALID, 1),
    "a tar without its end, then zlib": (TAR + zlib.compress(B), [A, B], Reason.ZIP_INVALID, 1),
    "a tar without its end, then an aggregate": (
        TAR + b"\n" + aggregate_of(["k"], [(0, None, B)]), [A, B], Reason.ZIP_INVALID, 1
    ),
    "an aggregate behind a wrong checksum": (
        CHECKSUM + aggregate_of(["k"], [(0, None, B)]) + C, [A, B, C], Reason.GZIP_INVALID, 1
    ),
    "an array over lines behind a wrong checksum": (
        CHECKSUM + b"\n[\n" + B + b",\n" + C + b"\n]", [A, B, C], Reason.GZIP_INVALID, 1
    ),
    "the rest of an object behind a wrong checksum": (
        CHECKSUM + b'"l":[\n' + B + b",\n" + B + b'\n],"p":\n' + B + b"\n}\n" + C, [A, C], Reason.GZIP_INVALID, 1
    ),
    "in a gzip": (gz(CHECKSUM + gz(B)) + C, [A, B, C], Reason.GZIP_INVALID, 1),
}  # fmt: skip


@each(("payload", "sound", "reason", "times"), NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_what_is_damaged_takes_no_neighbour_with_it(
    payload: bytes, sound: list[bytes], reason: Reason | None, times: int
) -> None:
    heads, faults = opened(payload)
    assert [head for head in heads if head in {A, B, C}] == sound
    if reason:
        assert heads == sound
        (fault,) = faults
        assert fault.reason is reason
        assert fault.detail.endswith("more like it") is (times > 1)
        assert times == 1 or f"; {times - 1} more like it" in fault.detail


def test_a_gzip_that_is_stored_in_a_damaged_one_is_taken_once() -> None:
    assert opened(gzip.compress(gz(A), 0)[:-8] + bytes(8) + gz(B))[0] == [A, B]


@each("between", [b"", b"\n", b" "])
@each("broken", [TEXT[:-9], b'{"t":1,}', b'{"t":[1', b'{"t":"b', b"hello", b"hello\n\n", b"[1"])
def test_a_member_whose_text_is_broken_takes_none_behind_it_with_it(broken: bytes, between: bytes) -> None:
    """One that begins with the same key, as all events of a sender do."""
    second, third = b'{"t":{"b":2}}', b'{"t":3}'
    heads, faults = opened(gz(broken) + between + gz(second) + between + gz(b"[" + third + b"]"))
    assert heads[-2:] == [second, third]
    assert {fault.reason for fault in faults} <= {Reason.INVALID_JSON}


def test_a_value_may_go_on_in_the_next_member_with_a_bracket() -> None:
    assert opened(gz(A + b"\n" + b'{"x":') + gz(B) + gz(b"}\n" + C)) == ([A, b'{"x":' + B + b"}", C], [])


def test_a_zip_with_an_end_of_64_bits_is_none_that_breaks_off() -> None:
    payload = zipped(A)
    at = payload.rindex(b"PK\5\6")
    end = b"PK\6\6" + (44).to_bytes(8, "little") + bytes(44) + b"PK\6\7" + bytes(16)
    assert opened(payload[:at] + end + payload[at:] + b"\n" + B + zipped(C)) == ([A, B, C], [])


def test_behind_an_envelope_too_deep_its_neighbours_are_taken() -> None:
    payload = gz(gz(A)) + b"\n" + B + b"\n" + zipped(gz(A)) + gz(C)
    for _ in range(3):
        payload = gz(payload)
    detail = "more than 4 envelopes in each other; 1 more like it"
    assert opened(payload) == ([B, C], [Rejection(Reason.ENVELOPE_TOO_DEEP, detail)])
