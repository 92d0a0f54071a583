"""Stages `profile-updates` and `profiles`: what changes the properties of users."""

from pyflink.table import StreamTableEnvironment, Table

from jobs.ingest.columns import written
from jobs.ingest.ends import Ends
from jobs.ingest.first_copies import First

PROFILE_COLUMNS = (
    *("project_id", "user_id", "device_id", "amplitude_id", "kind", "name", "identity_hash", "server_upload_time"),
    *("processed_time", "event_id", "arrival", "sequence", "sub_index", "user_properties"),
)
"""What merging into a profile needs of a user update, or of an event; times as text."""


def profile_updates(tables: StreamTableEnvironment, first: First) -> Table:
    """What changes profiles."""
    names = ", ".join(f"`{name}`" for name in PROFILE_COLUMNS)
    rows = (f"SELECT {names} FROM {copies} WHERE to_profile" for copies in (first.named, first.unnamed))  # noqa: S608
    return tables.sql_query(" UNION ALL ".join(rows))


def profiles(tables: StreamTableEnvironment, due: Table, ends: Ends) -> Table:
    """What changes profiles, handed to the writer."""
    return written(tables, "profiles", ends.write_profiles, PROFILE_COLUMNS, str(due))
