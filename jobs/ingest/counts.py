"""Stages `count`, `ledger`, `event-counts`, `usage`: what became of records, in sums over intervals."""

from datetime import timedelta

from pyflink.table import StreamTableEnvironment, Table

from jobs.ingest.columns import written
from jobs.ingest.decode import Decoded
from jobs.ingest.ends import Ends
from jobs.ingest.first_copies import First
from jobs.sums import AT_ONCE, dated, summed
from udfs.model import EVENT_COUNT_COLUMNS, LEDGER_COLUMNS, TOTALS, Kind

_IS_METERED = f"kind IN ('{Kind.EVENT}', '{Kind.USER_UPDATE}')"
SUMS = "SUM(records) AS records, SUM(first_copies) AS first_copies"
"""What counts are summed up to."""


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
    return summed(tables, counted, [*_keys(LEDGER_COLUMNS), "name"], SUMS, interval)


def ledger(tables: StreamTableEnvironment, counts: Table) -> Table:
    """Counts of all names together, as the ledger has them."""
    return dated(tables, summed(tables, counts, _keys(LEDGER_COLUMNS), SUMS, AT_ONCE), LEDGER_COLUMNS)


def by_name(tables: StreamTableEnvironment, counts: Table, interval: timedelta) -> Table:
    """Counts by event name, of longer intervals: there are more names than projects."""
    named = tables.sql_query(f"SELECT * FROM {counts} WHERE name IS NOT NULL")  # noqa: S608
    whole = summed(tables, named, _keys(EVENT_COUNT_COLUMNS), SUMS, 6 * interval)
    return dated(tables, whole, EVENT_COUNT_COLUMNS)


def _metered(tables: StreamTableEnvironment, counts: Table) -> Table:
    """What each interval adds to the totals of a project's month: one row, however many shards it came from."""
    own = tables.sql_query(f"SELECT * FROM {counts} WHERE {_IS_METERED}")  # noqa: S608
    sums = ", ".join(
        f"SUM(CASE WHEN kind = '{kind}' THEN {count} ELSE 0 END) AS {name}"
        for name, (kind, count) in TOTALS.items()
    )
    return summed(tables, own, ["project_id", "month"], sums, AT_ONCE)


def totals(tables: StreamTableEnvironment, counts: Table, ends: Ends) -> Table:
    """Absolute totals per project and month, written after each interval in which something was counted."""
    sums = ", ".join(f"SUM({name}) AS {name}" for name in TOTALS)
    running = f"SELECT project_id, `month`, {sums} FROM {_metered(tables, counts)} GROUP BY project_id, `month`"  # noqa: S608
    return written(tables, "usage", ends.write_usage, ("project_id", "month", *TOTALS), f"({running})")


def _keys(columns: dict[str, type]) -> list[str]:
    return [name for name in columns if name not in {"records", "first_copies"}]
