"""Which events wait for their next attempt: the rows of `outbox` that no later attempt has settled."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from stores.lake import OUTBOX, Condition, Lake
from udfs.export.answers import State
from udfs.export.sender import Outcome

KEY: Final = ("project_id", "event_id", "attempt")
ERASED: Final = "erased"
"""The outcome of a row of `outbox` that `erase` has emptied: its event is never sent."""
_OVERDUE: Final = timedelta(minutes=10)
"""The alert `RedeliverGone` has the same limit."""


@dataclass(frozen=True)
class Waiting:
    """What waits for one project; times are aware, UTC."""

    project_id: int
    events: int
    since: datetime
    """arrival of the oldest one"""
    state: str
    """of the destination; empty when there is none"""
    why: str
    """what Amplitude said, or who paused it: of the destination, else what most of these events were answered"""
    due: datetime | None
    """when the next one is to be sent; None while the destination is stopped"""


def waiting(
    lake: Lake, since: datetime | None = None, until: datetime | None = None, outcome: str = Outcome.WAITING
) -> pa.Table:
    """The events that wait, the oldest first; with outcome `ERASED` those that waited when they were erased.

    Columns: `project_id`, `event_id`, `attempt` (the one that was made), `due`, `arrival`, `shard`, `words`. Only
    events are looked at that arrived `since` then, and before `until`. Raises StoreError.
    """
    columns = (*KEY, "outcome", "due", "arrival", "shard", "words")
    where = [Condition("arrival", ">=", since)] if since else []
    where += [Condition("arrival", "<", until)] if until else []
    return unsettled(lake.rows(OUTBOX, columns, where), outcome).drop_columns("outcome").sort_by("arrival")


def newest(lake: Lake, seconds: float) -> tuple[pa.Table, datetime | None]:
    """What waits, as far as can be read in some seconds: a day of arrivals at a time, the newest first.

    And the begin of what was read, None when that is all. Rows that settle an event have its arrival, so a day is
    whole. Raises StoreError.
    """
    begin, found, since = time.monotonic(), list[pa.Table](), None
    for day in lake.days(OUTBOX):
        if found and time.monotonic() - begin > seconds:
            return pa.concat_tables(found), since
        since = day
        found.insert(0, waiting(lake, day, day + timedelta(days=1)))
    return pa.concat_tables(found) if found else waiting(lake), None


def unsettled(rows: pa.Table, *outcomes: str) -> pa.Table:
    """The rows of `outbox` of one of these outcomes that no later attempt among them has settled."""
    settled = rows.select(KEY).filter(pc.field("attempt") > 0)
    settled = settled.set_column(2, "attempt", pc.subtract(settled["attempt"], 1))
    waits = rows.filter(pc.is_in(rows["outcome"], pa.array(map(str, outcomes), rows["outcome"].type)))
    return waits.join(settled, list(KEY), join_type="left anti")


def by_project(waits: pa.Table, states: Mapping[int, tuple[str, str]]) -> list[Waiting]:
    """What waits by project, most first; `states` has by project the destination's state and why."""
    found = [_of(project_id, _rows(waits, project_id), states) for project_id in projects(waits)]
    return sorted(found, key=lambda one: (-one.events, one.project_id))


def projects(waits: pa.Table) -> list[int]:
    """The projects for which events wait."""
    ids: list[int] = pc.unique(waits["project_id"]).to_pylist()
    return sorted(ids)


def overdue(found: Iterable[Waiting], now: datetime) -> list[Waiting]:
    """Those of whom an event should have been put on the stream again minutes ago."""
    return [one for one in found if one.due and now - one.due > _OVERDUE]


def _rows(waits: pa.Table, project_id: int) -> pa.Table:
    return waits.filter(pc.field("project_id") == project_id)


def _of(project_id: int, rows: pa.Table, states: Mapping[int, tuple[str, str]]) -> Waiting:
    state, why = states.get(project_id, ("", "there is no destination"))
    stopped = state not in {State.OK, State.THROTTLED}
    ((said, _),) = Counter(rows["words"].to_pylist()).most_common(1)
    return Waiting(
        project_id,
        len(rows),
        rows["arrival"][0].as_py(),
        state,
        why or said or "",
        None if stopped else pc.min(rows["due"]).as_py(),
    )
