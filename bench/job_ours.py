"""The ingest job's own graph between a file of events and the lake: `flink run -py`, see bench.throughput.

The one difference from jobs.ingest is the source, one event per line. Registry and totals are the real ones.
"""

import argparse
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

import settings
from jobs import sinks, topology
from jobs.ingest import ends, table_environment
from stores.lake import Lake
from stores.usage import UsageTable


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--input", required=True)
    options = parser.parse_args()
    config = settings.load(options.config, options.overrides)
    sinks.create_tables(Lake(config.lake_address))
    UsageTable(config.tables_address).create()

    env = StreamExecutionEnvironment.get_execution_environment()
    tables = table_environment(env)
    rules = topology.Rules(config.dedupe_window, config.usage_interval)
    topology.build(env, tables, ends(tables, config, lines(tables, options.input)), rules)
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
