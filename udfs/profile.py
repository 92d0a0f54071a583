"""A user's properties as the fold of all updates in clock order, in whatever order and how often they arrive.

A property is a base, which the last absolute operation ($set, $unset) gave, and the relative operators since, kept
open in clock order so that a late update finds its place. The oldest are folded into the base; from then on what
arrives for an earlier place is taken at the end of the base, and short identities tell that it is no copy.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Final, Literal, NamedTuple, Self

import msgspec
from msgspec import Raw

from udfs import identify
from udfs.identify import Value
from udfs.property import Property, Stamp

HORIZON: Final = 28 * 60 * 60 * 10**6
"""Microseconds that an operator stays open: 4 h of retries and a day's margin (docs/amplitude.md §8.1)."""
MAX_OPEN: Final = 512
"""Operators that a profile holds open."""
MAX_APPLIED: Final = 2048
"""Updates with folded operators that a profile recognises when they come again."""
MAX_SOURCE: Final = 100
_SHORT: Final = 8  # bytes of an identity: among 2048, chance makes two equal once in 10^16 updates
_LONG_AGO: Final = -(2**63)


class Clock(NamedTuple):
    """The total order of updates: docs/amplitude.md §8.1 "ordering of user properties"; -1 where one is absent."""

    uploaded: int
    """Microseconds since 1970, as all times here: `server_upload_time`, the arrival without it."""
    processed: int
    event_id: int
    sequence: int
    """Kinesis' sequence number."""
    sub_index: int


class Update(NamedTuple):
    """The `user_properties` of one record; copies of it have the same clock and identity."""

    clock: Clock
    identity: bytes
    source: str
    properties: str
    snapshot: bool = False
    """Of an event: all names are plain, even those of operators."""


class Explained(NamedTuple):
    """A property with the last update that changed it."""

    name: str
    value: str
    source: str
    uploaded: int
    sequence: int


class _Written(msgspec.Struct, omit_defaults=True):
    """The merge text of a property that needs more than the index of the update which set its value."""

    set: int = -1
    by: int = -1
    open: list[tuple[int, str, Raw]] = []
    base: list[Raw] | None = None
    """None when it equals the current value, empty when it is unset."""


class _Layout(msgspec.Struct, omit_defaults=True):
    """The merge text. Numbers that are no times or counts are indexes into `updates`; -1 is none."""

    version: Literal[1]
    updates: list[Stamp]
    properties: dict[str, int | _Written]
    cleared: int = -1
    applied: bytes = b""


_values: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_layout: Final = msgspec.json.Decoder(_Layout).decode


