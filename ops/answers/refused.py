"""Which message events Amplitude has refused for good: those whose last attempt it refused."""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stores.lake import DELIVERIES, Condition, Lake
from udfs.export.sender import Outcome


class Refusal(NamedTuple):
    """The last attempt to send an event."""

    attempt: int
    reason: str
    """of `udfs.export.answers.Refused`"""


def conditions(project_id: int, since: datetime | None, until: datetime | None) -> list[Condition]:
    """What rows of the export job's tables meet whose events arrived first in that time."""
    bounds = [Condition("arrival", ">=", since), Condition("arrival", "<", until)]
    return [Condition("project_id", "=", project_id), *(one for one in bounds if one.value)]


def refused(lake: Lake, where: list[Condition], reason: str | None = None) -> dict[str, Refusal]:
    """By event of one project its refusal, if no later attempt was made; only for that reason, if one is named.

    Raises StoreError.
    """
    last: dict[str, Refusal] = {}
    columns = ("event_id", *Refusal._fields)
    for piece in lake.pieces(DELIVERIES, columns, [*where, Condition("outcome", "=", Outcome.REFUSED.value)]):
        for event_id, *found in zip(*(piece[name].to_pylist() for name in columns), strict=True):
            one = Refusal._make(found)
            last[event_id] = max(one, last.get(event_id, one))
    ids = pa.array(last, pa.large_string())
    for piece in lake.pieces(DELIVERIES, ("event_id", "attempt"), [*where, Condition("attempt", ">=", 1)]):
        later = piece.filter(pc.is_in(piece["event_id"], ids))
        for event_id, attempt in zip(later["event_id"].to_pylist(), later["attempt"].to_pylist(), strict=True):
            if event_id in last and attempt > last[event_id].attempt:
                del last[event_id]
    return {event_id: one for event_id, one in last.items() if reason in {None, one.reason}}
