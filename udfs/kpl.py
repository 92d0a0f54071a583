"""Aggregates of the Kinesis Producer Library, and what the Flink connector hands the job of one.

The format is `aggregation-format.md` of awslabs/amazon-kinesis-producer; the connector's rule
is `UserRecord.deaggregate` of its jar (docs/decisions/0017), which tests/integration/test_sources.py asks itself.
"""

import re
from collections.abc import Callable, Iterator
from hashlib import md5
from typing import Final, NamedTuple

MAGIC: Final = b"\xf3\x89\x9a\xc2"
ALL_HASHES: Final = (0, 2**128 - 1)
"""The hash keys of the only shard of a stream, first and last."""
_NO_SHARD: Final = 10**4_000
_KEY_TABLE, _HASH_TABLE, _RECORDS = 1, 2, 3
_KEY, _HASH, _DATA, _TAG = 1, 2, 3, 4
_TAG_NAME = 1
_TAGS: Final = tuple(field << 3 | 2 for field in (_KEY_TABLE, _HASH_TABLE, _RECORDS))
_VARINT, _TEXT, _GROUP, _GROUP_END = 0, 2, 3, 4
_FIXED: Final = {1: 8, 5: 4}  # bytes of the protobuf types that have always as many
_GROUPS: Final = 100  # that lie in each other in a message; what holds the message counts as well
_NUMBER: Final = re.compile(r"[+-]?(?:(?![\U00010000-\U0010ffff])\d)+")
"""What Java's BigInteger reads: it takes the digits of any script, unless they need two of Java's characters."""


class AggregateError(Exception):
    """Bytes that begin like an aggregate and are none, in one line."""


class Record(NamedTuple):
    """A record of an aggregate, its partition key, and the hash key by which it belongs to a shard."""

    data: bytes
    key: str | None
    hash_key: int | None

    @property
    def place(self) -> str:
        """What says to which shard it belongs: an explicit hash key, else the partition key."""
        explicit = self.key is None or self.hash_key != int.from_bytes(_md5(self.key.encode()))
        if not explicit:
            return f"key {self.key!r}"
        return "hash key of thousands of digits" if self.hash_key == _NO_SHARD else f"hash key {self.hash_key}"


class Opened(NamedTuple):
    """The records of an aggregate, how many of them, from the first on, the job is handed, and why no more."""

    records: list[Record]
    handed_over: int
    why: str | None

    @property
    def dropped(self) -> list[Record]:
        """The records that the job never sees."""
        return self.records[self.handed_over :]


def opened(payload: bytes, hashes: tuple[int, int] = ALL_HASHES) -> Opened | None:
    """What the connector makes of a record on a shard with these hash keys; None when it hands it over whole.

    A record of another shard makes it drop the whole aggregate, one without a key all from there on.
    """
    try:
        records = _keyed(payload) if payload.startswith(MAGIC) and len(payload) > len(MAGIC) + 16 else None
    except AggregateError:
        return None
    if records is None:
        return None
    for number, one in enumerate(records):
        if one.hash_key is None:
            return Opened(records, number, f"record {number} names no partition key or hash key that is there")
        if not hashes[0] <= one.hash_key <= hashes[1]:
            return Opened(records, 0, f"record {number} belongs to another shard, by its {one.place}")
    return Opened(records, len(records), None)


def partition_key(payload: bytes) -> str | None:
    """The key under which an aggregate has to be put, for the connector to hand it over; None for all else."""
    inside = opened(payload)
    return inside.records[0].key if inside and inside.records else None


def is_whole(payload: bytes) -> bool:
    """Whether an aggregate ends where these bytes do: the last ones are the checksum of all before."""
    return len(payload) >= len(MAGIC) + 16 and _md5(payload[len(MAGIC) : -16]) == payload[-16:]


def end(payload: bytes, at: int, step: Callable[[], None]) -> int:
    """Where the aggregate ends that begins here: behind the first checksum that is right; else with the bytes.

    Only fields of a told length are passed over, which all of an aggregate's are. `step` counts them.
    """
    at += len(MAGIC)
    read = md5(usedforsecurity=False)
    try:
        while at < len(payload) and not payload.startswith(read.digest(), at):
            step()
            _, kind, value = _tag(payload, at)
            length, value = _varint(payload, value)
            if kind != _TEXT:
                return len(payload)
            read.update(payload[at : value + length])
            at = value + length
    except IndexError:
        return len(payload)
    return min(at + read.digest_size, len(payload))


