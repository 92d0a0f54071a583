"""PyFlink's DataStream API as its documentation shows it: plain dicts, KeyedProcessFunction, Python keyed state.

The same cluster and Iceberg table as ours. `json.loads` in a map, `key_by` on project, uuid and event type, a
ValueState with TTL that says whether an event was seen, another that counts; dicts are pickled between them.
Running totals end in text files, one line per event: `PROJECT MONTH TOTAL TIME`, time in seconds of the epoch.

Not guaranteed: rows and totals are exactly once, each with its checkpoint, yet one line that is no JSON object, or
lacks a field, fails the job again and again. TTL counts from the first copy by the TaskManager's clock. Operators
have generated uids: an edit of the graph may orphan keys and positions.
"""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyflink.common import Encoder, Row, Types, WatermarkStrategy
from pyflink.common.time import Time
from pyflink.datastream import DataStream, KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat
from pyflink.datastream.state import StateTtlConfig, ValueStateDescriptor
from pyflink.table import StreamTableEnvironment, Table

import settings
from jobs import sinks
from stores.lake import EVENT_STORE, Lake
from udfs.model import DOCUMENTED_COLUMNS, EVENT_COLUMNS, EVENT_PREFIX

Event = dict[str, Any]
"""A line as `json` reads it."""

_TYPES = {str: Types.STRING(), dict: Types.STRING(), datetime: Types.STRING()}
_TYPES |= {int: Types.LONG(), float: Types.DOUBLE()}
_COLUMNS = {**EVENT_COLUMNS, "arrival": datetime}
_JSON_NAMES = {"insert_id": "$insert_id"}


class FirstCopy(KeyedProcessFunction):  # type: ignore[misc]
    """The first event of its key within 40 days."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Declare the state: whether this key was seen."""
        seen = ValueStateDescriptor("seen", Types.BOOLEAN())
        seen.enable_time_to_live(StateTtlConfig.new_builder(Time.days(40)).build())
        self.seen = runtime_context.get_state(seen)

    def process_element(self, value: Event, ctx: KeyedProcessFunction.Context) -> Iterator[Event]:
        """Forward the event unless it was seen."""
        if self.seen.value() is None:
            self.seen.update(True)
            yield value


class Count(KeyedProcessFunction):  # type: ignore[misc]
    """The running total of a project and month."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Declare the state: the total so far."""
        self.total = runtime_context.get_state(ValueStateDescriptor("total", Types.LONG()))

    def process_element(self, value: Event, ctx: KeyedProcessFunction.Context) -> Iterator[str]:
        """Count the event and tell the new total."""
        total = (self.total.value() or 0) + 1
        self.total.update(total)
        yield f"{ctx.get_current_key()} {total} {time.time()}"


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--input", required=True)
    parser.add_argument("--totals", required=True)
    options = parser.parse_args()
    config = settings.load(options.config, options.overrides)
    sinks.create_tables(Lake(config.lake_address))

    env = StreamExecutionEnvironment.get_execution_environment()
    tables = StreamTableEnvironment.create(env)
    sinks.use_lake(tables, config.lake_address)
    files = FileSource.for_record_stream_format(StreamFormat.text_line_format(), options.input).build()
    lines = env.from_source(files, WatermarkStrategy.no_watermarks(), "lines")
    first = lines.map(load).key_by(event_key, Types.STRING()).process(FirstCopy())
    totals = first.key_by(project_month, Types.STRING()).process(Count(), Types.STRING())
    totals.sink_to(
        FileSink.for_row_format(options.totals, Encoder.simple_string_encoder())
        .with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy())
        .build()
    )
    inserts = tables.create_statement_set()
    inserts.add_insert(sinks.lake_table(config.lake_address, EVENT_STORE), stored(tables, first))
    inserts.attach_as_datastream()
    env.execute("bench-naive")


def load(line: str) -> Event:
    """A line as the event in it, with when it was read."""
    event: Event = json.loads(line)
    event["arrival"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    return event


def event_key(event: Event) -> str:
    """What two copies of an event have in common."""
    return f"{event['app']}|{event['uuid']}|{event['event_type']}"


def project_month(event: Event) -> str:
    """Where an event counts."""
    return f"{event['app']} {event['server_upload_time'][:7]}"


def row(event: Event) -> Row:
    """An event as a row of the event store, its times as text."""
    uuid, event_type = event["uuid"], event["event_type"]
    values = {
        "project_id": event["app"],
        "notifly_project": f"notifly-{event['app']}",
        "month": event["server_upload_time"][:7],
        "name": EVENT_PREFIX + event_type,
        "identity": f"1|{len(uuid)}:{uuid}|{len(event_type)}:{event_type}",
        "identity_rung": 1,
        "arrival": event["arrival"],
    }
    for name, kind in DOCUMENTED_COLUMNS.items():
        value = event.get(_JSON_NAMES.get(name, name))
        values[name] = json.dumps(value, ensure_ascii=False) if kind is dict and value is not None else value
    return Row(*(values.get(name) for name in _COLUMNS))


def stored(tables: StreamTableEnvironment, events: DataStream) -> Table:
    """Rows of the event store."""
    kinds = [_TYPES[kind] for kind in _COLUMNS.values()]
    rows = events.map(row, Types.ROW_NAMED(list(_COLUMNS), kinds))
    tables.create_temporary_view("first_copies", tables.from_data_stream(rows))
    # a SQL_TIMESTAMP of a DataStream does not fit TIMESTAMP(6): ClassCastException on the workers
    columns = ", ".join(
        f"CAST(CAST(`{name}` AS TIMESTAMP(6)) AS TIMESTAMP_LTZ(6)) AS `{name}`"
        if kind is datetime
        else f"`{name}`"
        for name, kind in _COLUMNS.items()
        if name != "arrival"
    )
    return tables.sql_query(f"""
        SELECT {columns}, FALSE AS popup_trigger,
            CAST(CAST(arrival AS TIMESTAMP(6)) AS TIMESTAMP_LTZ(6)) AS arrival,
            'shardId-000000000000' AS shard, '0' AS sequence,
            CAST(NULL AS BIGINT) AS sub_index
        FROM first_copies
    """)  # noqa: S608


if __name__ == "__main__":
    main()
