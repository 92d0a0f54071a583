"""The graph of the ingest job, top to bottom. docs/architecture.md shows the same as a picture."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment, Table
from pyflink.table.types import DataType, RowType
from pyflink.table.udf import udf, udtf

from jobs.stages import Graph
from udfs.decode import Decode, DecodePart, Open
from udfs.model import DECODED, EVENT_COLUMNS, OPENED, Kind


class Ends(NamedTuple):
    """What a job is connected to; production and tests give their own."""

    records: Table
    """payload BYTES, arrival TIMESTAMP_LTZ(3), shard STRING, sequence STRING"""
    open_registry: Callable[[], Any]
    """opens the project registry on a worker"""
    event_store: str
    """table of the first copies of events; its columns, and those of the next three: `sinks.COLUMNS`"""
    user_updates: str
    """table of user updates as they came"""
    cohort_messages: str
    """table of cohort messages as they came"""
    dead_letters: str
    """table of the records that are not taken"""
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


class Decoded(NamedTuple):
    """All rows of `model.DECODED`: of records that hold one thing, and of the parts of those that hold several."""

    single: Table
    parts: Table

    def select(self, columns: str, condition: str) -> str:
        """A query over both; each side is filtered on its own, so that decode stays chained up to the shuffle."""
        return " UNION ALL ".join(f"SELECT {columns} FROM {side} WHERE {condition}" for side in self)  # noqa: S608


def build(env: StreamExecutionEnvironment, tables: StreamTableEnvironment, ends: Ends, rules: Rules) -> None:
    """Add the ingest job to `env`."""
    graph = Graph(tables, env)

    single = graph.stream("decode", "Records decoded and attributed", decode(tables, ends))
    parts = graph.stream("open", "Records out of envelopes, decoded and attributed", opened(tables, ends, single))
    decoded = Decoded(single, parts)
    copies = first_copies(tables, decoded)
    events = graph.stream("first-copy", "First copy of each event", copies, rules.dedupe_window)
    counts = graph.stream("count", "Records and events counted", partial_counts(tables, decoded, events, rules))
    totals = running_totals(tables, counts)

    graph.sink("event-store", "Events, each once", stored(tables, events), ends.event_store)
    graph.sink("user-updates", "User updates as they came", user_updates(tables, decoded), ends.user_updates)
    graph.sink("cohort-messages", "Cohort messages as they came", cohorts(tables, decoded), ends.cohort_messages)
    graph.sink("dead-letters", "Records that are not taken", dead_letters(tables, decoded), ends.dead_letters)
    graph.sink("usage", "Monthly totals per project", written(tables, totals, ends), ends.usage)


def decode(tables: StreamTableEnvironment, ends: Ends) -> Table:
    """Each record as one row of `model.DECODED`; the payload stays with those that are no event."""
    function = udf(Decode(ends.open_registry), result_type=row_type(DECODED), func_type="pandas")
    tables.create_temporary_function("decode_record", function)
    return tables.sql_query(f"""
        SELECT {_COLUMNS}, {_PAYLOAD}, arrival, shard, sequence, CAST(NULL AS BIGINT) AS sub_index
        FROM (SELECT decode_record(payload, arrival) AS r, payload, arrival, shard, sequence FROM {ends.records})
    """)  # noqa: S608


def opened(tables: StreamTableEnvironment, ends: Ends, decoded: Table) -> Table:
    """The parts of envelopes, each as one row of `model.DECODED` with its place in the envelope."""
    part = DataTypes.ROW([DataTypes.FIELD(name, _data_type(kind)) for name, kind in OPENED.items()])
    tables.create_temporary_function("open_envelope", udtf(Open(), result_types=part.field_types()))
    function = udf(DecodePart(ends.open_registry), result_type=row_type(DECODED), func_type="pandas")
    tables.create_temporary_function("decode_part", function)
    return tables.sql_query(f"""
        SELECT {_COLUMNS}, {_PAYLOAD}, arrival, shard, sequence, sub_index
        FROM (
            SELECT decode_part(part.payload, arrival, part.reason, part.detail) AS r, part.payload AS payload,
                arrival, shard, sequence, part.sub_index AS sub_index
            FROM {decoded} AS envelope,
                LATERAL TABLE(open_envelope(envelope.payload)) AS part(sub_index, payload, reason, detail)
            WHERE envelope.kind = '{Kind.ENVELOPE}'
        )
    """)  # noqa: S608


_COLUMNS = ", ".join(f"r.`{name}` AS `{name}`" for name in DECODED if name != "payload_head")
_LINEAGE = ("arrival", "shard", "sequence", "sub_index")
_STORED_LINEAGE = "CAST(arrival AS TIMESTAMP_LTZ(6)) AS arrival, shard, sequence, sub_index"
_IS_EVENT = f"kind = '{Kind.EVENT}'"
# events are in their columns; what is uploaded while a project is not linked is not to be kept
_PAYLOAD = f"""CASE
    WHEN r.kind IN ('{Kind.EVENT}', '{Kind.NOT_LINKED}') THEN CAST(NULL AS BYTES)
    WHEN r.payload_head IS NOT NULL THEN r.payload_head
    ELSE payload
