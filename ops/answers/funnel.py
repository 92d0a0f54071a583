"""What has become of one project's message events on their way to Amplitude, from the reading to the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from ops.answers.export_ledger import DUPLICATE, outcomes
from ops.answers.refused import conditions, refused
from ops.answers.waiting import ERASED
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, Condition, Lake
from udfs.export.answers import Refused
from udfs.export.render import Kind
from udfs.export.sender import Outcome

_MENDABLE: Final = {Refused.SILENCED, Refused.BLOCKED, Refused.REFUSED}
_ENDS: Final = (Outcome.ACCEPTED.value, Outcome.REFUSED.value, Outcome.WAITING.value, ERASED)


@dataclass(frozen=True)
class Funnel:
    """How many events came how far; each is in one of the four ends, and has been read once."""

    read: int
    """all but copies"""
    copies: int
    unsent: Mapping[str, int]
    """by reason: what is not sent, because the message event itself is wrong or has no destination"""
    ends: Mapping[str, int]
    """`accepted`, `refused`, `waiting` and `erased`"""
    refused: Mapping[str, int]
    """by reason: those that Amplitude has refused"""

    @property
    def sent(self) -> int:
        """Those that were sent at least once."""
        return sum(self.ends.values())


def funnel(lake: Lake, project_id: int) -> Funnel | None:
    """The funnel of a project; None where no export job has counted anything of it. Raises StoreError."""
    rows = [row for row in outcomes(lake) if row["project_id"] == project_id]
    if not rows:
        return None
    ends = {end: _sum(rows, end) for end in _ENDS}
    unsent = {row["reason"]: row["events"] for row in rows if row["outcome"] in {Kind.REJECTED, Kind.IGNORED}}
    by_reason = {row["reason"]: row["events"] for row in rows if row["outcome"] == Outcome.REFUSED}
    read = sum(ends.values()) + sum(unsent.values())
    return Funnel(read, _sum(rows, DUPLICATE), unsent, ends, by_reason)


def _sum(rows: Sequence[Mapping[str, Any]], outcome: str) -> int:
    return sum(row["events"] for row in rows if row["outcome"] == outcome)


@dataclass(frozen=True)
class Refusals:
    """Events whose last attempt Amplitude has refused for one reason; times of the events' arrival, aware."""

    reason: str
    events: int
    first: datetime
    last: datetime
    words: str
    """what Amplitude said to the newest of them"""
    sample: str
    """the newest of them, as it was sent; empty where it is not kept"""

    @property
    def mendable(self) -> bool:
        """Whether Amplitude may take them later, as they were frozen: not where the event itself is wrong."""
        return self.reason in _MENDABLE


def refusals(lake: Lake, project_id: int) -> list[Refusals]:
    """By reason the events of a project that could be put again, most first. Raises StoreError."""
    if not lake.exists(DELIVERIES):
        return []
    where = conditions(project_id, None, None)
    last = refused(lake, where)
    rows = _rows(lake, where, set(last))
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_reason.setdefault(last[row["event_id"]].reason, []).append(row)
    found = [_of_reason(lake, project_id, reason, some) for reason, some in by_reason.items()]
    return sorted(found, key=lambda one: (-one.events, one.reason))


def _rows(lake: Lake, where: list[Condition], ids: set[str]) -> list[dict[str, Any]]:
    """The newest refusal of each of these events, the oldest arrival first."""
    newest: dict[str, dict[str, Any]] = {}
    columns = ("event_id", "attempt", "arrival", "words")
    for piece in lake.pieces(DELIVERIES, columns, [*where, Condition("outcome", "=", Outcome.REFUSED.value)]):
        for row in piece.to_pylist():
            known = newest.get(row["event_id"])
            if row["event_id"] in ids and (known is None or row["attempt"] > known["attempt"]):
                newest[row["event_id"]] = row
    return sorted(newest.values(), key=lambda row: row["arrival"])


def _of_reason(lake: Lake, project_id: int, reason: str, rows: list[dict[str, Any]]) -> Refusals:
    newest = rows[-1]
    arrived = Condition("arrival", ">=", newest["arrival"])
    of = [Condition("project_id", "=", project_id), Condition("event_id", "=", newest["event_id"]), arrived]
    kept: pa.Table = lake.rows(EXPORT_DEAD_LETTERS, ("payload",), of, limit=1)
    payload = kept["payload"][0].as_py() if kept.num_rows else None
    sample = (payload or b"").decode(errors="replace")
    return Refusals(reason, len(rows), rows[0]["arrival"], newest["arrival"], newest["words"] or "", sample)
