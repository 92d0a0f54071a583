"""Stages `event-store` and `user-updates`: events, and user updates, each once."""

from pyflink.table import StreamTableEnvironment, Table

from jobs.ingest.columns import IS_UPDATE, STORED_LINEAGE, event_columns
from jobs.ingest.first_copies import First
from udfs.model import Kind


def stored_events(tables: StreamTableEnvironment, copies: Table) -> Table:
    """Events as the event store has them, barred from triggering in-app and web popups."""
    return tables.sql_query(
        f"SELECT {event_columns()}, FALSE AS popup_trigger, {STORED_LINEAGE} FROM {copies} "  # noqa: S608
        f"WHERE kind = '{Kind.EVENT}'"
    )


def stored_updates(tables: StreamTableEnvironment, first: First) -> Table:
    """User updates as their history has them."""
    columns = f"{event_columns()}, to_profile, {STORED_LINEAGE}"
    return tables.sql_query(
        f"SELECT {columns} FROM {first.named} WHERE {IS_UPDATE} UNION ALL SELECT {columns} FROM {first.unnamed}"  # noqa: S608
    )
