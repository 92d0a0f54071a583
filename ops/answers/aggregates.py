"""KPL aggregates of which the Kinesis connector drops records: found on the stream, and put there again.

The connector decides before the job sees a record (docs/decisions/0017), so that no dead letter tells of it. What
was dropped counts as mended once the same bytes stand on the stream as a record that the job is handed.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

from stores.stream import Record, Stream
from udfs import kpl


class Dropped(NamedTuple):
    """An aggregate on the stream of which the job does not see all."""

    shard: str
    sequence: str
    why: str
    records: int
    """all in it"""
    missing: list[kpl.Record]
    """those that stand nowhere else on the stream"""

    def __str__(self) -> str:
        """As a line says it."""
        missing = f"{len(self.missing):,} of {self.records:,} records"
        return f"{self.shard}:{self.sequence}: {missing} dropped by the connector: {self.why}"


def missing(stream: Stream) -> list[Dropped]:
    """Aggregates with records that the connector drops and that stand nowhere else; reads the stream, once more
    where there are some. Raises StoreError.
    """
    found = list(_dropped(stream.records()))
    if not found:
        return []
    wanted = {digest(record.data) for one in found for record in one.missing}
    there = {key for one in stream.records() for key in map(digest, _handed_over(one)) if key in wanted}
    return list(_without(found, there))


def _dropped(records: Iterable[Record]) -> Iterator[Dropped]:
    for one in records:
        inside = kpl.opened(one.data, one.hashes)
        if inside and inside.why:
            yield Dropped(one.shard, one.sequence, inside.why, len(inside.records), inside.dropped)


def _handed_over(record: Record) -> list[bytes]:
    """What the job is handed of a record, and the record itself where that is all of it."""
    inside = kpl.opened(record.data, record.hashes)
    if inside is None:
        return [record.data]
    handed = [one.data for one in inside.records[: inside.handed_over]]
    return handed if inside.why else [record.data, *handed]


def _without(found: Iterable[Dropped], there: set[bytes]) -> Iterator[Dropped]:
    for one in found:
        if left := [record for record in one.missing if digest(record.data) not in there]:
            yield one._replace(missing=left)


def digest(data: bytes) -> bytes:
    """What tells one record's bytes from another's."""
    return blake2b(data, digest_size=16).digest()


def note(inside: kpl.Opened) -> str:
    """What the connector makes of an aggregate, and what that depends on, for one who has only its bytes."""
    if inside.why:
        handed = f"{inside.handed_over:,} of its {len(inside.records):,} records"
        return f"The Kinesis connector opens it and hands over {handed}: {inside.why}."
    if not inside.records:
        return "The Kinesis connector opens it, and nothing is in it: the job gets nothing."
    keys = list(dict.fromkeys(one.place for one in inside.records))
    if len(keys) < 2:
        return f"The connector drops it on any shard but that of its {keys[0]}."
    shown = ", ".join(keys[:3]) + (" …" if len(keys) > 3 else "")
    return (
        f"Its records belong to shards by {len(keys):,} keys ({shown}): when one of them belongs to another "
        "shard of the stream, the connector drops all of it; amplitude-bridge ledger check --stream tells."
    )
