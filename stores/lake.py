"""The Iceberg tables: created here because Flink's DDL knows no partition transforms, read here by tools.

Flink writes to them through the same catalog: a JDBC catalog whose name is part of its rows, so both sides
must call it `CATALOG`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow.fs import FileSystem
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    LiteralPredicate,
    Reference,
)
from pyiceberg.io.pyarrow import ArrowScan, PyArrowFileIO
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import DataScan, Table
from pyiceberg.transforms import BucketTransform, DayTransform, Transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from errors import is_full
from stores import aws
from stores.errors import StoreError
from stores.lake_address import LakeAddress

CATALOG: Final = "lake"
EVENT_STORE: Final = "events"
USER_UPDATES: Final = "user_updates"
COHORT_MESSAGES: Final = "cohort_messages"
COHORT_CHANGES: Final = "cohort_changes"
DEAD_LETTERS: Final = "dead_letters"
LEDGER: Final = "ledger"
EVENT_COUNTS: Final = "event_counts"
TABLES: Final = (
    *(EVENT_STORE, USER_UPDATES, COHORT_MESSAGES, COHORT_CHANGES),
    *(DEAD_LETTERS, LEDGER, EVENT_COUNTS),
)
"""All that the ingest job writes to."""
DELIVERIES: Final = "deliveries"
OUTBOX: Final = "outbox"
EXPORT_DEAD_LETTERS: Final = "export_dead_letters"
EXPORT_LEDGER: Final = "export_ledger"
EXPORT_TABLES: Final = (DELIVERIES, OUTBOX, EXPORT_DEAD_LETTERS, EXPORT_LEDGER)
"""All that the export job writes to."""

_T = TypeVar("_T")
_LOOKS: Final = 5
"""How often to look: catalog, namespace, table and columns may be created by another at the same moment."""
_MET: Final = (IntegrityError, ProgrammingError, CommitFailedException)
_FILES_AT_ONCE: Final = 32

_TYPES: Final[dict[type, IcebergType]] = {
    str: StringType(),
    dict: StringType(),
    int: LongType(),
    bool: BooleanType(),
    float: DoubleType(),
    bytes: BinaryType(),
    datetime: TimestamptzType(),
}

_PROPERTIES: Final = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    # columns of unique values, such as ids, give up their dictionary early: to look each value up costs CPU
    "write.parquet.dict-size-bytes": "65536",
}


class Partition(NamedTuple):
    """One partition field: the day of a time column, or a number of buckets of any column."""

    column: str
    transform: Literal["day"] | int

    def field(self, schema: Schema, field_id: int) -> PartitionField:
        """This partition as Iceberg writes it down."""
        transform: Transform[Any, Any]
        if self.transform == "day":
            name, transform = f"{self.column}_day", DayTransform()
        else:
            name, transform = f"{self.column}_bucket", BucketTransform(self.transform)
        return PartitionField(schema.find_field(self.column).field_id, field_id, transform, name)


class Totals(NamedTuple):
    """What a table's current snapshot consists of, by its own summary."""

    data_files: int
    delete_files: int
    bytes: int


class Condition(NamedTuple):
    """What a column's value must be for its row to be read; equal to None means that there is none."""

    column: str
    comparison: Literal["=", ">=", "<"]
    value: Any

    def expression(self) -> BooleanExpression:
        """This condition as Iceberg writes it down."""
        if self.value is None:
            return IsNull(term=Reference(self.column))
        compared: dict[str, type[LiteralPredicate]] = {"=": EqualTo, ">=": GreaterThanOrEqual, "<": LessThan}
        return compared[self.comparison](term=Reference(self.column), value=self.value)


