"""The export job's own graph between files of message events and the lake: `flink run -py`, see lab.bench.export.

The one difference from jobs.export is the source, an event per line. Routes, sender and tables are the real ones.
"""

import argparse
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

import settings
from jobs.export import ends, graph
from jobs.export.submit import create_tables
from jobs.gateway import table_environment


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--input", required=True)
    options = parser.parse_args()
    config = settings.load(options.config)
    create_tables(config)
    env = StreamExecutionEnvironment.get_execution_environment()
    tables = table_environment(env)
    given = ends.production(tables, config, followed(tables, options.input))
    graph.build(env, tables, given, config.usage_interval)
    env.execute("bench-export")


def followed(tables: StreamTableEnvironment, folder: str) -> Table:
    """Each line of the files that appear in a folder as a record, arriving when it is read."""
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE records (
            payload BYTES,
            arrival AS CURRENT_TIMESTAMP,
            shard AS 'shardId-000000000000',
            sequence AS '0'
        ) WITH ('connector' = 'filesystem', 'format' = 'raw', 'path' = '{folder}',
            'source.monitor-interval' = '200 ms')
    """)
    return tables.from_path("records")


if __name__ == "__main__":
    main()
