"""The rival: what somebody who stays in SQL would run for the same job, without any Python on the workers.

The same file, parsed by Flink's own `json` format into the same columns of the same Iceberg table; the same
dedupe on (app, uuid, event_type), whose first copies and all of whose records are counted as often as ours. The
counts end in a blackhole, and there is no ledger. It lacks what the rules of udfs/ do beyond that: the identity
ladder, unknown fields kept, dead letters with a reason, attribution by a registry. Stages are translated as ours
are (jobs.stages), so that source and dedupe stand in the plan once; rows cross between stages in Flink's internal
form.
"""

import argparse
from datetime import datetime, timedelta
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

import settings
from jobs import sinks
from jobs.gateway import table_environment
from jobs.stages import Graph
from settings import Settings
from stores.lake import EVENT_STORE, Lake
from udfs.model import DOCUMENTED_COLUMNS, EVENT_COLUMNS, EVENT_PREFIX

_SQL_TYPES = {str: "STRING", dict: "STRING", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMP(6)"}
_JSON_NAMES = {"insert_id": "$insert_id"}


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--input", required=True)
    parser.add_argument("--discard", action="store_true", help="a table that keeps nothing instead of Iceberg's")
    options = parser.parse_args()
    config = settings.load(options.config, options.overrides)
    env = StreamExecutionEnvironment.get_execution_environment()
    build(env, config, options.input, discard=options.discard)
    env.execute("bench-rival")


def build(env: StreamExecutionEnvironment, config: Settings, folder: str, *, discard: bool = False) -> None:
    """Add the rival's job over the files of a folder to `env`."""
    sinks.create_tables(Lake(config.lake_address))
    tables = table_environment(env)
    sinks.use_lake(tables, config.lake_address)
    graph = Graph(tables, env)
    parsed = graph.stream("parse", "Events parsed by the json format", parse(tables, folder))
    events = graph.stream("first-copy", "First copies", first_copies(tables, parsed), config.dedupe_window)
    counts = graph.stream("count", "Counts", counted(tables, parsed, events, config.usage_interval))
    store = sinks.lake_table(config.lake_address, EVENT_STORE)
    if discard:
        store = sinks.discard(tables, "event_store", store)
    graph.sink("event-store", "Events", stored(tables, events), store)
    counted_events = tables.sql_query(f"SELECT events FROM {counts}")  # noqa: S608
    graph.sink("counts", "Counts", counted_events, sinks.discard(tables, "counts"))


def parse(tables: StreamTableEnvironment, folder: str) -> Table:
    """The main columns of each line."""
    columns = ", ".join(
        f"`{_JSON_NAMES.get(name, name)}` {_SQL_TYPES[kind]}" for name, kind in DOCUMENTED_COLUMNS.items()
    )
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE lines (app BIGINT, event_type STRING, {columns})
        WITH ('connector' = 'filesystem', 'path' = '{folder}', 'format' = 'json',
            'json.ignore-parse-errors' = 'true', 'json.timestamp-format.standard' = 'SQL')
    """)
    documented = ", ".join(f"`{_JSON_NAMES.get(name, name)}` AS `{name}`" for name in DOCUMENTED_COLUMNS)
    return tables.sql_query(f"""
        SELECT app AS project_id, event_type,
            DATE_FORMAT(server_upload_time, 'yyyy-MM') AS `month`, {documented}, CURRENT_TIMESTAMP AS arrival
        FROM lines
    """)  # noqa: S608


def first_copies(tables: StreamTableEnvironment, parsed: Table) -> Table:
    """The first copy of each event to arrive."""
    columns = ", ".join(f"`{name}`" for name in DOCUMENTED_COLUMNS)
    return tables.sql_query(f"""
        SELECT project_id, event_type, `month`, {columns}, arrival
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY project_id, `uuid`, event_type ORDER BY seen ASC) AS copy
            FROM (SELECT *, PROCTIME() AS seen FROM {parsed})
        )
        WHERE copy = 1
    """)  # noqa: S608


def counted(tables: StreamTableEnvironment, parsed: Table, events: Table, interval: timedelta) -> Table:
    """Records and first copies of each interval, per project and month, as ours counts them."""
    both = tables.sql_query(f"""
        SELECT *, PROCTIME() AS seen FROM (
            SELECT project_id, `month`, CAST(1 AS BIGINT) AS records, CAST(0 AS BIGINT) AS events FROM {parsed}
            UNION ALL SELECT project_id, `month`, CAST(0 AS BIGINT), CAST(1 AS BIGINT) FROM {events}
        )
    """)  # noqa: S608
    tables.create_temporary_view("counted", both)
    return tables.sql_query(f"""
        SELECT project_id, `month`, SUM(records) AS records, SUM(events) AS events
        FROM TABLE(TUMBLE(TABLE counted, DESCRIPTOR(seen), INTERVAL '{int(interval.total_seconds())}' SECOND))
        GROUP BY window_start, window_end, project_id, `month`
    """)  # noqa: S608


def stored(tables: StreamTableEnvironment, events: Table) -> Table:
    """Rows of the event store, each column filled as ours fills it for these events."""
    identity = " || ".join(
        f"'|' || CAST(CHAR_LENGTH({c}) AS STRING) || ':' || {c}" for c in ("`uuid`", "event_type")
    )
    made = {
        "notifly_project": "'notifly-' || CAST(project_id AS STRING)",
        "name": f"'{EVENT_PREFIX}' || event_type",
        "identity": f"'1' || {identity}",
        "identity_rung": "CAST(1 AS BIGINT)",
        "extra": "CAST(NULL AS STRING)",
        "repairs": "CAST(NULL AS STRING)",
    }
    times = {
        name: f"CAST(`{name}` AS TIMESTAMP_LTZ(6))"
        for name, kind in DOCUMENTED_COLUMNS.items()
        if kind is datetime
    }
    columns = ", ".join(f"{(made | times).get(name, f'`{name}`')} AS `{name}`" for name in EVENT_COLUMNS)
    return tables.sql_query(f"""
        SELECT {columns}, FALSE AS popup_trigger, CAST(arrival AS TIMESTAMP_LTZ(6)) AS arrival,
            'shardId-000000000000' AS shard, '0' AS sequence, CAST(NULL AS BIGINT) AS sub_index
        FROM {events}
    """)  # noqa: S608


if __name__ == "__main__":
    main()