class Profile:
    """One user's properties. What updates come to is worked out when it is asked for, not with each of them."""

    def __init__(self) -> None:
        self._refused = 0
        self._properties: dict[str, Property] = {}
        self._added = False  # whether there are names that are not in their order
        self._touched: set[str] = set()  # names of properties whose value may have to be made
        # names of properties that may have open operators, or hold what made them
        self._operated: set[str] = set()
        self._cleared: Stamp | None = None
        self._to_clear = False
        self._newest = _LONG_AGO
        self._applied = b""
        self._identities: set[bytes] | None = None  # of open operators, made for the first update that has some

    @classmethod
    def load(cls, properties: str, merge: str) -> Self:
        """The profile that `dump` wrote. Raises ValueError for another layout."""
        try:
            layout = _layout(merge)
        except msgspec.DecodeError as error:
            msg = f"the merge text of a profile is of no known layout: {error}"
            raise ValueError(msg) from error
        profile, values, stamps = cls(), _values(properties), [*layout.updates, None]
        profile._applied = layout.applied
        profile._cleared = stamps[layout.cleared]
        profile._newest = max([stamp.uploaded for stamp in layout.updates], default=_LONG_AGO)
        profile._properties = {
            name: _read(written, _copied(values.get(name)), stamps) for name, written in layout.properties.items()
        }
        profile._operated = {name for name, known in profile._properties.items() if known.open}
        return profile

    def dump(self) -> tuple[str, str]:
        """The properties as a JSON object, and the JSON text of what merging needs besides."""
        self._settle()
        self._fold()
        if self._added:
            self._properties, self._added = dict(sorted(self._properties.items(), key=itemgetter(0))), False
        updates = _Updates()
        properties = updates.write(self._properties)
        values = {name: known.value for name, known in self._properties.items() if known.value is not None}
        cleared = updates.index(self._cleared)
        layout = _Layout(1, updates.stamps, properties, cleared, self._applied)
        return msgspec.json.encode(values).decode(), msgspec.json.encode(layout).decode()

    def apply(self, update: Update) -> bool:
        """Takes an update in; whether anything changed that is stored. A repeated one changes nothing."""
        changes = identify.changes(update.properties, update.snapshot)
        if changes.operations and self._knows(update.identity):
            return False
        stamp = Stamp(*update.clock, update.identity, update.source[:MAX_SOURCE])
        self._refused += changes.refused
        changed = changes.clears and self._clear(stamp)
        if self._cleared is not None and stamp < self._cleared:
            return False
        for name, value in changes.values.items():
            changed |= self._property(name).set(value, stamp)
        for operation in changes.operations:
            changed |= self._operate(stamp, operation)
        if changed:
            self._newest = max(self._newest, stamp.uploaded)
        return changed

    def reduce(self, properties: str) -> None:
        """Takes current values, fewer or with less in them, in place of its own; operators behind others are done.

        Clocks stay, and what the operators were is remembered: an update that comes again does not bring back what
        is gone.
        """
        self._settle()
        values, done = _values(properties), list[bytes]()
        for name, known in self._properties.items():
            value = values.get(name)
            if known.value is not None and known.value != value:
                done += [stamp.identity for stamp, *_ in known.open]
                self._properties[name] = Property(value, known.absolute, known.by, [], value)
        self._remember(done)

    @property
    def size(self) -> int:
        """Bytes that `forget` gives free, roughly."""
        return sum([known.size for _, known in self._were_operated()])

    def forget(self) -> None:
        """Forgets, behind a dump, what late operators need not make anew; nothing that is stored."""
        for _, known in self._were_operated():
            known.forget()

    def take_refused(self) -> int:
        """How many operators updates had in vain since `load`, or since this was last asked."""
        self._settle()
        refused, self._refused = self._refused, 0
        return refused

    def explained(self) -> list[Explained]:
        """Each property by name, with the update that its value is from."""
        self._settle()
        found = []
        for name, known in sorted(self._properties.items(), key=itemgetter(0)):
            by = known.changed_by()
            if known.value is not None and by is not None:
                value = bytes(known.value).decode()
                found.append(Explained(name, value, by.source, by.uploaded, by.sequence))
        return found

    def _property(self, name: str) -> Property:
        self._touched.add(name)
        if name not in self._properties:
            self._properties[name], self._added = Property(None, None, None, [], None), True
        return self._properties[name]

    def _clear(self, stamp: Stamp) -> bool:
        if self._cleared is not None and stamp <= self._cleared:
            return False
        self._cleared, self._to_clear = stamp, True
        return True

    def _settle(self) -> None:
        """Works out what the updates since the last time come to."""
        if self._to_clear and self._cleared is not None:
            for known in self._properties.values():
                known.clear(self._cleared)
            self._properties = {
                name: known for name, known in self._properties.items() if known.absolute is not None or known.open
            }
            self._to_clear = False
            self._touched.update(self._properties)
        self._refused += sum(
            [self._properties[name].settle() for name in self._touched if name in self._properties]
        )
        self._touched.clear()

    def _operate(self, stamp: Stamp, operation: identify.Operation) -> bool:
        known = self._property(operation.name)
        if known.absolute is not None and stamp < known.absolute:
            return False
        known.operate(stamp, operation.rank, operation.operand)
        self._operated.add(operation.name)
        if self._identities is not None:
            self._identities.add(stamp.identity)
        return True

    def _knows(self, identity: bytes) -> bool:
        """Whether an operator of the update was open since the last dump, or folded not long before."""
        if self._identities is None:
            self._identities = {opened[0].identity for _, known in self._were_operated() for opened in known.open}
        return identity in self._identities or self._has_applied(identity[:_SHORT])

    def _has_applied(self, short: bytes) -> bool:
        at = self._applied.find(short)
        while at % _SHORT and at >= 0:
            at = self._applied.find(short, at + 1)
        return at >= 0

    def _fold(self) -> None:
        """Folds the open operators that are too old, and the oldest of too many."""
        were = self._were_operated()
        self._operated = {name for name, known in were if known.open or known.size}
        holders = [known for _, known in were if known.open]
        excess = sum([len(known.open) for known in holders]) - MAX_OPEN
        horizon = self._newest - HORIZON
        if excess <= 0 and all(known.open[0][0].uploaded >= horizon for known in holders):
            return
        oldest_first = sorted(
            [(stamp, rank, known) for known in holders for stamp, rank, _ in known.open], key=itemgetter(0, 1)
        )
        late = [stamp.uploaded >= horizon for stamp, *_ in oldest_first].count(False)
        folded = oldest_first[: max(excess, late)]
        for known, count in Counter(known for *_, known in folded).items():
            known.fold(count)
        self._remember(stamp.identity for stamp, *_ in folded)

    def _were_operated(self) -> list[tuple[str, Property]]:
        """The properties that may have open operators or hold what made them, by name."""
        names = sorted(self._operated)
        return [(name, known) for name in names if (known := self._properties.get(name)) is not None]

    def _remember(self, identities: Iterable[bytes]) -> None:
        """Notes updates whose operators are open no more, so that they are recognised when they come again."""
        shorts = dict.fromkeys(identity[:_SHORT] for identity in identities)
        applied = self._applied + b"".join([short for short in shorts if not self._has_applied(short)])
        self._applied, self._identities = applied[-_SHORT * MAX_APPLIED :], None


