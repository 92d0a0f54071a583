"""Stage `dead-letters`: what will never be in Amplitude."""

from pyflink.table import StreamTableEnvironment, Table

from jobs.export.deliver import STORED_FIRST
from udfs.export.render import Kind
from udfs.export.sender import Outcome


def dead_letters(tables: StreamTableEnvironment, rendered: Table, delivered: Table) -> Table:
    """Records that are no message events, and events that Amplitude has refused, with the reason and the bytes."""
    refused = f"""
        SELECT '{Outcome.REFUSED}', reason, words, project_id, event_id, event,
            CAST(NULL AS BIGINT), {STORED_FIRST}
        FROM {delivered} WHERE outcome = '{Outcome.REFUSED}'
    """  # noqa: S608
    return tables.sql_query(f"""
        SELECT kind, reason, detail, project_id, event_id, payload, payload_length, {STORED_FIRST}
        FROM {rendered} WHERE kind = '{Kind.REJECTED}'
        UNION ALL {refused}
    """)  # noqa: S608