def end_of_fields(payload: bytes, at: int, step: Callable[[], None]) -> int:
    """Where the checksum of an aggregate begins that is wrong, if all fields can be read; else the end of all.

    Where one cannot, it may be cut, and what stands behind may be taken for its own. `step` counts fields.
    """
    at += len(MAGIC)
    try:
        while payload[at] in _TAGS:
            tag, (length, value) = payload[at], _varint(payload, at + 1)
            at = value + length
            step()
            if tag == _TAGS[-1] and _DATA not in dict(_fields(payload[value:at], step=step)):
                return len(payload)
    except (IndexError, AggregateError):
        return len(payload)
    return at


def data(payload: bytes, step: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """The records' data, up to where the aggregate cannot be read. Raises AggregateError. `step` counts fields."""
    for number, record in _fields(_body(payload), step=step):
        if number == _RECORDS and isinstance(record, bytes):
            yield from (
                value
                for field, value in _fields(record, _GROUPS - 1, step)
                if field == _DATA and isinstance(value, bytes)
            )


def _keyed(payload: bytes) -> list[Record] | None:
    """The records with their keys; None where a field is missing that has to be there. Raises AggregateError."""
    tables: dict[int, list[bytes]] = {_KEY_TABLE: [], _HASH_TABLE: [], _RECORDS: []}
    for number, value in _fields(_body(payload)):
        if number in tables and isinstance(value, bytes):
            tables[number].append(value)
    keys, hash_keys = (
        [one.decode(errors="replace") for one in tables[name]] for name in (_KEY_TABLE, _HASH_TABLE)
    )
    records = [_record(list(_fields(spelled, _GROUPS - 1)), keys, hash_keys) for spelled in tables[_RECORDS]]
    return None if None in records else [one for one in records if one]


def _record(fields: list[tuple[int, int | bytes]], keys: list[str], hash_keys: list[str]) -> Record | None:
    """One record; None where it has no index of a key, no data, or a tag without a name."""
    texts = {number: value for number, value in fields if isinstance(value, bytes)}
    indexes = {number: value for number, value in fields if isinstance(value, int)}
    tags = (value for number, value in fields if number == _TAG and isinstance(value, bytes))
    if (
        _DATA not in texts
        or _KEY not in indexes
        or not all(_TAG_NAME in dict(_fields(tag, _GROUPS - 2)) for tag in tags)
    ):
        return None
    key = _at(keys, indexes[_KEY])
    if key is None or _HASH not in indexes:
        return Record(texts[_DATA], key, None if key is None else int.from_bytes(_md5(key.encode())))
    number = _NUMBER.fullmatch(_at(hash_keys, indexes[_HASH]) or "")
    return Record(texts[_DATA], key, _hash_key(number[0]) if number else None)


def _hash_key(number: str) -> int:
    """The number, or one that is no shard's: Python reads no more than 4 300 digits, and a hash has 39."""
    return int(number) if len(number) < 4_000 else _NO_SHARD


def _at(table: list[str], index: int) -> str | None:
    """An entry by its index, of which Java takes 32 bits, the highest for a sign."""
    index &= 2**32 - 1
    return table[index] if index < len(table) else None


def _body(payload: bytes) -> bytes:
    if not is_whole(payload):
        msg = "the checksum of the aggregate is wrong"
        raise AggregateError(msg)
    return payload[len(MAGIC) : -16]


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()


def _fields(
    message: bytes, groups: int = _GROUPS, step: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of a message's fields that are numbers or of a told length. Raises AggregateError.

    Groups, which no aggregate has, are passed over, as the connector does: each has an end of its own number, and
    at most so many are in each other.
    The protobuf library at hand (4.23, Beam's) ended the process with a segmentation fault on this format.
    """
    at = 0
    opened: list[int] = []
    try:
        while at < len(message) or opened:
            step()
            field, kind, at = _tag(message, at)
            value: int | bytes | None = None
            if kind == _GROUP:
                opened.append(field)
            elif kind == _GROUP_END and opened.pop() != field:
                raise IndexError
            elif kind == _VARINT:
                value, at = _varint(message, at)
            elif kind != _GROUP_END:
                length, at = _varint(message, at) if kind == _TEXT else (_FIXED[kind], at)
                value = message[at : at + length] if kind == _TEXT else None
                at += length
            if at > len(message) or len(opened) > groups:
                raise IndexError
            if value is not None and not opened:
                yield field, value
    except LookupError:
        msg = "the aggregate breaks off, or is no protobuf"
        raise AggregateError(msg) from None


def _tag(message: bytes, at: int) -> tuple[int, int, int]:
    """Number and type of the field that begins here, of which Java takes 32 bits, and where its value begins."""
    tag, at = _varint(message, at)
    tag &= 2**32 - 1
    if tag < 8:
        raise IndexError
    return tag >> 3, tag & 7, at


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that stands here, and where it ends."""
    number = shift = 0
    while shift < 64:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
    raise IndexError
