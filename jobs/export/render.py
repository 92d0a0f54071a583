"""Stages `render` and `first-sent`: the events of each record, an attempt to send each once."""

from typing import Final

from pyflink.table import StreamTableEnvironment, Table
from pyflink.table.udf import udf

from jobs.columns import row_type
from jobs.export.ends import Ends
from udfs.export.functions import Render
from udfs.export.render import FURTHER, RENDERED, Kind

_HEAD: Final = ("kind", "detail", "event_id", "attempt", "payload", "payload_length")
_FIRST: Final = """
    COALESCE(CAST(first_arrival AS TIMESTAMP_LTZ(3)), arrival) AS arrival,
    COALESCE(first_shard, shard) AS shard, COALESCE(first_sequence, sequence) AS sequence
"""
_REASON: Final = f"CASE WHEN kind = '{Kind.DUE}' AND place > 1 THEN '{FURTHER}' ELSE reason END AS reason"
_SENT: Final = ("project_id", "event_id", "attempt", "event", "arrival", "shard", "sequence")
SENT: Final = (*_SENT, "refused_for")
"""The columns of an event that is to be sent; `refused_for`: why the attempt before was refused, if it was."""


def render(tables: StreamTableEnvironment, ends: Ends) -> Table:
    """Each event of each record as a row of its own; a record without one is a row too."""
    function = udf(Render(ends.open_routes, ends.set_back), result_type=row_type(RENDERED), func_type="pandas")
    tables.create_temporary_function("render_record", function)
    columns = ", ".join(f"r.`{name}` AS `{name}`" for name in RENDERED)
    return tables.sql_query(f"""
        SELECT {", ".join(_HEAD)}, {_FIRST}, {_REASON},
            project_ids[CAST(place AS INT)] AS project_id, events[CAST(place AS INT)] AS event
        FROM (
            SELECT {columns}, arrival, shard, sequence
            FROM (SELECT render_record(payload, arrival) AS r, arrival, shard, sequence FROM {ends.records})
        ) AS record CROSS JOIN UNNEST(record.places) AS of_project(place)
    """)  # noqa: S608


def first_sent(tables: StreamTableEnvironment, rendered: Table) -> Table:
    """The first copy of each attempt to send an event to a project."""
    due = f"{', '.join(_SENT)}, CASE WHEN attempt > 0 THEN reason END AS refused_for"
    return tables.sql_query(f"""
        SELECT {", ".join(SENT)}
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY project_id, event_id, attempt ORDER BY seen ASC) AS copy
            FROM (SELECT {due}, PROCTIME() AS seen FROM {rendered} WHERE kind = '{Kind.DUE}' AND detail IS NULL)
        )
        WHERE copy = 1
    """)  # noqa: S608