END AS payload"""


def first_copies(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """The first copy of each event to arrive, by identity within its project."""
    columns = ", ".join(f"`{name}`" for name in (*EVENT_COLUMNS, *_LINEAGE))
    return tables.sql_query(f"""
        SELECT {columns}
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY project_id, identity_hash ORDER BY seen ASC) AS copy
            FROM ({decoded.select(f"identity_hash, {columns}, PROCTIME() AS seen", _IS_EVENT)})
        )
        WHERE copy = 1
    """)  # noqa: S608


def partial_counts(tables: StreamTableEnvironment, decoded: Decoded, events: Table, rules: Rules) -> Table:
    """Event records and distinct events of each usage interval, per project and month."""
    record = "project_id, `month`, CAST(1 AS BIGINT) AS records, CAST(0 AS BIGINT) AS events"
    counted = tables.sql_query(f"""
        SELECT *, PROCTIME() AS seen FROM (
            {decoded.select(record, _IS_EVENT)}
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
    columns = {name: f"`{name}`" for name in (*EVENT_COLUMNS, *_LINEAGE)}
    times = [name for name, kind in EVENT_COLUMNS.items() if kind is datetime]
    columns |= {name: f"CAST(`{name}` AS TIMESTAMP_LTZ(6)) AS `{name}`" for name in (*times, "arrival")}
    columns |= {"arrival": f"FALSE AS popup_trigger, {columns['arrival']}"}
    return tables.sql_query(f"SELECT {', '.join(columns.values())} FROM {events}")  # noqa: S608


def user_updates(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """User updates of registered projects, copies included."""
    columns = f"project_id, notifly_project, payload, {_STORED_LINEAGE}"
    return tables.sql_query(decoded.select(columns, f"kind = '{Kind.USER_UPDATE}'"))


def cohorts(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """Cohort messages, which name no project."""
    return tables.sql_query(decoded.select(f"payload, {_STORED_LINEAGE}", f"kind = '{Kind.COHORT}'"))


def dead_letters(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """What is not taken, with the reason and the bytes as they came."""
    columns = "kind, reason, detail, project_id, payload, payload_length, payload_sha256"
    return tables.sql_query(decoded.select(f"{columns}, {_STORED_LINEAGE}", "reason IS NOT NULL"))


def written(tables: StreamTableEnvironment, totals: Table, ends: Ends) -> Table:
    """Totals handed to the writer; what remains is the number it wrote."""
    function = udf(ends.write_usage, result_type=DataTypes.BIGINT(), func_type="pandas")
    tables.create_temporary_function("write_usage", function)
    return tables.sql_query(f"""
        SELECT write_usage(project_id, `month`, records, events) AS events FROM {totals}
    """)  # noqa: S608


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