class Lake:
    """The product's Iceberg tables. Methods raise StoreError in one line when the catalog cannot be used."""

    def __init__(self, address: LakeAddress) -> None:
        self.address = address
        # by name: without one, the driver that SQLAlchemy prefers need not be the one that is installed
        uri = address.catalog_uri.replace("postgresql://", "postgresql+psycopg2://", 1)
        properties = {"uri": uri, "warehouse": address.warehouse, "s3.region": address.s3_region}
        properties["pool_pre_ping"] = "true"  # a process that outlives a restart of the catalog connects anew
        if address.s3_endpoint:
            properties |= {"s3.endpoint": address.s3_endpoint, "s3.force-virtual-addressing": "false"}
        if aws.emulated(address.s3_endpoint):
            properties |= {"s3.access-key-id": "local", "s3.secret-access-key": "local"}
        self.catalog = self._repeated(partial(SqlCatalog, CATALOG, **properties))

    def create(self, table: str, columns: Mapping[str, type], partitions: Sequence[Partition]) -> None:
        """Create a table with optional columns of these Python types, unless it is there.

        Columns that a newer version has and the table lacks are added; none is ever dropped or retyped.
        """
        schema = Schema(
            *(
                NestedField(i, name, _TYPES[kind], required=False)
                for i, (name, kind) in enumerate(columns.items(), 1)
            )
        )
        spec = PartitionSpec(*(p.field(schema, 1000 + i) for i, p in enumerate(partitions)))
        self._repeated(partial(self._create, table, schema, spec))

    def _create(self, table: str, schema: Schema, spec: PartitionSpec) -> None:
        namespace = self.address.namespace
        self.catalog.create_namespace_if_not_exists(namespace)
        existing = self.catalog.create_table_if_not_exists(
            (namespace, table), schema, partition_spec=spec, properties=_PROPERTIES
        )
        with existing.update_schema() as update:
            update.union_by_name(schema)

    def _repeated(self, create: Callable[[], _T], looks: int = _LOOKS) -> _T:
        """What `create` gives; one that meets another starter on its way finds what that has made, and goes on."""
        try:
            return create()
        except (SQLAlchemyError, CommitFailedException) as error:
            # not where the catalog is away or locked: that has taken its time already
            met = isinstance(error, _MET) or "already exists" in str(error)
            if not met or looks == 1:
                raise StoreError(self._unusable(error)) from None
        except OSError as error:
            msg = f"warehouse {self.address.warehouse} cannot be written: {' '.join(str(error).split())}"
            raise StoreError(msg) from None
        return self._repeated(create, looks - 1)

    def table(self, name: str) -> Table:
        """One table as of now. Raises StoreError when it does not exist yet."""
        try:
            return self.catalog.load_table((self.address.namespace, name))
        except NoSuchTableError:
            job = "export" if name in EXPORT_TABLES else "ingest"
            msg = (
                f"table {self.address.namespace}.{name} does not exist in {self._place}: start the {job} job, "
                "which creates it; if it was there before, look at lake.catalog_uri"
            )
            raise StoreError(msg) from None

    def totals(self, table: str) -> Totals:
        """What a table consists of; only its metadata is read. Raises StoreError."""
        with self.readable():
            current = self.table(table).current_snapshot()
        said = current.summary.additional_properties if current and current.summary else {}
        wanted = ("total-data-files", "total-delete-files", "total-files-size")
        return Totals(*(int(said.get(name, 0)) for name in wanted))

    def days(self, table: str) -> list[datetime]:
        """The days, aware, that a table has rows of by its first partition field, newest first; no row is read.

        No day where a file is of no partition: its rows may be of any.
        """
        with self.readable():
            partitions = [task.file.partition for task in self.table(table).scan().plan_files()]
        numbers = {one[0] for one in partitions} if all(map(len, partitions)) else set()
        return [datetime.fromtimestamp(number * 86_400, UTC) for number in sorted(numbers, reverse=True)]

    def exists(self, name: str) -> bool:
        """Whether a table is there."""
        with self.readable():
            return self.catalog.table_exists((self.address.namespace, name))

    def rows(
        self,
        table: str,
        columns: Sequence[str] = ("*",),
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> pa.Table:
        """Rows of a table's current snapshot that meet all conditions, at most `limit`; all are in memory."""
        with self.readable():
            return self.scan(table, columns, where, limit).to_arrow()

    def pieces(self, table: str, columns: Sequence[str], where: Sequence[Condition] = ()) -> Iterator[pa.Table]:
        """The same rows, however many, a few files at a time: no more than those are in memory."""
        with self.readable():
            scan = self.scan(table, columns, where)
            # pyiceberg's own reader starts on all files at once and keeps what it has read until it is asked for
            reader = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter)
            files = iter(scan.plan_files())
            while some := list(islice(files, _FILES_AT_ONCE)):
                yield reader.to_table(some)

    def scan(
        self, table: str, columns: Sequence[str], where: Sequence[Condition], limit: int | None = None
    ) -> DataScan:
        """Iceberg's scan for rows of a table's current snapshot that meet all conditions.

        Raises StoreError when there is no such table or column.
        """
        matches: BooleanExpression = AlwaysTrue()
        for condition in where:
            matches = And(matches, condition.expression())
        found = self.table(table)
        if missing := set(columns) - {"*", *found.schema().column_names}:
            names = ", ".join(sorted(missing))
            msg = f"table {self.address.namespace}.{table} has no {names}: start the ingest job, which adds it"
            raise StoreError(msg)
        return found.scan(matches, selected_fields=tuple(columns), limit=limit)

    def place(self, uri: str) -> tuple[FileSystem, str]:
        """Where a URI leads that can be read as the warehouse can: a file system, and the path in it."""
        scheme, host, path, *_ = urlsplit(uri)
        return PyArrowFileIO(dict(self.catalog.properties)).fs_by_scheme(scheme, host or None), f"{host}{path}"

    @contextmanager
    def readable(self) -> Iterator[None]:
        """What reads from the catalog or the warehouse within it raises StoreError when one is away."""
        try:
            yield
        except OSError as error:
            does, fix = ("written", ": make room there, then repeat this") if is_full(error) else ("read", "")
            msg = f"warehouse {self.address.warehouse} cannot be {does}: {' '.join(str(error).split())}{fix}"
            raise StoreError(msg) from None
        except SQLAlchemyError as error:
            raise StoreError(self._unusable(error)) from None

    @property
    def _place(self) -> str:
        """The catalog's address without a user and a password."""
        uri = urlsplit(self.address.catalog_uri)
        place = f"//{uri.path}" if uri.scheme == "sqlite" else f"{uri.hostname}:{uri.port}{uri.path}"
        return f"{uri.scheme}:{place}"

    def _unusable(self, error: Exception) -> str:
        reason = " ".join(str(error.__cause__ or error).split())
        return f"Iceberg catalog {self._place} cannot be used: {reason}: look at lake.catalog_uri"
