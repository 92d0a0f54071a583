"""What the graph is connected to: the stream of message events, the registry, Amplitude, and the tables."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pyflink.table import StreamTableEnvironment, Table

from jobs import sinks
from settings import Settings
from stores.history import times_set_back
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, EXPORT_LEDGER, OUTBOX, Lake
from stores.leases import Lease
from stores.outgoing import Sending
from stores.routes import open_routes
from udfs.export.write_events import open_sender


class Ends(NamedTuple):
    """What a job is connected to; production and tests give their own."""

    records: Table
    """payload BYTES, arrival TIMESTAMP_LTZ(3), shard STRING, sequence STRING"""
    open_routes: Callable[[], Any]
    """opens on a worker where message events go"""
    open_sender: Callable[[], Any]
    """opens on a worker what sends them"""
    deliveries: str
    """table of what became of each event; its columns, and those of the next three: `sinks.EXPORT_COLUMNS`"""
    outbox: str
    """table of the events that wait, and of what settled that"""
    dead_letters: str
    """table of what will never be in Amplitude"""
    ledger: str
    """table of the counts of all events by outcome"""
    set_back: int
    """how often the tables have been set back"""


def production(
    tables: StreamTableEnvironment, config: Settings, records: Table, held: Lease | None = None
) -> Ends:
    """The production ends behind a table of records; the workers renew the lease that the job holds."""
    lake, dynamodb, export = config.lake_address, config.tables_address, config.export
    sinks.use_lake(tables, lake)
    refresh = config.ingest.projects_refresh_seconds
    sending = Sending(dynamodb, config.seal_keys, export.endpoint, export.api, refresh)
    return Ends(
        records=records,
        open_routes=partial(open_routes, dynamodb, refresh, held),
        open_sender=partial(open_sender, sending),
        deliveries=sinks.lake_table(lake, DELIVERIES),
        outbox=sinks.lake_table(lake, OUTBOX),
        dead_letters=sinks.lake_table(lake, EXPORT_DEAD_LETTERS),
        ledger=sinks.lake_table(lake, EXPORT_LEDGER),
        # every event is counted there: it goes back whenever another one does
        set_back=times_set_back(Lake(lake), EXPORT_LEDGER),
    )
