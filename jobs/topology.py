"""The graph of the ingest job, top to bottom. docs/architecture.md shows the same as a picture."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment, Table
from pyflink.table.types import DataType, RowType
from pyflink.table.udf import udf, udtf

from jobs.counts import TOTALS, by_name, ledger, metered, partial_counts
from jobs.stages import Graph
from udfs.decode import CohortChanges, Decode, DecodePart, Open
from udfs.model import (
    COHORT_COLUMNS,
    DECODED,
    EVENT_COLUMNS,
    OPENED,
    Kind,
)

CONTENT_WINDOW = timedelta(hours=6)
"""How long a user update without an id is remembered by its content: past Amplitude's 4 h of retries, and not much
longer, because two honest updates may be equal (contract §8.1)."""


class Ends(NamedTuple):
    """What a job is connected to; production and tests give their own."""

    records: Table
    """payload BYTES, arrival TIMESTAMP_LTZ(3), shard STRING, sequence STRING"""
    open_registry: Callable[[], Any]
    """opens the project registry on a worker"""
    event_store: str
    """table of the first copies of events; its columns, and those of the next six: `sinks.COLUMNS`"""
    user_updates: str
    """table of the first copies of user updates"""
    cohort_messages: str
    """table of cohort messages as they came"""
    cohort_changes: str
    """table of the users in first copies of cohort messages"""
    dead_letters: str
    """table of the records that are not taken"""
    ledger: str
    """table of the counts of all records by outcome"""
    event_counts: str
    """table of the same counts by the name of the event"""
    write_usage: Any
    """vectorised function of project_id, month, records, events, update_records, updates"""
    write_profiles: Any
    """vectorised function of `PROFILE_COLUMNS`"""
    write_members: Any
    """vectorised function of `MEMBER_COLUMNS`"""
    written: Callable[[str], str]
    """a table that takes what a writer of this name returns"""
    gap_shards: int = 0
    """of so many shards records may have expired before this start"""


PROFILE_COLUMNS = (
    *("project_id", "user_id", "device_id", "amplitude_id", "kind", "name", "identity_hash", "server_upload_time"),
    *("processed_time", "event_id", "arrival", "sequence", "sub_index", "user_properties"),
)
"""What merging into a profile needs of a user update, or of an event; times as text."""
MEMBER_COLUMNS = ("project_id", "cohort_id", "cohort_name", "in_cohort", "computed_time", "user_id")
"""What a membership is; `computed_time` as text."""


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


class First(NamedTuple):
    """First copies."""

    named: Table
    """of events, and of user updates that have an id"""
    unnamed: Table
    """of user updates that only their content names"""
    messages: Table
    """of cohort messages"""


def build(env: StreamExecutionEnvironment, tables: StreamTableEnvironment, ends: Ends, rules: Rules) -> None:
    """Add the ingest job to `env`."""
    graph, interval = Graph(tables, env), rules.usage_interval

    single = graph.stream("decode", "Records decoded and attributed", decode(tables, ends))
    parts = graph.stream("open", "Records out of envelopes, decoded and attributed", opened(tables, ends, single))
    decoded = Decoded(single, parts)
    copies = graph.stream(
        "first-copy", "First copy of each event and update", first_copies(tables, decoded), rules.dedupe_window
    )
    unnamed = graph.stream(
        "first-content", "First copy of updates without an id", first_contents(tables, decoded), CONTENT_WINDOW
    )
    messages = graph.stream(
        "first-message", "First copy of each cohort message", first_messages(tables, decoded), rules.dedupe_window
    )
    first = First(copies, unnamed, messages)
    changes = graph.stream(
        "change", "Users who enter or leave a cohort", cohort_changes(tables, messages), queued=True
    )
    due = graph.stream(
        "profile-updates", "Updates in line for profiles", profile_updates(tables, first), queued=True
    )
    counts = graph.stream("count", "Records counted by outcome", partial_counts(tables, decoded, first, interval))

    graph.sink("event-store", "Events, each once", stored(tables, copies), ends.event_store)
    graph.sink("user-updates", "User updates, each once", updates(tables, first), ends.user_updates)
    graph.sink("cohort-messages", "Cohort messages as they came", cohorts(tables, decoded), ends.cohort_messages)
    graph.sink("cohort-changes", "Users of cohort messages", membership(tables, changes), ends.cohort_changes)
    graph.sink("dead-letters", "Records that are not taken", dead_letters(tables, decoded), ends.dead_letters)
    graph.sink("ledger", "Counts of all records", ledger(tables, counts), ends.ledger)
    graph.sink("event-counts", "Counts by event name", by_name(tables, counts, interval), ends.event_counts)
    graph.sink("usage", "Monthly totals per project", totals(tables, counts, ends), ends.written("usage"))
    graph.sink("profiles", "Properties of users", profiles(tables, due, ends), ends.written("profiles"))
    graph.sink("members", "Members of cohorts", members(tables, changes, ends), ends.written("members"))


def decode(tables: StreamTableEnvironment, ends: Ends) -> Table:
    """Each record as one row of `model.DECODED`; the payload stays with those that are no event."""
    function = udf(Decode(ends.open_registry, ends.gap_shards), result_type=row_type(DECODED), func_type="pandas")
    tables.create_temporary_function("decode_record", function)
    return tables.sql_query(f"""
        SELECT {_COLUMNS}, arrival, shard, sequence, CAST(NULL AS BIGINT) AS sub_index
        FROM (SELECT decode_record(payload, arrival) AS r, arrival, shard, sequence FROM {ends.records})
    """)  # noqa: S608


def opened(tables: StreamTableEnvironment, ends: Ends, decoded: Table) -> Table:
    """The parts of envelopes, each as one row of `model.DECODED` with its place in the envelope."""
    part = DataTypes.ROW([DataTypes.FIELD(name, _data_type(kind)) for name, kind in OPENED.items()])
    tables.create_temporary_function("open_envelope", udtf(Open(), result_types=part.field_types()))
    function = udf(DecodePart(ends.open_registry), result_type=row_type(DECODED), func_type="pandas")
    tables.create_temporary_function("decode_part", function)
    return tables.sql_query(f"""
        SELECT {_COLUMNS}, arrival, shard, sequence, sub_index
        FROM (
            SELECT decode_part(part.payload, arrival, part.reason, part.detail) AS r,
                arrival, shard, sequence, part.sub_index AS sub_index
            FROM {decoded} AS envelope,
                LATERAL TABLE(open_envelope(envelope.payload)) AS part(sub_index, payload, reason, detail)
            WHERE envelope.kind = '{Kind.ENVELOPE}'
        )
    """)  # noqa: S608


_COLUMNS = ", ".join(f"r.`{name}` AS `{name}`" for name in DECODED)
_LINEAGE = ("arrival", "shard", "sequence", "sub_index")
_STORED_LINEAGE = "CAST(arrival AS TIMESTAMP_LTZ(6)) AS arrival, shard, sequence, sub_index"
_IS_UPDATE = f"kind = '{Kind.USER_UPDATE}'"
_TIMES = [name for name, kind in EVENT_COLUMNS.items() if kind is datetime]


def first_copies(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """The first copy of each event to arrive, and of each user update that has an id, within its project."""
    return _first(tables, decoded, _ROW, f"kind = '{Kind.EVENT}' OR ({_IS_UPDATE} AND identity_rung < 4)")


def first_contents(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """The first copy of each user update that only its content names."""
    return _first(tables, decoded, _ROW, f"{_IS_UPDATE} AND identity_rung = 4")


def first_messages(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """The first copy of each cohort message."""
    columns = ("project_id", "notifly_project", "payload", *_LINEAGE)
    return _first(tables, decoded, columns, f"kind = '{Kind.COHORT}'")


_ROW = ("kind", "to_profile", "identity_hash", *EVENT_COLUMNS, *_LINEAGE)


def _first(tables: StreamTableEnvironment, decoded: Decoded, columns: tuple[str, ...], condition: str) -> Table:
    names = ", ".join(f"`{name}`" for name in columns)
    key = "" if "identity_hash" in columns else "identity_hash, "
    return tables.sql_query(f"""
        SELECT {names}
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY project_id, identity_hash ORDER BY seen ASC) AS copy
            FROM ({decoded.select(f"{key}{names}, PROCTIME() AS seen", condition)})
        )
        WHERE copy = 1
    """)  # noqa: S608


def cohort_changes(tables: StreamTableEnvironment, messages: Table) -> Table:
    """The users of each cohort message, a row each."""
    # text for a time: what a table function returns has no microseconds in it
    types = [DataTypes.STRING() if kind is datetime else _data_type(kind) for kind in COHORT_COLUMNS.values()]
    tables.create_temporary_function("cohort_changes", udtf(CohortChanges(), result_types=types))
    return tables.sql_query(f"""
        SELECT project_id, notifly_project, {", ".join(COHORT_COLUMNS)}, {", ".join(_LINEAGE)}
        FROM {messages} AS message,
            LATERAL TABLE(cohort_changes(message.payload, message.arrival)) AS change({", ".join(COHORT_COLUMNS)})
    """)  # noqa: S608


def totals(tables: StreamTableEnvironment, counts: Table, ends: Ends) -> Table:
    """Absolute totals per project and month, written after each interval in which something was counted."""
    sums = ", ".join(f"SUM({name}) AS {name}" for name in TOTALS)
    running = f"SELECT project_id, `month`, {sums} FROM {metered(tables, counts)} GROUP BY project_id, `month`"  # noqa: S608
    return _written(tables, "usage", ends.write_usage, ("project_id", "month", *TOTALS), f"({running})")


def stored(tables: StreamTableEnvironment, copies: Table) -> Table:
    """Events as the event store has them, barred from triggering in-app and web popups."""
    return tables.sql_query(
        f"SELECT {_event_columns()}, FALSE AS popup_trigger, {_STORED_LINEAGE} FROM {copies} "  # noqa: S608
        f"WHERE kind = '{Kind.EVENT}'"
    )


def updates(tables: StreamTableEnvironment, first: First) -> Table:
    """User updates as their history has them."""
    columns = f"{_event_columns()}, to_profile, {_STORED_LINEAGE}"
    return tables.sql_query(
        f"SELECT {columns} FROM {first.named} WHERE {_IS_UPDATE} UNION ALL SELECT {columns} FROM {first.unnamed}"  # noqa: S608
    )


def _event_columns() -> str:
    columns = {name: f"`{name}`" for name in EVENT_COLUMNS}
    columns |= {name: f"CAST(`{name}` AS TIMESTAMP_LTZ(6)) AS `{name}`" for name in _TIMES}
    return ", ".join(columns.values())


def cohorts(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """Cohort messages, copies included."""
    columns = f"project_id, notifly_project, payload, {_STORED_LINEAGE}"
    return tables.sql_query(decoded.select(columns, f"kind = '{Kind.COHORT}'"))


def membership(tables: StreamTableEnvironment, changes: Table) -> Table:
    """Users of cohort messages as their history has them."""
    columns = ["project_id", "notifly_project", *COHORT_COLUMNS]
    at = columns.index("computed_time")
    columns[at] = "CAST(CAST(computed_time AS TIMESTAMP(6)) AS TIMESTAMP_LTZ(6)) AS computed_time"
    return tables.sql_query(f"SELECT {', '.join(columns)}, {_STORED_LINEAGE} FROM {changes}")  # noqa: S608


def profile_updates(tables: StreamTableEnvironment, first: First) -> Table:
    """What changes profiles."""
    names = ", ".join(f"`{name}`" for name in PROFILE_COLUMNS)
    rows = (f"SELECT {names} FROM {copies} WHERE to_profile" for copies in (first.named, first.unnamed))  # noqa: S608
    return tables.sql_query(" UNION ALL ".join(rows))


def profiles(tables: StreamTableEnvironment, due: Table, ends: Ends) -> Table:
    """What changes profiles, handed to the writer."""
    return _written(tables, "profiles", ends.write_profiles, PROFILE_COLUMNS, str(due))


def members(tables: StreamTableEnvironment, changes: Table, ends: Ends) -> Table:
    """Memberships, handed to the writer."""
    rows = f"(SELECT * FROM {changes} WHERE user_id IS NOT NULL)"  # noqa: S608
    return _written(tables, "members", ends.write_members, MEMBER_COLUMNS, rows)


def dead_letters(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """What is not taken, with the reason and the bytes as they came."""
    columns = "kind, reason, detail, project_id, payload, payload_length, payload_sha256"
    return tables.sql_query(decoded.select(f"{columns}, {_STORED_LINEAGE}", "reason IS NOT NULL"))


# pandas knows no time before 1677, and makes a float of a number that may be null
_AS_TEXT = {*_TIMES, "arrival", "amplitude_id", "event_id", "sub_index"}


def _written(tables: StreamTableEnvironment, name: str, writer: Any, columns: tuple[str, ...], rows: str) -> Table:
    """Rows handed to a writer; what remains is a number for each, which nobody reads."""
    tables.create_temporary_function(
        f"write_{name}", udf(writer, result_type=DataTypes.BIGINT(), func_type="pandas")
    )
    spelled = ", ".join(
        f"CAST(`{column}` AS STRING)" if column in _AS_TEXT else f"`{column}`" for column in columns
    )
    return tables.sql_query(f"SELECT write_{name}({spelled}) AS written FROM {rows}")  # noqa: S608


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
        bool: DataTypes.BOOLEAN(),
        datetime: DataTypes.TIMESTAMP(6),
    }[kind]
