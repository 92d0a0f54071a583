"""Which rows of the lake's tables are a user's or of an event, and what becomes of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from stores.lake import COHORT_CHANGES, COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES
from stores.rewrite import File, Rewriting
from udfs import parse
from udfs.erase import amplitude_needles, holder, needles, without
from udfs.model import EVENT_PREFIX, Rejection

_ACCOUNT: Final = ("project_id", "hour", "shard", "month", "reason")


class Hit(NamedTuple):
    """A row of a file that is the subject's; with a `payload` the row stays and has that one."""

    row: int
    subject: str
    payload: bytes | None = None

    @property
    def change(self) -> str:
        """What becomes of the row."""
        return "removed" if self.payload is None else "cut"


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


class Users(NamedTuple):
    """Whose rows go: by user id, by Amplitude's id where a row has no user id, and by that on any row."""

    project_id: int
    before: datetime
    users: Mapping[str, str]
    nameless: Mapping[int, str]
    everywhere: Mapping[int, str] = MappingProxyType({})

    @property
    def subjects(self) -> list[str]:
        """Each of them once."""
        return list(dict.fromkeys((*self.everywhere.values(), *self.users.values())))

    def proof(self, subject: str) -> tuple[tuple[str, ...], str]:
        """By the hash: nobody reads an id in a receipt."""
        numbered = subject in self.everywhere.values()
        text = "'amplitude ' || CAST(amplitude_id AS STRING)" if numbered else "user_id"
        tables = (EVENT_STORE, USER_UPDATES, *(() if numbered else (COHORT_CHANGES,)))
        return tables, f"SHA256('{self.project_id}:' || {text}) = '{subject}'"

    def parts(self) -> list[Part]:
        """All tables of the lake that may hold rows of the subjects."""
        return [
            *(Part(table, ("user_id", "amplitude_id"), self._events) for table in (EVENT_STORE, USER_UPDATES)),
            Part(COHORT_CHANGES, ("user_id",), self._changes),
            Part(COHORT_MESSAGES, ("payload",), self._messages),
            Part(DEAD_LETTERS, ("payload",), self._letters),
        ]

    def _events(self, rows: pa.Table) -> list[Hit]:
        nameless = pc.and_(_among(rows, self.nameless), pc.is_null(rows["user_id"]))
        mine = pc.or_(pc.or_(self._named(rows), nameless), _among(rows, self.everywhere))
        found = _chosen(rows, pc.and_(scope(self, rows), mine), "user_id", "amplitude_id")
        known = {**self.nameless, **self.everywhere}
        return [Hit(at, self.users[user] if user in self.users else known[number]) for at, user, number in found]

    def _changes(self, rows: pa.Table) -> list[Hit]:
        mine = pc.and_(scope(self, rows), self._named(rows))
        return [Hit(at, self.users[user]) for at, user in _chosen(rows, mine, "user_id")]

    def _named(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.is_in(rows["user_id"], value_set=pa.array(list(self.users), rows["user_id"].type))

    def _messages(self, rows: pa.Table) -> list[Hit]:
        return [hit for at, payload in _payloads(self, rows) if (hit := self._cut(at, payload))]

    def _letters(self, rows: pa.Table) -> list[Hit]:
        # one that names no project may be anybody's: nobody can say that it is not this user's
        wanted = self._needles()
        hits = []
        for at, payload in _payloads(self, rows, nobodys=True):
            if cut := self._cut(at, payload):
                hits.append(cut)
            elif subject := holder(payload, wanted):
                hits.append(Hit(at, subject))
        return hits

    def _needles(self) -> dict[str, frozenset[bytes]]:
        found: dict[str, frozenset[bytes]] = {subject: needles(user) for user, subject in self.users.items()}
        for number, subject in (*self.nameless.items(), *self.everywhere.items()):
            found[subject] = found.get(subject, frozenset()) | amplitude_needles(number)
        return found

    def _cut(self, at: int, payload: bytes) -> Hit | None:
        kept, gone = without(payload, self.users)
        return Hit(at, self.users[gone[0]], kept) if gone else None


class Event(NamedTuple):
    """The rows and dead letters of one event."""

    project_id: int
    before: datetime
    name: str
    """Amplitude's"""
    users: Mapping[str, str] = MappingProxyType({})
    nameless: Mapping[int, str] = MappingProxyType({})

    @property
    def subjects(self) -> list[str]:
        """The one, readable: it is nobody's id."""
        return [f"event {self.name}"]

    def parts(self) -> list[Part]:
        """The event store, and what was not taken; user updates are no events."""
        return [
            Part(EVENT_STORE, ("name",), self._events),
            Part(DEAD_LETTERS, ("payload",), self._letters),
        ]

    def proof(self, _: str) -> tuple[tuple[str, ...], str]:
        """By the name."""
        quoted = (EVENT_PREFIX + self.name).replace("'", "''")
        return (EVENT_STORE,), f"name = '{quoted}'"

    def _events(self, rows: pa.Table) -> list[Hit]:
        mine = pc.equal(rows["name"], EVENT_PREFIX + self.name)
        return [Hit(at, self.subjects[0]) for (at,) in _chosen(rows, pc.and_kleene(scope(self, rows), mine))]

    def _letters(self, rows: pa.Table) -> list[Hit]:
        return [Hit(at, self.subjects[0]) for at, payload in _payloads(self, rows) if self._is_one(payload)]

    def _is_one(self, payload: bytes) -> bool:
        found = parse.record(payload)
        return not isinstance(found, Rejection) and found.fields.get("event_type") == self.name


def scope(target: Target, rows: pa.Table, *, nobodys: bool = False) -> pa.ChunkedArray:
    """Whether each row is the project's and early enough; with `nobodys` also those that name no project."""
    mine = pc.equal(rows["project_id"], target.project_id)
    if nobodys:
        mine = pc.or_kleene(mine, pc.is_null(rows["project_id"]))
    early = pc.less(rows["arrival"], pa.scalar(target.before, rows["arrival"].type))
    return pc.fill_null(pc.and_kleene(mine, early), False)


def _among(rows: pa.Table, amplitude_ids: Iterable[int]) -> pa.ChunkedArray:
    return pc.is_in(rows["amplitude_id"], value_set=pa.array(list(amplitude_ids), pa.int64()))


def _payloads(target: Target, rows: pa.Table, *, nobodys: bool = False) -> Iterator[tuple[int, bytes]]:
    found = _chosen(rows, scope(target, rows, nobodys=nobodys), "payload")
    return ((at, payload) for at, payload in found if payload)


def _chosen(rows: pa.Table, mask: pa.ChunkedArray, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The number of each row that a mask chooses, and its values of some columns."""
    numbered = rows.select(columns).add_column(0, "", pa.array(range(rows.num_rows), pa.int64()))
    found = numbered.filter(mask)
    return zip(*(column.to_pylist() for column in found.columns), strict=True)


def light_columns(rewriting: Rewriting, file: File, part: Part) -> pa.Table:
    """The columns of a file that say whose its rows are, and by which they are counted."""
    more = {DEAD_LETTERS: ("reason",), EVENT_STORE: ("month",), USER_UPDATES: ("month",)}.get(part.table, ())
    return rewriting.rows(file, ("project_id", "arrival", "shard", *more, *part.columns))


def changed(rows: pa.Table, hits: Sequence[Hit]) -> pa.Table:
    """A file's rows as they are to be: some without their payload's entries, and those left out that go."""
    cut = {hit.row: hit.payload for hit in hits if hit.payload is not None}
    if cut:
        at = rows.schema.get_field_index("payload")
        column = rows["payload"].combine_chunks()
        payloads = [cut.get(row, payload) for row, payload in enumerate(column.to_pylist())]
        rows = rows.set_column(at, rows.schema.field(at), pa.array(payloads, column.type))
    gone = {hit.row for hit in hits if hit.payload is None}
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
