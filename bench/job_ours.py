"""The ingest job's own graph between a file of events and the lake: `flink run -py`, see bench.throughput.

The one difference from jobs.ingest is the source, one event per line. Registry and totals are the real ones.
"""

import argparse
from functools import partial
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

import settings
from jobs import sinks, topology
from jobs.ingest import table_environment
from stores import projects
from stores.lake import DEAD_LETTERS, EVENT_STORE, Lake
from stores.usage import UsageTable
from udfs.write_usage import WriteUsage


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--input", required=True)
    options = parser.parse_args()
    config = settings.load(options.config, options.overrides)
    lake, dynamodb = config.lake_address, config.tables_address
    sinks.create_tables(Lake(lake))
    UsageTable(dynamodb).create()

    env = StreamExecutionEnvironment.get_execution_environment()
    tables = table_environment(env)
    sinks.use_lake(tables, lake)
    ends = topology.Ends(
        records=lines(tables, options.input),
        open_registry=partial(projects.open_registry, dynamodb, config.ingest.projects_refresh_seconds),
        event_store=sinks.lake_table(lake, EVENT_STORE),
        dead_letters=sinks.lake_table(lake, DEAD_LETTERS),
        write_usage=WriteUsage(dynamodb),
        usage=sinks.discard(tables, "usage_written"),
    )
    topology.build(env, tables, ends, topology.Rules(config.dedupe_window, config.usage_interval))
    env.execute("bench-ours")


def lines(tables: StreamTableEnvironment, folder: str) -> Table:
    """Each line of the files in a folder as a record, arriving when it is read."""
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE records (
            payload BYTES,
            arrival AS CURRENT_TIMESTAMP,
            shard AS 'shardId-000000000000',
            sequence AS '0'
        ) WITH ('connector' = 'filesystem', 'format' = 'raw', 'path' = '{folder}')
    """)
    return tables.from_path("records")


if __name__ == "__main__":
    main()
