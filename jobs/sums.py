"""Counts in SQL, summed up over intervals."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from pyflink.table import StreamTableEnvironment, Table

AT_ONCE: Final = timedelta(seconds=1)
"""The counts of an interval come together: a second is enough to sum them up."""


def summed(
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


def dated(tables: StreamTableEnvironment, counts: Table, columns: dict[str, type]) -> Table:
    """Counts as their table has them."""
    names = ", ".join(f"`{name}`" for name in columns if name != "hour")
    return tables.sql_query(f"SELECT CAST(`hour` AS TIMESTAMP_LTZ(6)) AS `hour`, {names} FROM {counts}")  # noqa: S608
