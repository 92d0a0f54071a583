"""What a text costs grows by its length, whatever is in it, and however often."""

import gzip
import time
from unittest.mock import Mock

import pytest

from tests.builders import ARRIVAL
from tests.cases import each
from tests.leaves import leaves, opened
from tests.properties.test_envelope import SEPARATORS
from tests.unit.udfs.test_compressions import streamed
from tests.unit.udfs.test_envelope_cost import A, too_many
from udfs import envelope, inflate
from udfs.envelope import Limits
from udfs.model import Reason

UNITS = {
    *SEPARATORS,
    *(b"\x1e", b"\x0c", b"\x0b", b"\0", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xbf"),
    *(b"data:", b"\ndata:", b":a\n", b"event: x\n", b"id: 7\r\n", b"retry:\n", b":\n", b"id:", b"\xef\xbb\xbf:"),
    *(b"\n ", b"\n\t[", b"]", b"[]", b"}", b"{", b'"', b"\\", b'\\"', b'{"a":', b"[{", b"x ", b"\x80 ", b"\n{,"),
    *(b"\n{", b',{"a', b'{"a', b'{"a":1 {"a":1 "', b'{"a":{"a":1,}', b'\n{"a":1,}', b'"a', b'["', b"\n["),
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


def test_the_larger_a_record_is_the_more_steps_it_may_take() -> None:
    assert opened(b"[]" * 100_000 + A) == ([A], [])
    assert opened(b"[]" * 320_000 + A) == ([], [too_many(300_000 + (640_000 + len(A)) // 2)])
    many = b"".join(b"[%b],\n" % (b'{"a":"%b"}' % (b"a" * 20)) for _ in range(99_000))
    assert len(opened(gzip.compress(many), Limits(ratio=1_000))[0]) == 99_000
    assert envelope.form(b"]" * 100_000) is envelope.Form.SEQUENCE


def test_thousands_of_broken_values_have_a_part_each() -> None:
    broken = b'{"a":x}'
    assert opened(gzip.compress(b"%b\n" % broken * 9_000 + A)) == ([broken] * 9_000 + [A], [])


@each("between", [b"", b"\n", b",", b"\x1f"])
def test_what_stands_in_a_row_is_tried_once_each(between: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Mock(side_effect=inflate.head)
    monkeypatch.setattr(inflate, "head", tried)
    for rows in (100, 400):
        tried.reset_mock()
        assert opened((streamed(A, -15) + between) * rows) == ([A] * rows, [])
        assert tried.call_count <= rows + 4
    assert opened(streamed(A, -15) * 400, Limits(steps=1_000))[1][0].reason is Reason.ENVELOPE_TOO_LARGE
