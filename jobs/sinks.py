"""Where rows go: the Iceberg tables through Flink's catalog, and the totals' last table, which keeps nothing."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from pyflink.table import StreamTableEnvironment

from jobs.sources import with_options
from stores.lake import (
    CATALOG,
    COHORT_CHANGES,
    COHORT_MESSAGES,
    DEAD_LETTERS,
    DELIVERIES,
    EVENT_COUNTS,
    EVENT_STORE,
    EXPORT_DEAD_LETTERS,
    EXPORT_LEDGER,
    LEDGER,
    OUTBOX,
    USER_UPDATES,
    Lake,
    Partition,
)
from stores.lake_address import LakeAddress
from udfs.model import COHORT_COLUMNS, EVENT_COLUMNS, EVENT_COUNT_COLUMNS, LEDGER_COLUMNS

CATALOG_CLASS: Final = "org.apache.iceberg.jdbc.JdbcCatalog"
_LINEAGE: Final[dict[str, type]] = {"arrival": datetime, "shard": str, "sequence": str, "sub_index": int}
_DAY: Final = Partition("arrival", "day")
# Not a partition per project: a thousand projects would leave a thousand files at every checkpoint.
_PROJECT_BUCKETS: Final = 16


COLUMNS: Final[dict[str, dict[str, type]]] = {
    EVENT_STORE: {**EVENT_COLUMNS, "popup_trigger": bool, **_LINEAGE},
    USER_UPDATES: {**EVENT_COLUMNS, "to_profile": bool, **_LINEAGE},
    COHORT_MESSAGES: {"project_id": int, "notifly_project": str, "payload": bytes, **_LINEAGE},
    COHORT_CHANGES: {
        "project_id": int,
        "notifly_project": str,
        **COHORT_COLUMNS,
        **_LINEAGE,
    },
    DEAD_LETTERS: {
        "kind": str,
        "reason": str,
        "detail": str,
        "project_id": int,
        "payload": bytes,
        "payload_length": int,
        "payload_sha256": str,
        **_LINEAGE,
        "request_id": str,
    },
    LEDGER: LEDGER_COLUMNS,
    EVENT_COUNTS: EVENT_COUNT_COLUMNS,
}
"""The columns of each table that the ingest job writes to, in order."""
_FIRST: Final[dict[str, type]] = {"arrival": datetime, "shard": str, "sequence": str}
"""The record that an event came from first, however often it was put on the stream since."""
EXPORT_COLUMNS: Final[dict[str, dict[str, type]]] = {
    DELIVERIES: {
        "project_id": int,
        "event_id": str,
        "attempt": int,
        "outcome": str,
        "reason": str,
        "words": str,
        "answered": datetime,
        **_FIRST,
    },
    OUTBOX: {
        "project_id": int,
        "event_id": str,
        "attempt": int,
        "outcome": str,
        "due": datetime,
        "event": bytes,
        "words": str,
        **_FIRST,
    },
    EXPORT_DEAD_LETTERS: {
        "kind": str,
        "reason": str,
        "detail": str,
        "project_id": int,
        "event_id": str,
        "payload": bytes,
        "payload_length": int,
        **_FIRST,
    },
    EXPORT_LEDGER: {
        "hour": datetime,
        "shard": str,
        "project_id": int,
        "redelivery": bool,
        "outcome": str,
        "reason": str,
        "events": int,
    },
}
"""The columns of each table that the export job writes to, in order."""
_PARTITIONS: Final = {
    EVENT_STORE: [Partition("server_upload_time", "day"), Partition("project_id", _PROJECT_BUCKETS)],
    USER_UPDATES: [_DAY],
    COHORT_MESSAGES: [_DAY],
    COHORT_CHANGES: [_DAY],
    DEAD_LETTERS: [_DAY],
    LEDGER: [Partition("hour", "day")],
    EVENT_COUNTS: [Partition("hour", "day"), Partition("project_id", _PROJECT_BUCKETS)],
    DELIVERIES: [_DAY, Partition("project_id", _PROJECT_BUCKETS)],
    OUTBOX: [_DAY, Partition("project_id", _PROJECT_BUCKETS)],
    EXPORT_DEAD_LETTERS: [_DAY],
    EXPORT_LEDGER: [Partition("hour", "day")],
}


def create_tables(lake: Lake, tables: Mapping[str, Mapping[str, type]] = MappingProxyType(COLUMNS)) -> None:
    """Create a job's tables, the ingest job's unless said otherwise, where there are none. Raises StoreError."""
    for table, columns in tables.items():
        lake.create(table, columns, _PARTITIONS[table])


def use_lake(tables: StreamTableEnvironment, lake: LakeAddress) -> None:
    """Make the lake's catalog known to Flink."""
    options = {"type": "iceberg", "catalog-impl": CATALOG_CLASS, "catalog-name": CATALOG, **catalog_options(lake)}
    tables.execute_sql(f"CREATE CATALOG {CATALOG} WITH ({with_options(options)})")


def catalog_options(lake: LakeAddress) -> dict[str, str]:
    """What Iceberg's catalog in the JVM, `CATALOG_CLASS`, must be told of the lake."""
    options = {
        "uri": jdbc_uri(lake.catalog_uri),
        "jdbc.schema-version": "V1",
        "warehouse": lake.warehouse,
    }
    if lake.warehouse.startswith("s3://"):
        options |= {"io-impl": "org.apache.iceberg.aws.s3.S3FileIO", "client.region": lake.s3_region}
    if lake.s3_endpoint is not None:
        options |= {"s3.endpoint": lake.s3_endpoint, "s3.path-style-access": "true"}
    return options


def jdbc_uri(catalog_uri: str) -> str:
    """The catalog's SQLAlchemy URI as JDBC writes it. Neither holds a password: both drivers read ~/.pgpass."""
    uri = urlsplit(catalog_uri)
    if uri.scheme == "sqlite":
        return f"jdbc:sqlite:{uri.path.removeprefix('/')}"
    user = f"?user={uri.username}" if uri.username else ""
    return f"jdbc:postgresql://{uri.hostname}:{uri.port or 5432}{uri.path}{user}"


def lake_table(lake: LakeAddress, table: str) -> str:
    """The path of a lake table in SQL."""
    return f"`{CATALOG}`.`{lake.namespace}`.`{table}`"


def discard(tables: StreamTableEnvironment, name: str, like: str | None = None) -> str:
    """A table that keeps nothing, of one BIGINT or `like` another: for rows that were written already."""
    columns, copied = ("", f"LIKE {like} (EXCLUDING ALL)") if like else ("(written BIGINT)", "")
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE {name}_written {columns} WITH ('connector' = 'blackhole') {copied}"
    )
    return f"{name}_written"
