"""The graph of the ingest job, top to bottom. docs/architecture.md shows the same as a picture."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment, Table
from pyflink.table.types import DataType, RowType
from pyflink.table.udf import udf

from jobs.stages import Graph
from udfs.decode import Decode
from udfs.model import DECODED, EVENT_COLUMNS


class Ends(NamedTuple):
    """What a job is connected to; production and tests give their own."""

    records: Table
    """payload BYTES, arrival TIMESTAMP_LTZ(3), shard STRING, sequence STRING"""
    open_registry: Callable[[], Any]
    """opens the project registry on a worker"""
    event_store: str
    """table of the first copies of events, columns of `sinks.EVENT_STORE`"""
    dead_letters: str
    """table of the records that are no event, columns of `sinks.DEAD_LETTERS`"""
    write_usage: Any
    """vectorised function of project_id, month, records, events"""
    usage: str
    """table that takes what `write_usage` returns"""


class Rules(NamedTuple):
    """What of the settings shapes the graph."""

    dedupe_window: timedelta
    """how long the first copy of an event is remembered, from its arrival"""
    usage_interval: timedelta
    """how often totals are written, at most"""


def build(env: StreamExecutionEnvironment, tables: StreamTableEnvironment, ends: Ends, rules: Rules) -> None:
    """Add the ingest job to `env`."""
    graph = Graph(tables, env)

    decoded = graph.stream("decode", "Records decoded and attributed", decode(tables, ends))
    copies = first_copies(tables, decoded)
    events = graph.stream("first-copy", "First copy of each event", copies, rules.dedupe_window)
    counts = graph.stream("count", "Records and events counted", partial_counts(tables, decoded, events, rules))
    totals = running_totals(tables, counts)

    graph.sink("event-store", "Events, each once", stored(tables, events), ends.event_store)
    graph.sink("dead-letters", "Records that are no event", dead_letters(tables, decoded), ends.dead_letters)
    graph.sink("usage", "Monthly totals per project", written(tables, totals, ends), ends.usage)


def decode(tables: StreamTableEnvironment, ends: Ends) -> Table:
    """Each record as one row of `model.DECODED`; the payload stays with those that are no event."""
    function = udf(Decode(ends.open_registry), result_type=row_type(DECODED), func_type="pandas")
    tables.create_temporary_function("decode_record", function)
    columns = ", ".join(f"r.`{name}` AS `{name}`" for name in DECODED)
    return tables.sql_query(f"""
        SELECT {columns}, CASE WHEN r.kind <> 'event' THEN payload END AS payload, arrival, shard, sequence
        FROM (SELECT decode_record(payload, arrival) AS r, payload, arrival, shard, sequence FROM {ends.records})
    """)  # noqa: S608


def first_copies(tables: StreamTableEnvironment, decoded: Table) -> Table:
    """The first copy of each event to arrive, by identity within its project."""
    columns = ", ".join(f"`{name}`" for name in EVENT_COLUMNS)
    return tables.sql_query(f"""
        SELECT {columns}, arrival, shard, sequence
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY project_id, identity_hash ORDER BY seen ASC) AS copy
            FROM (SELECT *, PROCTIME() AS seen FROM {decoded} WHERE kind = 'event')
        )
        WHERE copy = 1
    """)  # noqa: S608


def partial_counts(tables: StreamTableEnvironment, decoded: Table, events: Table, rules: Rules) -> Table:
    """Event records and distinct events of each usage interval, per project and month."""
    counted = tables.sql_query(f"""
        SELECT *, PROCTIME() AS seen FROM (
            SELECT project_id, `month`, CAST(1 AS BIGINT) AS records, CAST(0 AS BIGINT) AS events
            FROM {decoded} WHERE kind = 'event'
            UNION ALL
            SELECT project_id, `month`, CAST(0 AS BIGINT), CAST(1 AS BIGINT) FROM {events}
        )
    """)  # noqa: S608
    tables.create_temporary_view("counted", counted)
    seconds = int(rules.usage_interval.total_seconds())
    return tables.sql_query(f"""
        SELECT project_id, `month`, SUM(records) AS records, SUM(events) AS events
        FROM TABLE(TUMBLE(TABLE counted, DESCRIPTOR(seen), INTERVAL '{seconds}' SECOND))
        GROUP BY window_start, window_end, project_id, `month`
    """)  # noqa: S608


def running_totals(tables: StreamTableEnvironment, counts: Table) -> Table:
    """Absolute totals per project and month, updated after each interval in which something was counted."""
    return tables.sql_query(f"""
        SELECT project_id, `month`, SUM(records) AS records, SUM(events) AS events
        FROM {counts} GROUP BY project_id, `month`
    """)  # noqa: S608


def stored(tables: StreamTableEnvironment, events: Table) -> Table:
    """Events as the event store has them, barred from triggering in-app and web popups."""
    times = {name: f"CAST(`{name}` AS TIMESTAMP_LTZ(6)) AS `{name}`" for name in _times(EVENT_COLUMNS)}
    columns = ", ".join(times.get(name, f"`{name}`") for name in EVENT_COLUMNS)
    return tables.sql_query(f"""
        SELECT {columns}, FALSE AS popup_trigger, CAST(arrival AS TIMESTAMP_LTZ(6)) AS arrival, shard, sequence
        FROM {events}
    """)  # noqa: S608


def dead_letters(tables: StreamTableEnvironment, decoded: Table) -> Table:
    """What is no event, with the reason and the bytes as they came."""
    return tables.sql_query(f"""
        SELECT kind, reason, detail, project_id, payload,
            CAST(arrival AS TIMESTAMP_LTZ(6)) AS arrival, shard, sequence
        FROM {decoded} WHERE kind <> 'event'
    """)  # noqa: S608


def written(tables: StreamTableEnvironment, totals: Table, ends: Ends) -> Table:
    """Totals handed to the writer; what remains is the number it wrote."""
    function = udf(ends.write_usage, result_type=DataTypes.BIGINT(), func_type="pandas")
    tables.create_temporary_function("write_usage", function)
    return tables.sql_query(f"""
        SELECT write_usage(project_id, `month`, records, events) AS events FROM {totals}
    """)  # noqa: S608


def _times(columns: dict[str, type]) -> list[str]:
    return [name for name, kind in columns.items() if kind is datetime]


def row_type(columns: dict[str, type]) -> RowType:
    """Columns as the type of a Python function's result."""
    return DataTypes.ROW([DataTypes.FIELD(name, _data_type(kind)) for name, kind in columns.items()])


def _data_type(kind: type) -> DataType:
    # microseconds: Arrow carries them, and Flink takes them inside a ROW
    return {
        str: DataTypes.STRING(),
        dict: DataTypes.STRING(),
        int: DataTypes.BIGINT(),
        float: DataTypes.DOUBLE(),
        bytes: DataTypes.BYTES(),
        datetime: DataTypes.TIMESTAMP(6),
    }[kind]
