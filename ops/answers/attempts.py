"""What became of one message event on its way to a project: each attempt to send it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stores.lake import DELIVERIES, OUTBOX, Condition, Lake
from udfs.export.answers import UNSENT

_ATTEMPT: Final = ("attempt", "outcome", "reason", "words", "answered", "arrival", "shard", "sequence")


@dataclass(frozen=True)
class Attempt:
    """One attempt; times are aware, UTC."""

    attempt: int
    """0 at first"""
    outcome: str
    """of `udfs.export.sender.Outcome`"""
    reason: str | None
    """why it was refused or waits: docs/data.md"""
    words: str | None
    """what Amplitude said, or who paused the destination"""
    answered: datetime
    arrival: datetime
    """Kinesis' clock when the event arrived first, and the two that follow: where"""
    shard: str
    sequence: str
    due: datetime | None
    """when the attempt after it is due; None where none is due by a clock, or it was made"""


def attempts(lake: Lake, project_id: int, event_id: str) -> list[Attempt]:
    """The attempts to send an event to a project, the first one first. Raises StoreError."""
    where = [Condition("project_id", "=", project_id), Condition("event_id", "=", event_id)]
    rows = lake.rows(DELIVERIES, _ATTEMPT, where).sort_by("attempt").to_pylist()
    waits = lake.rows(OUTBOX, ("attempt", "due"), where).to_pylist()
    last = rows[-1] if rows else {}
    by_clock = last.get("reason") not in UNSENT
    due = {one["attempt"]: one["due"] for one in waits if one["attempt"] == last.get("attempt") and by_clock}
    return [Attempt(**row, due=due.get(row["attempt"])) for row in rows]
