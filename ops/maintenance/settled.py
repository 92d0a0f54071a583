"""What is settled of the outbox, taken out beside the running job, in one commit: an attempt and what settled it
belong together, for an attempt that nothing settles waits.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers.waiting import ERASED, KEY, unsettled
from stores.lake import OUTBOX, Lake
from stores.rewrite import File, Rewriting
from udfs.export.sender import Outcome

_COLUMNS: Final = (*KEY, "outcome")


def remove_settled(lake: Lake) -> int:
    """Take settled rows out once they are more than those that wait; how many. Raises StoreError.

    So each row is written anew about once. Nothing is done when others exchange files at the same time.
    """
    rewriting = Rewriting(lake, OUTBOX, ())
    pieces = [_numbered(rewriting, file, at) for at, file in enumerate(rewriting.files)]
    if not pieces:
        return 0
    rows = pa.concat_tables(pieces)
    kept = unsettled(rows, Outcome.WAITING, ERASED)
    settled = rows.num_rows - kept.num_rows
    if settled <= kept.num_rows:
        return 0
    exchanges = [
        rewriting.exchange(file, _kept(rewriting, file, numbers))
        for at, file in enumerate(rewriting.files)
        if len(numbers := kept.filter(pc.field("file") == at)["row"].sort()) < pieces[at].num_rows
    ]
    return settled if rewriting.commit(exchanges) else 0


def _numbered(rewriting: Rewriting, file: File, at: int) -> pa.Table:
    """The rows of a file by key and outcome, each with the number of the file and its own."""
    rows = rewriting.rows(file, _COLUMNS)
    numbers = pa.array(range(rows.num_rows), pa.int64())
    return rows.append_column("file", pa.array([at] * rows.num_rows, pa.int64())).append_column("row", numbers)


def _kept(rewriting: Rewriting, file: File, numbers: pa.ChunkedArray) -> pa.Table:
    """The rows of a file with these numbers; one that keeps none is not read."""
    return rewriting.rows(file).take(numbers) if len(numbers) else pa.table({})
