"""What a text costs grows by its length, whatever is in it, and however often."""

import gzip
import time
from hashlib import md5

import pytest

from tests.builders import ARRIVAL
from tests.leaves import leaves, opened
from tests.properties.test_envelope import SEPARATORS
from udfs import envelope, kpl
from udfs.envelope import Limits
from udfs.model import Reason, Rejection

A = b'{"a":1}'
UNITS = {
    *SEPARATORS,
    *(b"\x1e", b"\x0c", b"\x0b", b"\0", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xbf"),
    *(b"data:", b"\ndata:", b":a\n", b"event: x\n", b"id: 7\r\n", b"retry:\n", b":\n", b"id:", b"\xef\xbb\xbf:"),
    *(b"\n ", b"\n\t[", b"]", b"[]", b"}", b"{", b'"', b"\\", b'\\"', b'{"a":', b"[{", b"x ", b"\x80 ", b"\n{,"),
    *(b"\x1f\x8b", b"\n\x1f\x8b\x08", b"\nPK\x03\x04", b"\nx\x9c", b"api_key=", b"0", b"\\ud800", b"\\u0000"),
} - {b""}  # fmt: skip
PLACES = {
    "at top level": b"%b",
    "in an open array": b"[%b",
    "in an open array, at a line": b"[\n%b",
    "behind a value": A + b"%b",
    "behind a value, then a word": A + b"%bx",
    "in a string": b'{"a":"%b"}',
    "before data": b"%b\ndata: " + A,
}
FEW, MANY = 300, 4 * 300


def cost(payload: bytes) -> float:
    """In seconds of this process alone."""
    begun = time.process_time()
    leaves(payload, ARRIVAL.replace(tzinfo=None), {})
    return time.process_time() - begun


def explodes(place: bytes, unit: bytes) -> bool:
    """Whether the cost grows faster than the length: in three tries, for the machine has other things to do."""
    return all(cost(place % (unit * MANY)) > 6 * cost(place % (unit * FEW)) + 0.006 for _ in range(3))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_four_times_as_long_costs_four_times_as_much(place: bytes) -> None:
    assert [unit for unit in UNITS if explodes(place, unit)] == []


def field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2, len(content))) + content


def sealed(body: bytes) -> bytes:
    return kpl.MAGIC + body + md5(body, usedforsecurity=False).digest()


EMPTY_GZIP = gzip.compress(b"", mtime=0)
EMPTY = {
    "arrays": (b"[]", 1 / 2),
    "brackets that close": (b"]", 1),
    "arrays by the line": (b"[\n", 1),
    "gzips": (EMPTY_GZIP, 1 / 16),
    "gzip members of a blank": (gzip.compress(b" "), 1 / 16),
}


@pytest.mark.parametrize(("unit", "for_each_step"), EMPTY.values(), ids=EMPTY)
def test_what_holds_nothing_counts(unit: bytes, for_each_step: float) -> None:
    allowed = int(1_000 * for_each_step)
    in_bounds, beyond = (gzip.compress(A + unit * number + b" ") for number in (allowed - 30, allowed + 300))
    limits = Limits(steps=1_000)
    assert Reason.ENVELOPE_TOO_LARGE not in {fault.reason for fault in opened(in_bounds, limits)[1]}
    heads, faults = opened(beyond, limits)
    assert (heads, faults[-1]) == ([A], too_many(1_000 + len(beyond) // 2))


def too_many(steps: int) -> Rejection:
    what = "brackets, members and fields of aggregates"
    return Rejection(Reason.ENVELOPE_TOO_LARGE, f"{what} beyond {steps:,} steps, for its size")


@pytest.mark.parametrize("body", [b"\x1a\0", b"\x1a\2\x20\1", b"\x20\1", b"\x35\0\0\0\0", field(3, field(3, b""))])
def test_empty_fields_of_aggregates_count(body: bytes) -> None:
    payload = gzip.compress(sealed(field(3, field(3, A)) + body * 5_000))
    assert opened(payload, Limits(steps=1_000)) == ([A], [too_many(1_000 + len(payload) // 2)])
    assert opened(payload, Limits(steps=100_000)) == ([A], [])


def test_the_larger_a_record_is_the_more_steps_it_may_take() -> None:
    assert opened(b"[]" * 100_000 + A) == ([A], [])
    assert opened(b"[]" * 1_000_000 + A) == ([], [too_many(300_000 + (2_000_000 + len(A)) // 2)])
    many = b"".join(b"[%b],\n" % (b'{"a":"%b"}' % (b"a" * 20)) for _ in range(99_000))
    assert len(opened(gzip.compress(many), Limits(ratio=1_000))[0]) == 99_000
    assert envelope.form(b"]" * 100_000) is envelope.Form.SEQUENCE
