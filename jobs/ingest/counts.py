"""Stages `count`, `ledger`, `event-counts`, `usage`: what became of records, in sums over intervals."""

from collections.abc import Sequence
from datetime import timedelta

from pyflink.table import StreamTableEnvironment, Table

from jobs.ingest.columns import written
from jobs.ingest.decode import Decoded
from jobs.ingest.ends import Ends
from jobs.ingest.first_copies import First
from udfs.model import EVENT_COUNT_COLUMNS, LEDGER_COLUMNS, TOTALS, Kind

_IS_METERED = f"kind IN ('{Kind.EVENT}', '{Kind.USER_UPDATE}')"
SUMS = "SUM(records) AS records, SUM(first_copies) AS first_copies"
"""What counts are summed up to."""
_AT_ONCE = timedelta(seconds=1)
"""The counts of an interval come together: a second is enough to sum them up."""


def partial_counts(tables: StreamTableEnvironment, decoded: Decoded, first: First, interval: timedelta) -> Table:
    """Records by outcome and name, and first copies, of each interval."""

    def ones(records: int, copies: int, *others: str) -> str:
        counts = f"CAST({records} AS BIGINT) AS records, CAST({copies} AS BIGINT) AS first_copies"
        place = "FLOOR(arrival TO HOUR) AS `hour`, shard, sub_index IS NOT NULL AS part, project_id"
        return f"{place}, {', '.join(others)}, {counts}"

    nothing, number = "CAST(NULL AS STRING)", "CAST(NULL AS BIGINT)"
    rung = f"CASE WHEN {_IS_METERED} THEN identity_rung END AS identity_rung"
    # a name may have megabytes, and each is a key
    name = "SUBSTRING(name FROM 1 FOR 1000) AS name"
    copy = ones(0, 1, "`month`", "kind", f"{nothing} AS reason", "identity_rung", name)
    message = ones(0, 1, f"{nothing} AS `month`", f"'{Kind.COHORT}' AS kind", nothing, number, nothing)
    counted = tables.sql_query(f"""
        {decoded.select(ones(1, 0, "`month`", "kind", "reason", rung, name), "TRUE")}
        UNION ALL SELECT {copy} FROM {first.named}
        UNION ALL SELECT {copy} FROM {first.unnamed}
        UNION ALL SELECT {message} FROM {first.messages}
    """)  # noqa: S608
    return _summed(tables, counted, [*_keys(LEDGER_COLUMNS), "name"], SUMS, interval)


def ledger(tables: StreamTableEnvironment, counts: Table) -> Table:
    """Counts of all names together, as the ledger has them."""
    return _dated(tables, _summed(tables, counts, _keys(LEDGER_COLUMNS), SUMS, _AT_ONCE), LEDGER_COLUMNS)


def by_name(tables: StreamTableEnvironment, counts: Table, interval: timedelta) -> Table:
    """Counts by event name, of longer intervals: there are more names than projects."""
    named = tables.sql_query(f"SELECT * FROM {counts} WHERE name IS NOT NULL")  # noqa: S608
    whole = _summed(tables, named, _keys(EVENT_COUNT_COLUMNS), SUMS, 6 * interval)
    return _dated(tables, whole, EVENT_COUNT_COLUMNS)


def _metered(tables: StreamTableEnvironment, counts: Table) -> Table:
    """What each interval adds to the totals of a project's month: one row, however many shards it came from."""
    own = tables.sql_query(f"SELECT * FROM {counts} WHERE {_IS_METERED}")  # noqa: S608
    sums = ", ".join(
        f"SUM(CASE WHEN kind = '{kind}' THEN {count} ELSE 0 END) AS {name}"
        for name, (kind, count) in TOTALS.items()
    )
    return _summed(tables, own, ["project_id", "month"], sums, _AT_ONCE)


def totals(tables: StreamTableEnvironment, counts: Table, ends: Ends) -> Table:
    """Absolute totals per project and month, written after each interval in which something was counted."""
    sums = ", ".join(f"SUM({name}) AS {name}" for name in TOTALS)
    running = f"SELECT project_id, `month`, {sums} FROM {_metered(tables, counts)} GROUP BY project_id, `month`"  # noqa: S608
    return written(tables, "usage", ends.write_usage, ("project_id", "month", *TOTALS), f"({running})")


def _summed(
    tables: StreamTableEnvironment, counts: Table, keys: Sequence[str], sums: str, interval: timedelta
) -> Table:
    """Counts summed up by their keys over each interval."""
    names = ", ".join(f"`{name}`" for name in keys)
    seconds = int(interval.total_seconds())
    timed = tables.sql_query(f"SELECT *, PROCTIME() AS seen FROM {counts}")  # noqa: S608
    return tables.sql_query(f"""
        SELECT {names}, {sums}
        FROM TABLE(TUMBLE(TABLE {timed}, DESCRIPTOR(seen), INTERVAL '{seconds}' SECOND))
        GROUP BY window_start, window_end, {names}
    """)  # noqa: S608


def _keys(columns: dict[str, type]) -> list[str]:
    return [name for name in columns if name not in {"records", "first_copies"}]


def _dated(tables: StreamTableEnvironment, counts: Table, columns: dict[str, type]) -> Table:
    """Counts as their table has them."""
    names = ", ".join(f"`{name}`" for name in columns if name != "hour")
    return tables.sql_query(f"SELECT CAST(`hour` AS TIMESTAMP_LTZ(6)) AS `hour`, {names} FROM {counts}")  # noqa: S608
