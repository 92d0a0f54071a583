"""Stages `count` and `ledger`: what became of events, in sums over intervals."""

from datetime import timedelta
from typing import Final

from pyflink.table import StreamTableEnvironment, Table

from jobs.sinks import EXPORT_COLUMNS
from jobs.sums import dated, summed
from stores.lake import EXPORT_LEDGER

_COLUMNS: Final = EXPORT_COLUMNS[EXPORT_LEDGER]
_NO_REASON: Final = "CAST(NULL AS STRING)"


def counts(
    tables: StreamTableEnvironment, rendered: Table, sent: Table, delivered: Table, interval: timedelta
) -> Table:
    """Events by outcome, of each interval: what was read, first copies, and what became of these."""
    place = "FLOOR(arrival TO HOUR) AS `hour`, shard, project_id, attempt > 0 AS redelivery"
    one = "CAST(1 AS BIGINT) AS events"
    counted = tables.sql_query(f"""
        SELECT {place}, kind AS outcome, reason, {one} FROM {rendered}
        UNION ALL SELECT {place}, 'first', {_NO_REASON}, {one} FROM {sent}
        UNION ALL SELECT {place}, outcome, reason, {one} FROM {delivered}
    """)  # noqa: S608
    keys = [name for name in _COLUMNS if name != "events"]
    return summed(tables, counted, keys, "SUM(events) AS events", interval)


def ledger(tables: StreamTableEnvironment, counts: Table) -> Table:
    """Counts as the export ledger has them."""
    return dated(tables, counts, _COLUMNS)
