"""Aggregates as the KPL makes them, and as it does not."""

from collections.abc import Sequence
from hashlib import md5
from random import Random

MAGIC = b"\xf3\x89\x9a\xc2"


def aggregate_of(
    keys: Sequence[str], records: Sequence[tuple[int, int | None, bytes]], hash_keys: Sequence[str] = ()
) -> bytes:
    """Partition keys, (index of the key, index of the hash key, data) of each record, explicit hash keys."""
    body = b"".join(text(1, key.encode()) for key in keys) + b"".join(text(2, key.encode()) for key in hash_keys)
    return sealed(body + b"".join(text(3, record(*one)) for one in records))


def record(key: int, hash_key: int | None, data: bytes) -> bytes:
    return number(1, key) + (b"" if hash_key is None else number(2, hash_key)) + text(3, data)


def sealed(body: bytes) -> bytes:
    return MAGIC + body + md5(body, usedforsecurity=False).digest()


def text(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + varint(len(value)) + value


def number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + varint(value)


def group(field: int, times: int = 1) -> bytes:
    """Groups of that number in each other, a text within."""
    return bytes([field << 3 | 3]) * times + text(3, b"in a group") + bytes([field << 3 | 4]) * times


def varint(value: int) -> bytes:
    spelled = b""
    while value > 127:
        spelled, value = spelled + bytes([value & 127 | 128]), value >> 7
    return spelled + bytes([value])


def random_aggregate(rng: Random) -> bytes:
    """Records of two or three keys, some odd, in a body with a right checksum."""
    keys = rng.choice([["k0"], ["k0", "k2"], ["k0", "밤"], []])
    hash_keys = rng.choice([[], [], ["7"], ["+7", "-7"], ["undefined"], ["", "\uff17"], [str(2**127), " 1"]])
    tail = rng.choice(
        [b"", b"", number(9, 5), text(9, b"x"), b"\x49" + bytes(8), b"\x4d" + bytes(4), b"\x1a\x7f", group(9, 101)]
    )
    spelled = [text(1, key.encode()) for key in keys] + [text(2, key.encode()) for key in hash_keys]
    for at in range(rng.randrange(4)):
        parts = [number(1, rng.choice([0, 0, 0, 1, 2**32, 2**31]))] if rng.random() < 0.95 else []
        if hash_keys and rng.random() < 0.4:
            parts.append(number(2, rng.randrange(2)))
        if rng.random() < 0.95:
            parts.append(text(3, b"data %d" % at))
        parts += rng.choice(
            [[], [], [text(4, text(1, b"tag"))], [text(4, b"")], [text(3, b"again")], [number(3, 1)], [group(3)]]
        )
        rng.shuffle(parts)
        spelled.append(text(3, b"".join(parts)))
    rng.shuffle(spelled)
    return sealed(b"".join(spelled) + tail)


ONE = record(0, None, b"1")
GROUPS: dict[str, tuple[bytes, list[bytes] | None]] = {
    "in the aggregate": (text(3, ONE) + group(9), [b"1"]),
    "by the number of records": (group(3) + text(3, ONE), [b"1"]),
    "in a record": (text(3, group(3) + ONE + group(9, 99)), [b"1"]),
    "in a tag": (text(3, ONE + text(4, text(1, b"tag") + group(7, 98))), [b"1"]),
    "as many in each other as there may be": (text(3, ONE) + group(9, 100), [b"1"]),
    "too many in each other": (text(3, ONE) + group(9, 101), None),
    "too many in each other, in a record": (text(3, ONE + group(9, 100)), None),
    "too many in each other, in a tag": (text(3, ONE + text(4, text(1, b"tag") + group(7, 99))), None),
    "without an end": (text(3, ONE) + b"\x4b", None),
    "an end alone": (text(3, ONE) + b"\x4c", None),
    "an end of another": (text(3, ONE) + b"\x4b\x44", None),
    "a field without a number": (text(3, ONE) + b"\0\1", None),
    "a number beyond 32 bits": (text(3, ONE) + b"\xc8\x80\x80\x80\x10\1", [b"1"]),
}
"""Bodies with fields that no aggregate has, and what of them is handed over; None where it is no aggregate."""
