"""What a text costs grows by its length, whatever is in it, and however often."""

import time

import pytest

from tests.builders import ARRIVAL
from tests.leaves import leaves
from tests.properties.test_envelope import SEPARATORS

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
