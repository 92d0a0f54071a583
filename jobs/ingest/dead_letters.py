"""Stage `dead-letters`: what is not taken."""

from pyflink.table import StreamTableEnvironment, Table

from jobs.ingest.columns import STORED_LINEAGE
from jobs.ingest.decode import Decoded


def dead_letters(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """What is not taken, with the reason and the bytes as they came."""
    columns = "kind, reason, detail, project_id, payload, payload_length, payload_sha256"
    return tables.sql_query(decoded.select(f"{columns}, {STORED_LINEAGE}, request_id", "reason IS NOT NULL"))
