"""What the job makes of records that stand on the stream, by its own rules, and what of it is visible by now.

A record may hold several: an envelope, or an aggregate that the connector opens. Each of them is told of alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers.dead_letters import Handle
from ops.answers.outcomes import DROPPED
from stores.lake import COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Condition, Lake
from stores.registry import Registry
from stores.stream import Record
from udfs import kpl
from udfs.decode import decode, decode_part, opened
from udfs.intake import MacKeys
from udfs.model import DECODED, Kind, Row

PARTS: Final = 200
"""Of one record that are told of: one may hold 100,000."""
SAMPLE: Final = 4_096
"""Bytes of each that are kept to be shown."""
_AT: Final = {name: at for at, name in enumerate(DECODED)}
_UNKEPT: Final = {Kind.NOT_LINKED, Kind.FILTERED}
_TABLES: Final = {Kind.EVENT: EVENT_STORE, Kind.USER_UPDATE: USER_UPDATES, Kind.COHORT: COHORT_MESSAGES}


@dataclass(frozen=True)
class Judged:
    """A record, or a part of one, and what it is to the job."""

    arrival: datetime
    """aware, UTC"""
    shard: str
    sequence: str
    sub_index: int | None
    kind: str
    """of `Kind`, or `dropped` where the connector does not hand it over"""
    reason: str | None
    detail: str | None
    """why it is not taken, in words"""
    project_id: int | None
    """of the registry; None where it knows no owner"""
    name: str | None
    """of the event, as it is stored"""
    user_id: str | None
    repairs: str | None
    size: int
    """bytes"""
    sample: bytes | None
    """how it begins; None where the project's rules, or its not being linked, forbid to keep it"""

    @property
    def table(self) -> str:
        """Where it is stored."""
        return DEAD_LETTERS if self.reason else _TABLES[Kind(self.kind)]

    @property
    def handle(self) -> str:
        """Where it stands on the stream, as commands take it."""
        return str(Handle(self.shard, self.sequence, self.sub_index))


def judged(record: Record, registry: Registry, keys: MacKeys) -> Iterator[Judged]:
    """What the job makes of a record, or of its first parts; by the `keys` the intake's envelope is believed."""
    inside = kpl.opened(record.data, record.hashes)
    if inside is None:
        yield from _handed_over(record, record.data, registry, keys)
        return
    for number, one in enumerate(islice(inside.records, PARTS)):
        for found in _handed_over(record, one.data, registry, keys):
            yield found if number < inside.handed_over else _dropped(found, inside.why)


def _handed_over(record: Record, data: bytes, registry: Registry, keys: MacKeys) -> Iterator[Judged]:
    arrival = record.arrival.replace(tzinfo=None)
    row = decode(data, arrival, registry)
    if row[0] != Kind.ENVELOPE:
        yield _judged(record, None, data, row, registry)
        return
    for sub_index, part in enumerate(islice(opened(data, keys), PARTS)):
        row = decode_part(part.payload, part.fault, arrival, registry, part.key_project)
        yield _judged(record, sub_index, part.payload, row, registry)


def _judged(record: Record, sub_index: int | None, data: bytes, row: Row, registry: Registry) -> Judged:
    found = {name: row[at] for name, at in _AT.items()}
    project = registry.get(found["project_id"])
    ruled = project is not None and project.rules is not None and bool(project.rules.field_rules)
    kept = not ruled and found["kind"] not in _UNKEPT
    return Judged(
        record.arrival,
        record.shard,
        record.sequence,
        sub_index,
        project_id=project and project.project_id,
        size=len(data),
        sample=data[:SAMPLE] if kept else None,
        **{name: found[name] for name in ("kind", "reason", "detail", "name", "user_id", "repairs")},
    )


def _dropped(one: Judged, why: str | None) -> Judged:
    return replace(one, kind=DROPPED, reason=DROPPED, detail=why)


class Became(StrEnum):
    """What is visible of a record by now."""

    STORED = "stored"
    COPY = "copy"
    """of what was taken before: counted, and not stored"""
    NOT_TAKEN = "not taken"
    ON_ITS_WAY = "on its way"
    """rows become visible with the job's checkpoints; a copy too is told of only then"""


def became(lake: Lake, project_id: int, records: Sequence[Judged]) -> list[Became]:
    """What has become of records of one project, in their order. Raises StoreError.

    What is taken and not stored is a copy, once something that came behind it in its shard and is kept in the same
    table is stored: a table shows a shard's records in their order.
    """
    found: dict[str, set[tuple[str, int | None]]] = {}
    newest: dict[tuple[str, str], str] = {}
    for table in {one.table for one in records if not one.reason}:
        of = [one for one in records if not one.reason and one.table == table]
        found[table] = _stored(lake, table, project_id, of)
        for one in of:
            if (one.sequence, one.sub_index) in found[table]:
                place = table, one.shard
                newest[place] = max(newest.get(place, ""), one.sequence, key=_order)
    return [_became(one, found, newest) for one in records]


def _became(
    one: Judged, found: dict[str, set[tuple[str, int | None]]], newest: dict[tuple[str, str], str]
) -> Became:
    if one.reason:
        return Became.NOT_TAKEN
    if (one.sequence, one.sub_index) in found[one.table]:
        return Became.STORED
    behind = newest.get((one.table, one.shard), "")
    return Became.COPY if _order(behind) >= _order(one.sequence) else Became.ON_ITS_WAY


def _order(sequence: str) -> tuple[int, str]:
    """Sequence numbers are numbers of many digits, as texts."""
    return len(sequence), sequence


def _stored(lake: Lake, table: str, project_id: int, records: Sequence[Judged]) -> set[tuple[str, int | None]]:
    """Sequence number and part of those that a table has."""
    where = [
        Condition("arrival", ">=", min(one.arrival for one in records)),
        Condition("project_id", "=", project_id),
    ]
    wanted = pa.array({one.sequence for one in records}, pa.large_string())
    rows = (
        piece.filter(pc.is_in(piece["sequence"], value_set=wanted))
        for piece in lake.pieces(table, ("sequence", "sub_index"), where)
    )
    return {(row["sequence"], row["sub_index"]) for some in rows for row in some.to_pylist()}
