"""Rows of the lake taken out or changed beside the running job: a file is written anew and exchanged for the old.

A commit exchanges files only while all of them are still there. Flink's commits in between add files, so the
exchange is repeated on top of them; a compaction takes files away, and then they are looked for again.
"""

import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
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
"""In a snapshot's summary: the attempt that it is of."""
_COMMITTED: Final = "amplitude-bridge.committed."
"""How the name of a table's property begins that outlives that snapshot: a run, whose last commit is its value."""
_COMMITS: Final = 20
_PAUSE: Final = 0.2

File: TypeAlias = FileScanTask
"""A data file of a table."""


class Attempt(NamedTuple):
    """One attempt of a run to commit, by a number that rises; its name has no other attempt."""

    run: str
    number: int

    def __str__(self) -> str:
        return f"{self.run}.{self.number}"

    @classmethod
    def named(cls, name: str) -> "Attempt":
        """The attempt of that name."""
        run, _, number = name.rpartition(".")
        return cls(run, int(number))


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

    def commit(self, exchanges: Sequence[Exchange], attempt: Attempt | None = None) -> bool:
        """Exchange the files; False when one of the old is not there any more, and nothing is done.

        An attempt that is committed is told by `committed` until `forget`: also to one who was killed before the
        answer came.
        """
        with self._lake.readable():
            for number in range(_COMMITS):
                table = self._lake.table(self._name)
                live = {file.file.file_path for file in self._live(table)}
                if any(one.old.file_path not in live for one in exchanges):
                    return False
                try:
                    _commit(table, exchanges, attempt)
                except (CommitFailedException, ValidationException):
                    time.sleep(_PAUSE * (number + 1))
                else:
                    return True
        msg = f"table {self._name} was written to {_COMMITS} times meanwhile: repeat this, it goes on where it was"
        raise StoreError(msg)

    def _live(self, table: Table) -> list[File]:
        return list(table.scan(self._where).plan_files())


def _commit(table: Table, exchanges: Sequence[Exchange], attempt: Attempt | None) -> None:
    with table.transaction() as change:
        if attempt:
            change.set_properties({f"{_COMMITTED}{attempt.run}": str(attempt.number)})
        with change.update_snapshot({ATTEMPT: str(attempt)} if attempt else {}).overwrite() as overwrite:
            for one in exchanges:
                overwrite.delete_data_file(one.old)
                if one.new is not None:
                    overwrite.append_data_file(one.new)


def committed(lake: Lake, table: str) -> dict[str, int]:
    """By run the number of the last attempt of it that a table has taken, and with it of all before."""
    with lake.readable():
        properties = lake.table(table).properties
    return {
        name.removeprefix(_COMMITTED): int(number)
        for name, number in properties.items()
        if name.startswith(_COMMITTED)
    }


def forget(lake: Lake, table: str, runs: Iterable[str]) -> None:
    """Let a table no longer know of runs that are finished."""
    for _ in range(_COMMITS):
        known = committed(lake, table).keys() & set(runs)
        if not known:
            return
        with lake.readable(), suppress(CommitFailedException), lake.table(table).transaction() as change:
            change.remove_properties(*(f"{_COMMITTED}{run}" for run in known))
