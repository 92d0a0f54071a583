"""Which rows are a user's: by id, in messages that name others too, and in what was not taken."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers.waiting import ERASED
from ops.maintenance.erasable import Hit, Part, chosen, letter, payloads, scope
from stores.lake import (
    COHORT_CHANGES,
    COHORT_MESSAGES,
    DEAD_LETTERS,
    EVENT_STORE,
    EXPORT_DEAD_LETTERS,
    OUTBOX,
    USER_UPDATES,
)
from udfs.erase import amplitude_needles, holder, needles, without


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
            Part(OUTBOX, ("event",), self._waiting),
            Part(EXPORT_DEAD_LETTERS, ("payload",), self._unsent),
        ]

    def _events(self, rows: pa.Table) -> list[Hit]:
        nameless = pc.and_(_among(rows, self.nameless), pc.is_null(rows["user_id"]))
        mine = pc.or_(pc.or_(self._named(rows), nameless), _among(rows, self.everywhere))
        found = chosen(rows, pc.and_(scope(self, rows), mine), "user_id", "amplitude_id")
        known = {**self.nameless, **self.everywhere}
        return [Hit(at, self.users[user] if user in self.users else known[number]) for at, user, number in found]

    def _changes(self, rows: pa.Table) -> list[Hit]:
        mine = pc.and_(scope(self, rows), self._named(rows))
        return [Hit(at, self.users[user]) for at, user in chosen(rows, mine, "user_id")]

    def _named(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.is_in(rows["user_id"], value_set=pa.array(list(self.users), rows["user_id"].type))

    def _messages(self, rows: pa.Table) -> list[Hit]:
        return [
            Hit(at, subject, {"payload": kept})
            for at, payload in payloads(self, rows)
            for kept, subject in self._without(payload)
        ]

    def _letters(self, rows: pa.Table) -> list[Hit]:
        # one that names no project may be anybody's: nobody can say that it is not this user's
        wanted = self._needles()
        hits = []
        for at, payload in payloads(self, rows, nobodys=True):
            if cut := self._without(payload):
                hits += [Hit(at, subject, letter(kept)) for kept, subject in cut]
            elif subject := holder(payload, wanted):
                hits.append(Hit(at, subject))
        return hits

    def _waiting(self, rows: pa.Table) -> list[Hit]:
        # the row stays, for the export ledger counts it; it is never due again
        wanted, emptied = self._needles(), {"outcome": ERASED, "due": None, "event": None}
        found = chosen(rows, scope(self, rows), "event")
        held = ((at, holder(event, wanted)) for at, event in found if event)
        return [Hit(at, subject, emptied) for at, subject in held if subject]

    def _unsent(self, rows: pa.Table) -> list[Hit]:
        wanted = self._needles()
        held = ((at, holder(payload, wanted)) for at, payload in payloads(self, rows, nobodys=True))
        return [Hit(at, subject, {"payload": None}) for at, subject in held if subject]

    def _needles(self) -> dict[str, frozenset[bytes]]:
        found: dict[str, frozenset[bytes]] = {subject: needles(user) for user, subject in self.users.items()}
        for number, subject in (*self.nameless.items(), *self.everywhere.items()):
            found[subject] = found.get(subject, frozenset()) | amplitude_needles(number)
        return found

    def _without(self, payload: bytes) -> list[tuple[bytes, str]]:
        """A message without entries of the users, and the subject of the first; none when it names nobody."""
        kept, gone = without(payload, self.users)
        return [(kept, self.users[gone[0]])] if gone else []


def _among(rows: pa.Table, amplitude_ids: Iterable[int]) -> pa.ChunkedArray:
    return pc.is_in(rows["amplitude_id"], value_set=pa.array(list(amplitude_ids), pa.int64()))
