"""What holds nothing counts as well, up to a bound that grows by the record's length."""

import gzip
from hashlib import md5

from tests.cases import each
from tests.leaves import opened
from udfs import kpl
from udfs.envelope import Limits
from udfs.model import Reason, Rejection

A = b'{"a":1}'


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


@each(("unit", "for_each_step"), EMPTY.values(), ids=EMPTY)
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


@each("body", [b"\x1a\0", b"\x1a\2\x20\1", b"\x20\1", b"\x35\0\0\0\0", field(3, field(3, b""))])
def test_empty_fields_of_aggregates_count(body: bytes) -> None:
    payload = gzip.compress(sealed(field(3, field(3, A)) + body * 1_500))
    assert opened(payload, Limits(steps=1_000)) == ([A], [too_many(1_000 + len(payload) // 2)])
    assert opened(payload, Limits(steps=100_000)) == ([A], [])
