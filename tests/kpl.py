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


def varint(value: int) -> bytes:
    spelled = b""
    while value > 127:
        spelled, value = spelled + bytes([value & 127 | 128]), value >> 7
    return spelled + bytes([value])


def random_aggregate(rng: Random) -> bytes:
    """Records of two or three keys, some odd, in a body with a right checksum."""
    keys = rng.choice([["k0"], ["k0", "k2"], ["k0", "밤"], []])
    hash_keys = rng.choice([[], [], ["7"], ["+7", "-7"], ["undefined"], ["", "\uff17"], [str(2**127), " 1"]])
    tail = rng.choice([b"", b"", number(9, 5), text(9, b"x"), b"\x49" + bytes(8), b"\x4d" + bytes(4), b"\x1a\x7f"])
    spelled = [text(1, key.encode()) for key in keys] + [text(2, key.encode()) for key in hash_keys]
    for at in range(rng.randrange(4)):
        parts = [number(1, rng.choice([0, 0, 0, 1, 2**32, 2**31]))] if rng.random() < 0.95 else []
        if hash_keys and rng.random() < 0.4:
            parts.append(number(2, rng.randrange(2)))
        if rng.random() < 0.95:
            parts.append(text(3, b"data %d" % at))
        parts += rng.choice(
            [[], [], [text(4, text(1, b"tag"))], [text(4, b"")], [text(3, b"again")], [number(3, 1)]]
        )
        rng.shuffle(parts)
        spelled.append(text(3, b"".join(parts)))
    rng.shuffle(spelled)
    return sealed(b"".join(spelled) + tail)
