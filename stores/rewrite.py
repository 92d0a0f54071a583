"""Rows of the lake taken out or changed beside the running job: a file is written anew and exchanged for the old.

A commit exchanges files only while all of them are still there. Flink's commits in between add files, so the
exchange is repeated on top of them; a compaction takes files away, and then they are looked for again.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final, NamedTuple, TypeAlias

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression
from pyiceberg.io.pyarrow import ArrowScan, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import FileScanTask, Table, WriteTask

from stores.errors import StoreError
from stores.lake import Condition, Lake

ATTEMPT: Final = "amplitude-bridge.attempt"
"""In a snapshot's summary: what its commit is known by, to one who was killed before the answer came."""
_COMMITS: Final = 20
_PAUSE: Final = 0.2

File: TypeAlias = FileScanTask
"""A data file of a table."""


class Exchange(NamedTuple):
    """A data file, and the one in its place; None when no row is left."""

    old: DataFile
    new: DataFile | None


class Rewriting:
    """The files of a table that may hold rows of interest. Methods raise StoreError when the lake is away."""

    def __init__(self, lake: Lake, table: str, where: Sequence[Condition]) -> None:
        self._lake, self._name = lake, table
        self._where: BooleanExpression = reduce(And, [one.expression() for one in where] or [AlwaysTrue()])
        with lake.readable():
            self._table = lake.table(table)
            self.files: list[File] = self._live(self._table)

    def rows(self, file: File, columns: Sequence[str] = ("*",)) -> pa.Table:
        """All rows of a file, in its order, whatever the conditions; the file is in memory."""
        with self._lake.readable():
            scan = self._table.scan(selected_fields=tuple(columns))
            reader = ArrowScan(scan.table_metadata, scan.io, scan.projection(), AlwaysTrue())
            return reader.to_table([file])

    def exchange(self, file: File, rows: pa.Table) -> Exchange:
        """Write what a file is exchanged for, in its partition; nothing is committed yet."""
        if not rows.num_rows:
            return Exchange(file.file, None)
        metadata, spec = self._table.metadata, self._table.spec()
        # as the old file has it: pyiceberg alone does not compute buckets
        values = [PartitionFieldValue(field, file.file.partition[at]) for at, field in enumerate(spec.fields)]
        key = PartitionKey(values, spec, self._table.schema()) if values else None
        schema, batches = self._table.schema(), rows.combine_chunks().to_batches()
        with self._lake.readable():
            task = WriteTask(uuid.uuid4(), 0, schema, batches, partition_key=key)
            (new,) = write_file(self._table.io, metadata, iter([task]))
        return Exchange(file.file, new)

    def commit(self, exchanges: Sequence[Exchange], attempt: str) -> bool:
        """Exchange the files; False when one of the old is not there any more, and nothing is done."""
        with self._lake.readable():
            for number in range(_COMMITS):
                table = self._lake.table(self._name)
                live = {file.file.file_path for file in self._live(table)}
                if any(one.old.file_path not in live for one in exchanges):
                    return False
                try:
                    _commit(table, exchanges, {ATTEMPT: attempt})
                except (CommitFailedException, ValidationException):
                    time.sleep(_PAUSE * (number + 1))
                else:
                    return True
        msg = f"table {self._name} was written to {_COMMITS} times meanwhile: repeat this, it goes on where it was"
        raise StoreError(msg)

    def _live(self, table: Table) -> list[File]:
        return list(table.scan(self._where).plan_files())


def _commit(table: Table, exchanges: Sequence[Exchange], said: Mapping[str, str]) -> None:
    with table.transaction() as change, change.update_snapshot(dict(said)).overwrite() as overwrite:
        for one in exchanges:
            overwrite.delete_data_file(one.old)
            if one.new is not None:
                overwrite.append_data_file(one.new)
