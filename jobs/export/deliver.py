"""Stages `to-send`, `deliver`, `deliveries` and `outbox`: events to Amplitude, and what became of each."""

from typing import Final

from pyflink.table import StreamTableEnvironment, Table
from pyflink.table.udf import udf

from jobs.columns import row_type
from jobs.export.ends import Ends
from jobs.export.render import SENT
from udfs.export.sender import Outcome
from udfs.export.write_events import DELIVERED, WriteEvents

STORED_FIRST: Final = "CAST(arrival AS TIMESTAMP_LTZ(6)) AS arrival, shard, sequence"
"""Where an event came from first, as the lake has it."""


def to_send(tables: StreamTableEnvironment, sent: Table) -> Table:
    """Events queued for the sender."""
    return tables.sql_query(f"SELECT * FROM {sent}")  # noqa: S608


def deliver(tables: StreamTableEnvironment, line: Table, ends: Ends) -> Table:
    """Each event with what became of it."""
    function = udf(WriteEvents(ends.open_sender), result_type=row_type(DELIVERED), func_type="pandas")
    tables.create_temporary_function("send_event", function)
    columns = ", ".join(f"r.`{name}` AS `{name}`" for name in DELIVERED)
    names = ", ".join(SENT)
    return tables.sql_query(f"""
        SELECT {names}, {columns}
        FROM (SELECT {names}, send_event(project_id, event, attempt, arrival) AS r FROM {line})
    """)  # noqa: S608


def deliveries(tables: StreamTableEnvironment, delivered: Table) -> Table:
    """What became of each attempt to send an event."""
    return tables.sql_query(f"""
        SELECT project_id, event_id, attempt, outcome, reason, words,
            CAST(answered AS TIMESTAMP_LTZ(6)) AS answered, {STORED_FIRST}
        FROM {delivered}
    """)  # noqa: S608


def outbox(tables: StreamTableEnvironment, delivered: Table) -> Table:
    """The events that wait, and of each that waited what its next attempt came to."""
    waits, waited = f"outcome = '{Outcome.WAITING}'", "attempt > 0 AND refused_for IS NULL"
    return tables.sql_query(f"""
        SELECT project_id, event_id, attempt, outcome, CAST(due AS TIMESTAMP_LTZ(6)) AS due,
            CASE WHEN {waits} THEN event END AS event, words, {STORED_FIRST}
        FROM {delivered} WHERE {waits} OR ({waited})
    """)  # noqa: S608
