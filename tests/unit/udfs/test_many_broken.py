"""Of a record with too many broken values those in a row are one part."""

import gzip
import json

import pytest

from tests.cases import each
from tests.leaves import opened
from udfs import envelope, values
from udfs.envelope import Limits, Part
from udfs.model import MAX_PAYLOAD_BYTES, Reason, Rejection

A, B = b'{"a":1}', b'{"a":{"b":2}}'
BAD = b'{"a":x}'
FEW = Limits(broken=4)
PRETTY = [json.dumps({"a": [number]}, indent=2).encode() for number in range(3)]


def together(pieces: int, data: bytes, words: int = 0) -> Part:
    what = "word or broken value" if words else "broken value"
    detail = f"{pieces} {what}{'s' if pieces > 1 else ''} in {len(data):,} bytes"
    reason = Reason.NOT_AN_OBJECT if words == pieces else Reason.INVALID_JSON
    return Part(data, Rejection(reason, f"{detail}: the record has too many for a dead letter each"))


BROKEN_PRETTY = PRETTY[0].replace(b"0", b"x")
CUT = b'{"a":[{"c":1},{"c":2'
MANY: dict[str, tuple[bytes, bytes, list[Part]]] = {
    "lines": (
        BAD,
        (b"%b\n" % BAD) * 7 + A + b"\n" + BAD + b"\n" + B,
        [together(4, b"\n".join([BAD] * 4)), Part(A), together(1, BAD), Part(B)],
    ),
    "a line": (
        BAD,
        b",".join([BAD] * 5 + [A, B, BAD, A]),
        [together(2, BAD + b"," + BAD), Part(A), Part(B), together(1, BAD), Part(A)],
    ),
    "an array": (
        BAD,
        b"[" + b", ".join([BAD] * 5 + [A, BAD, B]) + b"]",
        [together(2, BAD + b", " + BAD), Part(A), together(1, BAD), Part(B)],
    ),
    "values of several lines": (
        BROKEN_PRETTY,
        b"\n".join([BROKEN_PRETTY] * 5 + PRETTY),
        [together(2, BROKEN_PRETTY + b"\n" + BROKEN_PRETTY), *map(Part, PRETTY)],
    ),
    "before what is packed": (
        BAD,
        (b"%b\n" % BAD) * 5 + gzip.compress(A, mtime=0) + b"\n" + B,
        [together(2, BAD + b"\n" + BAD), Part(A), Part(B)],
    ),
    "of several members": (
        BAD,
        (b"%b\n" % BAD) * 3 + gzip.compress(gzip.compress((b"%b\n" % BAD) * 2), mtime=0) + b"\n" + A,
        [together(2, BAD + b"\n" + BAD), Part(A)],
    ),
    "words in an array": (
        b"1",
        b"[" + b"1," * 7 + A + b", 1\n]" + B,
        [together(4, b"1,1,1,1", 4), Part(A), together(1, b"1", 1), Part(B)],
    ),
    "with objects inside, cut": (CUT, CUT * 5 + A, [together(2, CUT * 2), Part(A)]),
}


@each(("broken", "payload", "parts"), MANY.values(), ids=MANY)
def test_beyond_a_bound_broken_values_in_a_row_are_one_part(
    broken: bytes, payload: bytes, parts: list[Part]
) -> None:
    expected = [*[Part(broken)] * 3, *parts]
    assert list(envelope.unpack(payload, FEW)) == expected
    assert list(envelope.unpack(gzip.compress(payload), FEW)) == expected
    apart = [part.payload for part in envelope.unpack(payload)]
    assert [one for one in apart if one != broken] == [part.payload for part in parts if not part.fault]


def test_a_long_broken_value_counts_as_several() -> None:
    for long in (b'{"a":"%b" x}' % (b"y" * 2_000), b'{"a":[%b] x}' % (b"[]," * 60 + b"[]")):
        parts = list(envelope.unpack(b"\n".join([long] * 4 + [A]), FEW))
        assert parts == [Part(long), together(3, b"\n".join([long] * 3)), Part(A)]


def test_a_dead_letter_keeps_all_bytes_of_such_a_part() -> None:
    parts = list(envelope.unpack((b'{"a":"%b" x}\n' % (b"y" * 100_000)) * 20, FEW))
    assert len(parts) == 4
    assert max(len(part.payload) for part in parts) <= MAX_PAYLOAD_BYTES
    assert sum(part.payload.count(b"x}") for part in parts) == 20


def test_beyond_a_bound_the_fields_of_server_sent_events_stand_as_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payload = b"id: 1\nevent: e\ndata: " + A + b"\n\n"
    monkeypatch.setattr(values, "_MOST_FIELDS", 2)
    assert opened(payload * 4) == ([A, A, b"id: 1\nevent: e", A, b"id: 1\nevent: e", A], [])
    assert opened(payload * 2) == ([A, A], [])
