"""What the tables have of one record of the stream.

All that is stored carries the shard and the sequence number of its record. The event store is not sorted by these,
so the files to look at are found by the time of arrival.
"""

from datetime import datetime
from typing import Any, Final

from stores.lake import COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Condition, Lake

_LOOKED_FOR: Final = {
    EVENT_STORE: ("project_id", "name", "identity", "month", "repairs"),
    USER_UPDATES: ("project_id", "name", "user_id", "repairs"),
    COHORT_MESSAGES: ("project_id",),
    DEAD_LETTERS: ("project_id", "kind", "reason", "detail"),
}

Row = dict[str, Any]
"""A row of one of these tables, without what it does not have, and `table`."""


def trace(lake: Lake, shard: str, sequence: str, sub_index: int | None, since: datetime) -> list[Row]:
    """The rows of a record that arrived since then, or of one part of it, part by part. Raises StoreError."""
    where = [
        Condition("arrival", ">=", since),
        Condition("shard", "=", shard),
        Condition("sequence", "=", sequence),
        *([] if sub_index is None else [Condition("sub_index", "=", sub_index)]),
    ]
    rows = [
        {"table": table, **{name: row[name] for name in wanted if row[name] is not None}}
        for table, columns in _LOOKED_FOR.items()
        for wanted in (("sub_index", *columns, "arrival"),)
        for row in lake.rows(table, wanted, where).to_pylist()
    ]
    return sorted(rows, key=lambda row: row.get("sub_index", -1))
