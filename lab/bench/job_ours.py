"""The ingest job's own graph between a file of events and the lake: `flink run -py`, see lab.bench.throughput.

The one difference from jobs.ingest is the source, one event per line. Registry and totals are the real ones.
"""

import argparse
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import FunctionContext, StreamTableEnvironment, Table

import settings
from jobs import sinks
from jobs.gateway import table_environment
from jobs.ingest import ends, graph
from jobs.ingest.submit import create_tables
from stores.profiles import Key, StoredProfile
from udfs.write_profiles import ProfileMerger, WriteProfiles

LAKE = (
    "event_store",
    "user_updates",
    "cohort_messages",
    "cohort_changes",
    "dead_letters",
    "ledger",
    "event_counts",
)
"""The ends that are tables of the lake."""


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--input", required=True)
    parser.add_argument("--follow", action="store_true", help="go on with the files that appear")
    parser.add_argument(
        "--packed", help="a folder to follow too: lines of JSON, `payload` in base64, may be bytes"
    )
    parser.add_argument("--profiles-in-memory", action="store_true")
    parser.add_argument("--discard", action="store_true", help="tables that keep nothing instead of Iceberg's")
    parser.add_argument("--dedupe-minutes", type=float, help="remember first copies so long instead")
    options = parser.parse_args()
    config = settings.load(options.config, options.overrides)
    create_tables(config)

    env = StreamExecutionEnvironment.get_execution_environment()
    tables = table_environment(env)
    # settings refuse a window this short: the product may not have one
    window = timedelta(minutes=options.dedupe_minutes) if options.dedupe_minutes else config.dedupe_window
    rules = graph.Rules(window, config.usage_interval)
    records = (followed if options.follow else lines)(tables, options.input)
    if options.packed:
        records = records.union_all(followed(tables, options.packed, "packed", "json"))
    given = ends.production(tables, config, records)
    if options.discard:
        kept_by_none = {name: sinks.discard(tables, name, getattr(given, name)) for name in LAKE}
        given = ends.Ends(**given._asdict() | kept_by_none)
    if options.profiles_in_memory:
        given = given._replace(write_profiles=WriteToMemory(config.tables_address))
    graph.build(env, tables, given, rules)
    env.execute("bench-ours")


class MemoryProfiles:
    """The table of profiles in this process: keeps what it is given, at once."""

    table = "memory"

    def __init__(self) -> None:
        self.items: dict[Key, StoredProfile] = {}

    def of_users(self, keys: Iterable[Key]) -> dict[Key, StoredProfile]:
        """What there is of these users."""
        return {key: self.items.get(key, StoredProfile(*key)) for key in keys}

    def write(self, profiles: Iterable[StoredProfile], _: object = None) -> list[Key]:
        """Keep them; nobody is ever overtaken."""
        self.items |= {one.key: one._replace(version=one.version + 1) for one in profiles}
        return []


class WriteToMemory(WriteProfiles):
    """The writer of profiles with a table that is not the limit."""

    def open(self, function_context: FunctionContext) -> None:
        """Open the real one, then take the table away."""
        super().open(function_context)
        self.merger = ProfileMerger(MemoryProfiles())  # type: ignore[arg-type]


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


def followed(tables: StreamTableEnvironment, folder: str, name: str = "records", written_as: str = "raw") -> Table:
    """The same of files that appear in a folder; a record's shard ends as its file's name does."""
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE {name} (
            payload BYTES,
            file STRING NOT NULL METADATA FROM 'file.name' VIRTUAL,
            arrival AS CURRENT_TIMESTAMP,
            shard AS 'shardId-' || RIGHT(file, 12),
            sequence AS '0'
        ) WITH ('connector' = 'filesystem', 'format' = '{written_as}', 'path' = '{folder}',
            'source.monitor-interval' = '200 ms')
    """)
    return tables.sql_query(f"SELECT payload, arrival, shard, sequence FROM {name}")  # noqa: S608


if __name__ == "__main__":
    main()
