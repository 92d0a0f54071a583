"""Which rows and profiles have what stands at a path, and what is left of them without it."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from ops.maintenance.erasable import Hit, Part, chosen, letter, payloads, scope
from stores.lake import COHORT_CHANGES, COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES
from stores.profiles import StoredProfile
from stores.rules import FieldRule, Rules
from udfs import parse, rules
from udfs.model import DECODED, EVENT_COLUMNS, Rejection
from udfs.profile import Profile


class Property(NamedTuple):
    """What stands at a path: it is dropped, and the rows stay. Paths are those of field rules (`udfs.rules`)."""

    project_id: int
    before: datetime
    path: str
    users: Mapping[str, str] = MappingProxyType({})
    nameless: Mapping[int, str] = MappingProxyType({})

    @property
    def subjects(self) -> list[str]:
        """The one, readable: it is nobody's id."""
        return [f"property {self.path}"]

    @property
    def rule(self) -> Rules:
        """The path as a project's only rule."""
        return Rules((FieldRule(self.path, "drop"),))

    @property
    def of_profile(self) -> Rules | None:
        """The same within a profile, if it is about properties of users."""
        field, _, below = self.path.partition(".")
        return Rules((FieldRule(below, "drop"),)) if field == "user_properties" and below else None

    def parts(self) -> list[Part]:
        """All tables whose rows have properties, and dead letters that are JSON."""
        field = self.path.partition(".")[0]
        stored = (*((field,) if field in EVENT_COLUMNS else ()), "extra", "repairs")
        of_users = field == "user_properties"
        return [
            *(self._of_rows(table, stored) for table in (EVENT_STORE, USER_UPDATES)),
            *([self._of_rows(COHORT_CHANGES, ("user_properties",))] if of_users else []),
            *([Part(COHORT_MESSAGES, ("payload",), self._messages)] if of_users else []),
            Part(DEAD_LETTERS, ("payload",), self._letters),
        ]

    def proof(self, _: str) -> tuple[tuple[str, ...], str]:
        """By the path, its dots between names."""
        field, _, below = self.path.partition(".")
        if not below:
            return (EVENT_STORE, USER_UPDATES), f"{field} <> '{{}}'"
        quoted = below.replace("'", "''")
        return (EVENT_STORE, USER_UPDATES), f"JSON_EXISTS({field}, '$.{quoted}')"

    def _of_rows(self, table: str, columns: tuple[str, ...]) -> Part:
        return Part(table, columns, partial(self._rows, columns))

    def _rows(self, columns: tuple[str, ...], rows: pa.Table) -> list[Hit]:
        return [
            Hit(at, self.subjects[0], cut)
            for at, *values in chosen(rows, scope(self, rows), *columns)
            if (cut := self._cut(dict(zip(columns, values, strict=True))))
        ]

    def _cut(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that change."""
        row = tuple(values.get(name) for name in DECODED)
        stored = dict(zip(DECODED, rules.stored(row, self.rule), strict=True))
        return {name: stored[name] for name, value in values.items() if stored[name] != value}

    def _messages(self, rows: pa.Table) -> list[Hit]:
        hits = []
        for at, payload in payloads(self, rows):
            found = parse.record(payload)
            kept = None if isinstance(found, Rejection) else rules.stored_message(dict(found.fields), self.rule)
            if kept and kept[1]:
                hits.append(Hit(at, self.subjects[0], {"payload": kept[0]}))
        return hits

    def _letters(self, rows: pa.Table) -> list[Hit]:
        return [
            Hit(at, self.subjects[0], letter(kept))
            for at, payload in payloads(self, rows)
            if (kept := self._kept(payload)) != payload
        ]

    def _kept(self, payload: bytes) -> bytes:
        try:
            kept, met = rules.without(payload, self.rule)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return payload
        return kept if met else payload


def reduced(profile: StoredProfile, rule: Rules) -> StoredProfile | None:
    """A profile without what a rule drops; None when it has nothing of that."""
    properties, met = rules.without(profile.properties.encode(), rule)
    if not met:
        return None
    found = Profile.load(profile.properties, profile.merge)
    found.reduce(properties.decode())
    kept, merge = found.dump()
    return profile._replace(properties=kept, merge=merge)
