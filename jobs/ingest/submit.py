"""What `flink run -pym jobs.ingest --config FILE [--set section.key=value …] [--take-over]` does on the client.

Checks everything that it needs before it touches anything, then hands the graph to the cluster.
"""

from collections.abc import Sequence

from pyflink.datastream import StreamExecutionEnvironment

from jobs import command, gap, gateway, lease, restore, sinks, sources
from jobs.ingest import ends, graph
from settings import Settings
from stores.alerts import Alerts
from stores.cohorts import CohortMembers, Cohorts
from stores.lake import (
    Lake,
)
from stores.leases import Lease, Leases
from stores.profiles import Profiles
from stores.projects import Projects
from stores.statements import Statements
from stores.stream import Stream
from stores.usage import UsageTable

NAME = "amplitude-ingest"


def main(arguments: Sequence[str]) -> int:
    """Submit the job; 0 when it is on its way, 2 with one line on stderr when a setting or a store is wrong."""
    return command.run("jobs.ingest", __doc__, arguments, _submit)


def _submit(config: Settings, take_over: bool) -> None:
    submit(config, prepare(config), take_over=take_over)


def prepare(config: Settings) -> int:
    """Make sure of the stream and the tables; missing tables are created. Raises StoreError.

    So it does when records may have expired unread, unless settings say to go on: then returns of how many shards.
    """
    stream = Stream(config.stream_address)
    stream.open_shards()
    create_tables(config)
    return gap.check(config, stream, gap.INGEST)


def create_tables(config: Settings) -> None:
    """Create what is missing of the tables. Raises StoreError."""
    for table in (Projects, Cohorts, UsageTable, Alerts, Statements, Profiles, CohortMembers, Leases):
        table(config.tables_address).create()
    sinks.create_tables(Lake(config.lake_address))


def submit(config: Settings, gap_shards: int, *, take_over: bool = False) -> None:
    """Build the graph between the production ends and execute it.

    Raises StoreError when another job holds the tables, unless that is taken over, or no restore would be exact.
    """
    env = StreamExecutionEnvironment.get_execution_environment()
    mine = Lease(lease.job_id(env), config.kinesis.stream, config.lease_seconds)
    with lease.taken(env, Leases(config.tables_address), mine, over=take_over):
        restore.check(env, Lake(config.lake_address))
        _execute(env, config, mine, gap_shards)


def _execute(env: StreamExecutionEnvironment, config: Settings, held: Lease, gap_shards: int) -> None:
    tables = gateway.table_environment(env)
    records = sources.kinesis_records(tables, config.kinesis)
    rules = graph.Rules(config.dedupe_window, config.usage_interval)
    between = ends.production(tables, config, records, held)._replace(gap_shards=gap_shards)
    graph.build(env, tables, between, rules)
    env.execute(NAME)
