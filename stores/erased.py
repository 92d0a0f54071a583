"""How many rows were erased, table `erased` of the lake: what the ledger has counted and is no more.

Rows are counted before they are taken, under the name of the attempt to commit that (`stores.rewrite`). The table
knows which attempts it has taken: the counts of one that a dead process left uncommitted are dropped.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import In, Reference

from stores.errors import StoreError
from stores.history import Commit
from stores.lake import Condition, Lake
from stores.rewrite import Attempt

ERASED: Final = "erased"
COLUMNS: Final[dict[str, type]] = {
    "erasure": str,
    "subject": str,
    "attempt": str,
    "table_name": str,
    "change": str,
    "project_id": int,
    "hour": datetime,
    "shard": str,
    "month": str,
    "reason": str,
    "records": int,
}
"""The table `erased`: what an attempt took of a table, in rows to be summed."""
_TRIES: Final = 5


def create(lake: Lake) -> None:
    """Create the table `erased` unless it is there."""
    lake.create(ERASED, COLUMNS, [])


def add(lake: Lake, counts: Sequence[Mapping[str, Any]]) -> None:
    """Write counts, each with all columns of the table."""

    def append() -> None:
        table = lake.table(ERASED)
        table.append(pa.Table.from_pylist(list(counts), schema=table.schema().as_arrow()))

    _repeated(lake, append)


def drop(lake: Lake, attempts: Iterable[str]) -> None:
    """Drop the counts of attempts that were not committed, or were undone."""
    named: Any = set(attempts)
    if named and lake.exists(ERASED):
        _repeated(lake, lambda: lake.table(ERASED).delete(In(term=Reference("attempt"), values=named)))


def began(erasure: str) -> datetime:
    """When an erasure began, as its name says."""
    return datetime.fromisoformat(erasure.partition("Z")[0]).replace(tzinfo=UTC)


def newest(lake: Lake) -> dict[str, datetime]:
    """By table when the newest erasure of rows of it began."""
    rows = erased(lake, ("table_name", "erasure"))
    return dict(sorted((row["table_name"], began(row["erasure"])) for row in rows))


def holding(
    commits: Sequence[Commit], began_at: datetime, of: Callable[[str], bool] = lambda _: True
) -> list[Commit]:
    """The commits, newest first, whose snapshots still hold rows that an erasure has taken since.

    They are those up to its own last commit, whose manifests have bounds of what it took; where that has expired,
    those of before it began. `of` chooses erasures by the name of the run.
    """
    mine = (i for i, one in enumerate(commits) if one.attempt and of(Attempt.named(one.attempt).run))
    last = next(mine, len(commits))
    return [one for i, one in enumerate(commits) if i >= last or one.at < began_at]


def _repeated(lake: Lake, change: Callable[[], None]) -> None:
    """Change the table, again should another erasure have changed it in the same moment."""
    for _ in range(_TRIES):
        try:
            with lake.readable():
                return change()
        except (CommitFailedException, ValidationException):
            continue
    msg = f"table {lake.address.namespace}.{ERASED} was written to {_TRIES} times meanwhile: repeat this"
    raise StoreError(msg)


def erased(lake: Lake, columns: Sequence[str], where: Sequence[Condition] = ()) -> Iterator[dict[str, Any]]:
    """The counts that meet the conditions; none where nothing was ever erased."""
    if lake.exists(ERASED):
        for piece in lake.pieces(ERASED, columns, where):
            yield from piece.to_pylist()
