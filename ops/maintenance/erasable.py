"""What an erasure needs to know of a table: which rows it finds there, what becomes of them, how they count."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from stores.lake import DEAD_LETTERS, EVENT_STORE, USER_UPDATES
from stores.rewrite import File, Rewriting

_ACCOUNT: Final = ("project_id", "hour", "shard", "month", "reason")


class Hit(NamedTuple):
    """A row of a file that is the subject's; with a `cut` the row stays and has these values, by column."""

    row: int
    subject: str
    cut: Mapping[str, Any] | None = None

    @property
    def change(self) -> str:
        """What becomes of the row."""
        return "removed" if self.cut is None else "cut"


class Part(NamedTuple):
    """A table, the columns by which rows of subjects are found in it, and how."""

    table: str
    columns: tuple[str, ...]
    hits: Callable[[pa.Table], list[Hit]]


class Target(Protocol):
    """What is to be erased of a project, if it arrived before a moment: by id the subject."""

    @property
    def project_id(self) -> int: ...
    @property
    def before(self) -> datetime: ...
    @property
    def subjects(self) -> list[str]: ...
    @property
    def users(self) -> Mapping[str, str]: ...
    @property
    def nameless(self) -> Mapping[int, str]: ...

    def parts(self) -> list[Part]:
        """All tables of the lake that may hold rows of the subjects."""

    def proof(self, subject: str) -> tuple[tuple[str, ...], str]:
        """Tables, and in Flink's SQL the condition that none of their rows meets when all are gone."""


def scope(target: Target, rows: pa.Table, *, nobodys: bool = False) -> pa.ChunkedArray:
    """Whether each row is the project's and early enough; with `nobodys` also those that name no project."""
    mine = pc.equal(rows["project_id"], target.project_id)
    if nobodys:
        mine = pc.or_kleene(mine, pc.is_null(rows["project_id"]))
    early = pc.less(rows["arrival"], pa.scalar(target.before, rows["arrival"].type))
    return pc.fill_null(pc.and_kleene(mine, early), False)


def payloads(target: Target, rows: pa.Table, *, nobodys: bool = False) -> Iterator[tuple[int, bytes]]:
    """The number and payload of each row that is in scope and has one."""
    found = chosen(rows, scope(target, rows, nobodys=nobodys), "payload")
    return ((at, payload) for at, payload in found if payload)


def letter(payload: bytes) -> dict[str, Any]:
    """The columns of a dead letter whose payload is cut."""
    return {"payload": payload, "payload_length": len(payload)}


def chosen(rows: pa.Table, mask: pa.ChunkedArray, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The number of each row that a mask chooses, and its values of some columns."""
    numbered = rows.select(columns).add_column(0, "", pa.array(range(rows.num_rows), pa.int64()))
    found = numbered.filter(mask)
    return zip(*(column.to_pylist() for column in found.columns), strict=True)


def light_columns(rewriting: Rewriting, file: File, part: Part) -> pa.Table:
    """The columns of a file that say whose its rows are, and by which they are counted."""
    more = {DEAD_LETTERS: ("reason",), EVENT_STORE: ("month",), USER_UPDATES: ("month",)}.get(part.table, ())
    return rewriting.rows(file, ("project_id", "arrival", "shard", *more, *part.columns))


def changed(rows: pa.Table, hits: Sequence[Hit]) -> pa.Table:
    """A file's rows as they are to be: with what is cut, and without those that go."""
    cuts = {hit.row: hit.cut for hit in hits if hit.cut is not None}
    for name in dict.fromkeys(name for cut in cuts.values() for name in cut):
        at = rows.schema.get_field_index(name)
        values = [cuts.get(row, {}).get(name, value) for row, value in enumerate(rows[name].to_pylist())]
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))
    gone = {hit.row for hit in hits if hit.cut is None}
    return rows.filter(pa.array([row not in gone for row in range(rows.num_rows)])) if gone else rows


def counted(light: pa.Table, table: str, erasure: str, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Rows of table `erased`, without the attempt."""
    found = light.take(pa.array([hit.row for hit in hits], pa.int64()))
    found = found.append_column("hour", pc.floor_temporal(found["arrival"], unit="hour"))
    counts = Counter(
        (hit.subject, hit.change, *(row.get(name) for name in _ACCOUNT))
        for hit, row in zip(hits, found.to_pylist(), strict=True)
    )
    names = ("subject", "change", *_ACCOUNT)
    return [
        {"erasure": erasure, "table_name": table, **dict(zip(names, one, strict=True)), "records": n}
        for one, n in counts.items()
    ]
