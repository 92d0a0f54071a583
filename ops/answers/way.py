"""The way of one record: on the stream, by the rules of the job, and into the rows that came of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ops.answers.dead_letters import Handle, find
from ops.answers.judged import Judged, judged
from ops.answers.trace import Row, trace
from settings import Settings
from stores.cohorts import Cohorts
from stores.errors import StoreError
from stores.lake import DEAD_LETTERS, Lake
from stores.projects import Projects
from stores.registry import registered
from stores.stream import Stream
from udfs.intake import MacKeys

_EARLIER: timedelta = timedelta(seconds=1)  # rows have the arrival in milliseconds


@dataclass(frozen=True)
class Way:
    """What is known of a record, or of one part of it."""

    arrival: datetime | None
    """aware; None where nothing is known of it"""
    retained: bool
    """whether the stream still has it"""
    parts: tuple[Judged, ...]
    """what the rules make of it now, if the stream has it"""
    rows: tuple[Row, ...]
    """of the tables"""


def way(settings: Settings, handle: Handle, project_id: int | None, since: datetime) -> Way:
    """The way of a record that arrived since then, as far as it is one project's; None: of all.

    Raises StoreError.
    """
    record = Stream(settings.stream_address).record(handle.shard, handle.sequence)
    parts: tuple[Judged, ...] = ()
    if record:
        tables = settings.tables_address
        registry = registered(Projects(tables), Cohorts(tables))
        found = judged(record, registry, MacKeys(settings.intake.mac_keys_file))
        parts = tuple(one for one in found if _is(one, handle, project_id))
        since = record.arrival - _EARLIER
    traced = trace(Lake(settings.lake_address), *handle, since)
    rows = tuple(row for row in traced if project_id in {None, row.get("project_id")})
    arrivals = [*(one.arrival for one in parts), *(row["arrival"] for row in rows)]
    return Way(min(arrivals, default=None), bool(parts), parts, rows)


def _is(one: Judged, handle: Handle, project_id: int | None) -> bool:
    return handle.sub_index in {None, one.sub_index} and project_id in {None, one.project_id}


def content(settings: Settings, handle: Handle, project_id: int | None, found: Way) -> bytes | None:
    """The bytes of what a way is about: of a dead letter as it is kept, else as the stream has it, its beginning.

    Several records of an aggregate have one place: nothing is told of those of other projects than the one named.

    None where neither may keep them. Raises StoreError.
    """
    letters: list[Any] = [row for row in found.rows if row["table"] == DEAD_LETTERS]
    if letters:
        try:
            kept: bytes | None = find(Lake(settings.lake_address), handle, project_id)["payload"]
        except StoreError:  # a record that is an envelope: each part is asked for alone
            kept = None
        if kept is not None:
            return kept
    return next((one.sample for one in found.parts if one.sample is not None), None)
