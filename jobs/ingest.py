"""The ingest job: `flink run -pym jobs.ingest --config FILE [--set section.key=value …]`.

Checks everything that it needs before it touches anything, then hands the graph to the cluster.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

import settings
from jobs import gap, gateway, restore, sinks, sources, topology
from settings import Settings, SettingsError
from stores import registry
from stores.alerts import Alerts
from stores.cohorts import CohortMembers, Cohorts
from stores.errors import StoreError
from stores.lake import (
    COHORT_CHANGES,
    COHORT_MESSAGES,
    DEAD_LETTERS,
    EVENT_COUNTS,
    EVENT_STORE,
    LEDGER,
    USER_UPDATES,
    Lake,
)
from stores.profiles import Profiles
from stores.projects import Projects
from stores.statements import Statements
from stores.stream import Stream
from stores.usage import UsageTable
from udfs.write_members import WriteMembers
from udfs.write_profiles import WriteProfiles
from udfs.write_usage import WriteUsage

NAME = "amplitude-ingest"


def main(arguments: Sequence[str]) -> int:
    """Submit the job; 0 when it is on its way, 2 with one line on stderr when a setting or a store is wrong."""
    parser = argparse.ArgumentParser(prog="jobs.ingest", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="settings, like flink-conf/job.reference.toml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    options = parser.parse_args(arguments)
    try:
        config = settings.load(options.config, options.overrides)
        submit(config, prepare(config))
    except (SettingsError, StoreError) as error:
        print(f"jobs.ingest: {error}", file=sys.stderr)
        return 2
    return 0


def prepare(config: Settings) -> int:
    """Make sure of the stream and the tables; missing tables are created. Raises StoreError.

    So it does when records may have expired unread, unless settings say to go on: then it says so and returns of
    how many shards.
    """
    stream = Stream(config.stream_address)
    stream.open_shards()
    create_tables(config)
    found = gap.gaps(Lake(config.lake_address), stream, stream.now())
    if found:
        line = gap.described(config.kinesis.stream, found)
        if config.kinesis.on_gap == "stop":
            raise StoreError(line)
        print(f"jobs.ingest: {line}", file=sys.stderr)
    return len(found)


def create_tables(config: Settings) -> None:
    """Create what is missing of the tables. Raises StoreError."""
    for table in (Projects, Cohorts, UsageTable, Alerts, Statements, Profiles, CohortMembers):
        table(config.tables_address).create()
    sinks.create_tables(Lake(config.lake_address))


def submit(config: Settings, gap_shards: int) -> None:
    """Build the graph between the production ends and execute it. StoreError: no restore would be exact."""
    env = StreamExecutionEnvironment.get_execution_environment()
    restore.check(env, Lake(config.lake_address))
    tables = table_environment(env)
    records = sources.kinesis_records(tables, config.kinesis)
    rules = topology.Rules(config.dedupe_window, config.usage_interval)
    topology.build(env, tables, ends(tables, config, records)._replace(gap_shards=gap_shards), rules)
    env.execute(NAME)


def ends(tables: StreamTableEnvironment, config: Settings, records: Table) -> topology.Ends:
    """The production ends behind a table of records."""
    lake, dynamodb = config.lake_address, config.tables_address
    sinks.use_lake(tables, lake)
    return topology.Ends(
        records=records,
        open_registry=partial(registry.open_registry, dynamodb, config.ingest.projects_refresh_seconds),
        event_store=sinks.lake_table(lake, EVENT_STORE),
        user_updates=sinks.lake_table(lake, USER_UPDATES),
        cohort_messages=sinks.lake_table(lake, COHORT_MESSAGES),
        cohort_changes=sinks.lake_table(lake, COHORT_CHANGES),
        dead_letters=sinks.lake_table(lake, DEAD_LETTERS),
        ledger=sinks.lake_table(lake, LEDGER),
        event_counts=sinks.lake_table(lake, EVENT_COUNTS),
        write_usage=WriteUsage(dynamodb),
        write_profiles=WriteProfiles(dynamodb),
        write_members=WriteMembers(dynamodb),
        written=partial(sinks.discard, tables),
    )


def table_environment(env: StreamExecutionEnvironment) -> StreamTableEnvironment:
    """A table environment with what the SQL's meaning rests on; all else is the cluster's configuration."""
    gateway.stay_in_one_java_thread()
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set_local_timezone("UTC")
    # with mini-batch the dedupe is no longer insert-only, and append sinks refuse it
    tables.get_config().set("table.exec.mini-batch.enabled", "false")
    return tables


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
