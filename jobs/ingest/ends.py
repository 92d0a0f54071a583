"""What the graph is connected to: the stream, the registry, the tables and their writers."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pyflink.table import StreamTableEnvironment, Table

from jobs import sinks
from settings import Settings
from stores import registry
from stores.lake import (
    COHORT_CHANGES,
    COHORT_MESSAGES,
    DEAD_LETTERS,
    EVENT_COUNTS,
    EVENT_STORE,
    LEDGER,
    USER_UPDATES,
)
from stores.leases import Lease
from udfs.intake import MacKeys
from udfs.write_members import WriteMembers
from udfs.write_profiles import WriteProfiles
from udfs.write_usage import WriteUsage


class Ends(NamedTuple):
    """What a job is connected to; production and tests give their own."""

    records: Table
    """payload BYTES, arrival TIMESTAMP_LTZ(3), shard STRING, sequence STRING"""
    open_registry: Callable[[], Any]
    """opens the project registry on a worker"""
    event_store: str
    """table of the first copies of events; its columns, and those of the next six: `sinks.COLUMNS`"""
    user_updates: str
    """table of the first copies of user updates"""
    cohort_messages: str
    """table of cohort messages as they came"""
    cohort_changes: str
    """table of the users in first copies of cohort messages"""
    dead_letters: str
    """table of the records that are not taken"""
    ledger: str
    """table of the counts of all records by outcome"""
    event_counts: str
    """table of the same counts by the name of the event"""
    write_usage: Any
    """vectorised function of project_id, month, records, events, update_records, updates"""
    write_profiles: Any
    """vectorised function of `PROFILE_COLUMNS`"""
    write_members: Any
    """vectorised function of `GROUP_COLUMNS`"""
    written: Callable[[str], str]
    """a table that takes what a writer of this name returns"""
    open_mac_keys: Callable[[], MacKeys]
    """opens the keys that check the intake's MACs on a worker"""
    gap_shards: int = 0
    """the number of shards of which records may have expired before this start"""


def production(
    tables: StreamTableEnvironment, config: Settings, records: Table, held: Lease | None = None
) -> Ends:
    """The production ends behind a table of records; the workers renew the lease that the job holds."""
    lake, dynamodb = config.lake_address, config.tables_address
    sinks.use_lake(tables, lake)
    return Ends(
        records=records,
        open_registry=partial(registry.open_registry, dynamodb, config.ingest.projects_refresh_seconds, held),
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
        open_mac_keys=partial(MacKeys, config.intake.mac_keys_file),
    )
