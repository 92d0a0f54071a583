"""Stages `count` and `ledger`: what became of events, in sums over intervals."""

from datetime import timedelta
from typing import Final

from pyflink.table import StreamTableEnvironment, Table

from jobs.sinks import EXPORT_COLUMNS
from jobs.sums import dated, summed
from stores.lake import EXPORT_LEDGER

_COLUMNS: Final = EXPORT_COLUMNS[EXPORT_LEDGER]


def counts(
    tables: StreamTableEnvironment, rendered: Table, sent: Table, delivered: Table, interval: timedelta
) -> Table:
    """Events by outcome, of each interval: what was read, first copies, and what became of these.

    A `redelivery` is of an event that waited. One that was refused and is put again is `due` and `first` with the
    reason why it was refused.
    """
    place = "FLOOR(arrival TO HOUR) AS `hour`, shard, project_id"
    waited = "attempt > 0 AND refused_for IS NULL AS redelivery"
    one = "CAST(1 AS BIGINT) AS events"
    counted = tables.sql_query(f"""
        SELECT {place}, attempt > 0 AND reason IS NULL AS redelivery, kind AS outcome, reason, {one}
        FROM {rendered}
        UNION ALL SELECT {place}, {waited}, 'first', refused_for, {one} FROM {sent}
        UNION ALL SELECT {place}, {waited}, outcome, reason, {one} FROM {delivered}
    """)  # noqa: S608
    keys = [name for name in _COLUMNS if name != "events"]
    return summed(tables, counted, keys, "SUM(events) AS events", interval)


def ledger(tables: StreamTableEnvironment, counts: Table) -> Table:
    """Counts as the export ledger has them."""
    return dated(tables, counts, _COLUMNS)
