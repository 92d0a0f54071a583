"""What `flink run -pym jobs.export --config FILE [--set section.key=value …] [--take-over]` does on the client.

Checks everything that it needs before it touches anything, then hands the graph to the cluster.
"""

from collections.abc import Sequence

from pyflink.datastream import StreamExecutionEnvironment

from jobs import command, gap, gateway, lease, restore, sinks, sources
from jobs.export import ends, graph
from settings import Settings
from stores.destinations import Destinations
from stores.lake import EXPORT_TABLES, Lake
from stores.leases import EXPORT, Lease, Leases
from stores.projects import Projects
from stores.seal import Seal
from stores.stream import Stream

NAME = "amplitude-export"


def main(arguments: Sequence[str]) -> int:
    """Submit the job; 0 when it is on its way, 2 with one line on stderr when a setting or a store is wrong."""
    return command.run("jobs.export", __doc__, arguments, _submit)


def _submit(config: Settings, take_over: bool) -> None:
    prepare(config)
    submit(config, take_over=take_over)


def prepare(config: Settings) -> None:
    """Make sure of the stream, the seal's keys and the tables; missing tables are created. Raises StoreError.

    So it does when message events may have expired unread, unless settings say to go on.
    """
    stream = Stream(config.export_stream_address)
    stream.open_shards()
    Seal(config.seal_keys)
    create_tables(config)
    gap.check(config, stream, gap.EXPORT)


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
    mine = Lease(lease.job_id(env), config.export.stream, config.lease_seconds)
    with lease.taken(env, Leases(config.tables_address, name=EXPORT), mine, over=take_over):
        restore.check(env, Lake(config.lake_address), EXPORT_TABLES)
        _execute(env, config, mine)


def _execute(env: StreamExecutionEnvironment, config: Settings, held: Lease) -> None:
    tables = gateway.table_environment(env)
    records = sources.kinesis_records(tables, config.export_kinesis)
    graph.build(env, tables, ends.production(tables, config, records, held), config.usage_interval)
    env.execute(NAME)
