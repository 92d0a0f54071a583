"""Stages `first-copy`, `first-content`, `first-message`: of what arrives again, the first copy."""

from datetime import timedelta
from typing import NamedTuple

from pyflink.table import StreamTableEnvironment, Table

from jobs.ingest.columns import IS_UPDATE, LINEAGE
from jobs.ingest.decode import Decoded
from udfs.model import EVENT_COLUMNS, Kind

CONTENT_WINDOW = timedelta(hours=6)
"""How long a user update without an id is remembered by its content: past Amplitude's 4 h of retries, and not much
longer, because two honest updates may be equal (docs/amplitude.md §8.1)."""
_ROW = ("kind", "to_profile", "identity_hash", *EVENT_COLUMNS, *LINEAGE)


class First(NamedTuple):
    """First copies."""

    named: Table
    """of events, and of user updates that have an id"""
    unnamed: Table
    """of user updates that only their content names"""
    messages: Table
    """of cohort messages"""


def first_copies(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """The first copy of each event to arrive, and of each user update that has an id, within its project."""
    return _first(tables, decoded, _ROW, f"kind = '{Kind.EVENT}' OR ({IS_UPDATE} AND identity_rung < 4)")


def first_contents(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """The first copy of each user update that only its content names."""
    return _first(tables, decoded, _ROW, f"{IS_UPDATE} AND identity_rung = 4")


def first_messages(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """The first copy of each cohort message."""
    columns = ("project_id", "notifly_project", "payload", *LINEAGE)
    return _first(tables, decoded, columns, f"kind = '{Kind.COHORT}'")


def _first(tables: StreamTableEnvironment, decoded: Decoded, columns: tuple[str, ...], condition: str) -> Table:
    names = ", ".join(f"`{name}`" for name in columns)
    key = "" if "identity_hash" in columns else "identity_hash, "
    return tables.sql_query(f"""
        SELECT {names}
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY project_id, identity_hash ORDER BY seen ASC) AS copy
            FROM ({decoded.select(f"{key}{names}, PROCTIME() AS seen", condition)})
        )
        WHERE copy = 1
    """)  # noqa: S608