class _Updates:
    """The updates that a merge text refers to, each once, in the order of the first reference."""

    def __init__(self) -> None:
        self.stamps: list[Stamp] = []
        # by id: properties share the stamp itself, and hashing it costs more than all the rest
        self._indexes = {id(None): -1}

    def index(self, stamp: Stamp | None) -> int:
        """Where the update stands in `stamps`, added when it is new; -1 for none."""
        index = self._indexes.setdefault(id(stamp), len(self.stamps))
        if stamp is not None and index == len(self.stamps):
            self.stamps.append(stamp)
        return index

    def write(self, properties: Mapping[str, Property]) -> dict[str, int | _Written]:
        """Properties for the merge text: the index alone where one update says all."""
        written, indexes = dict[str, int | _Written](), self._indexes
        for name, known in properties.items():  # of thousands, and a call for each would cost half of a dump
            is_plain = known.by is known.absolute and not known.open
            index = indexes.get(id(known.by)) if is_plain else None
            if index is None:
                written[name] = self.index(known.by) if is_plain else self._operated(known)
            else:
                written[name] = index
        return written

    def _operated(self, known: Property) -> _Written:
        index = self.index(known.absolute)
        base = [] if known.base is None else [known.base]
        return _Written(
            index,
            self.index(known.by),
            [(self.index(stamp), identify.NAMES[rank], operand) for stamp, rank, operand in known.open],
            None if known.base == known.value else base,
        )


def _copied(value: Value) -> Value:
    """Without the text that it stands in, which would be held with it."""
    return None if value is None else value.copy()


def _read(written: int | _Written, value: Value, stamps: list[Stamp | None]) -> Property:
    """What `_Updates.write` wrote; the last of the stamps is None, for -1."""
    if isinstance(written, int):
        return Property(value, stamps[written], stamps[written], [], value)
    base = value if written.base is None else _copied(next(iter(written.base), None))
    opened = [
        (stamp, identify.NAMES.index(operator), operand.copy())
        for index, operator, operand in written.open
        if (stamp := stamps[index]) is not None
    ]
    return Property(base, stamps[written.set], stamps[written.by], opened, value)
