"""What `flink run -pym jobs.export --config FILE [--set section.key=value …] [--take-over]` does on the client.

Checks everything that it needs before it touches anything, then hands the graph to the cluster.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment

import settings
from errors import OneLineError
from jobs import gateway, lease, restore, sinks, sources
from jobs.export import ends, graph
from settings import Settings
from stores.destinations import Destinations
from stores.errors import StoreError
from stores.lake import EXPORT_TABLES, Lake
from stores.leases import EXPORT, Lease, Leases
from stores.projects import Projects
from stores.seal import seal_of
from stores.stream import Stream

NAME = "amplitude-export"


def main(arguments: Sequence[str]) -> int:
    """Submit the job; 0 when it is on its way, 2 with one line on stderr when a setting or a store is wrong."""
    parser = argparse.ArgumentParser(prog="jobs.export", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="settings, like flink-conf/job.reference.toml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    parser.add_argument("--take-over", action="store_true", help="whatever job holds the tables is gone")
    options = parser.parse_args(arguments)
    try:
        config = settings.load(options.config, options.overrides)
        prepare(config)
        submit(config, take_over=options.take_over)
    except OneLineError as error:
        print(f"jobs.export: {error}", file=sys.stderr)
        return 2
    return 0


def prepare(config: Settings) -> None:
    """Make sure of the stream, the seal's keys and the tables; missing tables are created. Raises StoreError."""
    Stream(config.export_stream_address).open_shards()
    seal_of(config.export.seal_keys_file)
    create_tables(config)


def create_tables(config: Settings) -> None:
    """Create what is missing of the tables. Raises StoreError."""
    for table in (Projects, Destinations, Leases):
        table(config.tables_address).create()
    sinks.create_tables(Lake(config.lake_address), sinks.EXPORT_COLUMNS)


def submit(config: Settings, *, take_over: bool = False) -> None:
    """Build the graph between the production ends and execute it.

    Raises StoreError when another export job runs, unless it is taken over, or no restore would be exact.
    """
    env = StreamExecutionEnvironment.get_execution_environment()
    leases, cluster = Leases(config.tables_address, name=EXPORT), lease.cluster(env)
    held = Lease(lease.job_id(env), config.export.stream, config.lease_seconds)
    lease.take(leases, held, cluster.jobs, over=take_over)
    try:
        restore.check(env, Lake(config.lake_address), EXPORT_TABLES)
        _execute(env, config, held)
    except BaseException:
        with suppress(StoreError):  # it runs out by itself
            leases.release(held.job_id)
        raise
    where = f", Flink UI: {cluster.url}" if cluster.url else ""
    print(f"jobs.export: job {held.job_id}{where}", file=sys.stderr)


def _execute(env: StreamExecutionEnvironment, config: Settings, held: Lease) -> None:
    tables = gateway.table_environment(env)
    records = sources.kinesis_records(tables, config.export_kinesis)
    graph.build(env, tables, ends.production(tables, config, records, held), config.usage_interval)
    env.execute(NAME)
