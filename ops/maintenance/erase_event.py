"""Which rows are of an event."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ops.maintenance.erasable import Hit, Part, chosen, payloads, scope
from stores.lake import DEAD_LETTERS, EVENT_STORE
from udfs import parse
from udfs.model import EVENT_PREFIX, Rejection


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
        return [Hit(at, self.subjects[0]) for (at,) in chosen(rows, pc.and_kleene(scope(self, rows), mine))]

    def _letters(self, rows: pa.Table) -> list[Hit]:
        return [Hit(at, self.subjects[0]) for at, payload in payloads(self, rows) if self._is_one(payload)]

    def _is_one(self, payload: bytes) -> bool:
        found = parse.record(payload)
        return not isinstance(found, Rejection) and found.fields.get("event_type") == self.name
