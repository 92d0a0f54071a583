"""Bytes made worse in the ways that senders and transports do it: pure functions of a `Random`.

Whatever `mutate` returns may still be a good record, a worse one, or none at all: that is for the rules to say.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeAlias

from lab.sample import envelopes

Mutator: TypeAlias = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""(rng, payload, donors: other payloads to take parts of) → the payload, changed."""

_HOSTILE: Final = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\0", b"\r\n\r\n", b" " * 5000),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"9" * 30, b"9" * 5000, b"-0", b"434735.0"),
    *(b'"app":100011471,', b'"app":434735,', b'"\\u0061pp":1,', b'"uuid":null,', b'"event_type":7,'),
    *(b'"event_type":"$identify",', b'"cohort_id":"c","users":[],', b'"user_id":"anonymous",'),
    *(b"\\ud83d", b"\\udc00", b"\\u0000", b"\\u00", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", "밤".encode()),
    *(b"9999-12-31 23:59:59-01:00", b"0001-01-01T00:00:00+09:00", b'{"a":' * 70, b"[" * 3000),
    *(b"\x1f\x8b\x08\x00", b"PK\x03\x04", envelopes.KPL_MAGIC),
)
"""What parsers stumble over."""
_ENCODINGS: Final = ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "euc-kr", "latin-1", "utf-7")


def mutate(rng: Random, payload: bytes, donors: Sequence[bytes]) -> bytes:
    """One to three changes in a row."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        payload = rng.choice(MUTATORS)(rng, payload, donors)
    return payload


def flip(rng: Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """A few bits the other way round."""
    changed = bytearray(payload)
    for _again in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Without its head, its tail or a stretch in the middle."""
    start, end = _stretch(rng, payload)
    return rng.choice((payload[start:], payload[:end], payload[:start] + payload[end:]))


def splice(rng: Random, payload: bytes, donors: Sequence[bytes]) -> bytes:
    """A stretch of another record, or the rest of one, in place of a stretch."""
    donor = rng.choice(donors) if donors else b""
    start, end = _stretch(rng, payload)
    head, tail = _stretch(rng, donor)
    return payload[:start] + rng.choice((donor[head:tail] + payload[end:], donor[head:]))


def poke(rng: Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Something hostile: anywhere, or where a field of the object may stand."""
    at = rng.randrange(len(payload) + 1)
    if rng.random() < 0.5:
        at = max(0, payload.find(b",", at) + 1)
    return payload[:at] + rng.choice(_HOSTILE) + payload[at:]


def reencode(rng: Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """The same text in another encoding, or the same JSON in another spelling."""
    text = payload.decode(errors="replace")
    if rng.random() < 0.5:
        return text.encode(rng.choice(_ENCODINGS), "replace")
    try:
        value = json.loads(text)
        return rng.choice(_SPELLINGS)(value).encode()
    except (ValueError, RecursionError):
        return text.encode("utf-16")


_SPELLINGS: Final[tuple[Callable[[object], str], ...]] = (
    json.dumps,
    lambda value: json.dumps(value, indent=1),
    lambda value: json.dumps(json.dumps(value)),
)


def wrap(rng: Random, payload: bytes, donors: Sequence[bytes]) -> bytes:
    """In an envelope, alone or between others."""
    others = [rng.choice(donors) for _ in range(rng.randrange(4))] if donors else []
    at = rng.randint(0, len(others))
    return rng.choice(_FORMS)([*others[:at], payload, *others[at:]])


_FORMS: Final[tuple[envelopes.Form, ...]] = (
    *envelopes.FORMS,
    lambda records: zlib.compress(b",\n".join(records)),
    b",\r\n\xef\xbb\xbf".join,
    lambda records: b"\n".join(map(envelopes.gzipped, records)),
    lambda records: b"\n".join([envelopes.array([one, *records]) for one in records]),
)
"""More than the sample has, with what people put between records."""


MUTATORS: Final[tuple[Mutator, ...]] = (flip, cut, splice, poke, reencode, wrap)


def _stretch(rng: Random, payload: bytes) -> tuple[int, int]:
    """Two places, often near each other."""
    start = rng.randint(0, len(payload))
    return start, min(len(payload), start + rng.choice((0, 1, 2, 9, 300, len(payload))))
