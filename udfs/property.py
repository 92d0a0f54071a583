"""One property of a user while updates arrive in any order: what was set last, and the operators behind it."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from msgspec import Raw

from udfs import identify
from udfs.identify import Current, Value
from udfs.lists import Place


class Stamp(NamedTuple):
    """An update as profiles remember it. Stamps sort by clock, then identity."""

    uploaded: int
    processed: int
    event_id: int
    sequence: int
    sub_index: int
    identity: bytes
    source: str


Open: TypeAlias = tuple[Stamp, int, Raw]
"""An operator that is not folded yet: its update, rank and operand; they sort as they apply."""
_in_order: Final = itemgetter(0, 1)


_MOST_FOLDED: Final = 512
"""List operators that are held in memory although they are folded; with more of them all is read anew."""
_FOLDED_TEXT: Final = 2**16
"""Bytes of them that are held whatever they put; beyond it no more than twice what is stored."""


class Property:
    """A base, its updates and the operators behind it; `value` is what they all come to.

    The value is made when it is asked for. What made it stays in memory: operators that come later are put at
    their places, and those before and behind them are not applied again.
    """

    __slots__ = (
        "_behind",
        "_current",
        "_dropped",
        "_fresh",
        "_of_base",
        "absolute",
        "base",
        "by",
        "open",
        "value",
    )

    def __init__(
        self, base: Value, absolute: Stamp | None, by: Stamp | None, opened: list[Open], value: Value
    ) -> None:
        self.base, self.absolute, self.by, self.open = base, absolute, by, opened
        self.value = value
        """What all come to, once it is made."""
        self._current: Current | None = None  # what made the value, once an operator has come
        self._behind: Place = ()  # the last operator in the value that `_current` began with
        self._of_base: Current | None = None  # what made the base, once an operator was folded
        self._fresh: list[Open] = []  # operators that have met no value yet
        self._dropped: Stamp | None = None  # before which all was dropped since the value was made

    def set(self, value: Value, stamp: Stamp) -> bool:
        """Sets or unsets; False when that was older than the last absolute operation."""
        if self.absolute is not None and stamp <= self.absolute:
            return False
        self.absolute = self.by = stamp
        self._drop(None if value is None else value.copy(), stamp)  # else all of the update would be held
        return True

    def clear(self, stamp: Stamp) -> None:
        """Drops what is older than the stamp."""
        if self.absolute is None or self.absolute < stamp:
            self.absolute = self.by = None
            self._drop(None, stamp)

    def _drop(self, base: Value, stamp: Stamp) -> None:
        self.base, self._dropped, self._of_base = base, stamp, None
        del self.open[: bisect_left(self.open, (stamp,))]

    def operate(self, stamp: Stamp, rank: int, operand: Raw) -> None:
        """Puts an operator at its place."""
        if self._current is None and self._dropped is None:
            self._current = Current(self.value)
            self._behind = _place(self.open[-1]) if self.open else ()
        opened = (stamp, rank, operand.copy())
        self.open.insert(bisect_left(self.open, opened[:2]), opened)
        self._fresh.append(opened)

    def settle(self) -> int:
        """Makes the value; how many operators were refused by the value that they met for the first time."""
        if not self._fresh and self._dropped is None:
            return 0
        coming, dropped = sorted(self._fresh, key=_in_order), self._dropped
        self._fresh, self._dropped = [], None
        if dropped is not None:
            coming = coming[bisect_left(coming, (dropped,)) :]
            if not self.open:
                self.value, self._current = self.base, None
                return 0
            if self._current is not None:
                self._current.drop(self.base, dropped)
        fresh = set(map(_place, coming))
        if self._current is None or (self._behind and (dropped is not None or not self._are_last(coming))):
            self._current, self._behind, coming = Current(self.base), (), self.open
        for opened in coming:
            self._current.put(opened[1], opened[2], _place(opened))
        self.value = self._current.value
        return len(fresh & self._current.refused)

    def _are_last(self, coming: Sequence[Open]) -> bool:
        """Whether operators are behind those that were open before, or these are but removals like themselves."""
        if _place(coming[0]) > self._behind:
            return True
        behind = self.open[bisect_left(self.open, coming[0][:2]) :]
        return all(rank == identify.REMOVE for _, rank, _ in behind)

    @property
    def size(self) -> int:
        """Bytes that `forget` gives free, roughly."""
        if self._current is None and self._of_base is None:  # nearly all
            return 0
        return sum(made.size for made in (self._current, self._of_base) if made is not None)

    def forget(self) -> None:
        """Forgets what made the value, which must be made: the next late operator makes it anew."""
        self._current = self._of_base = None

    def fold(self, count: int) -> None:
        """Makes that many of the oldest open operators a part of the base; the value must be made."""
        current = self._of_base or Current(self.base)
        self.by = _last_changed(current, self.open[:count], self.by)
        self.base = current.value
        last = _place(self.open[count - 1])
        if self._current is not None:
            self._current.fold(last)
        self._behind = () if self._behind <= last else self._behind
        del self.open[:count]
        stored = sum([len(operand) for _, _, operand in self.open]) + (0 if self.base is None else len(self.base))
        self._of_base, self._current = _unless_long(current, stored), _unless_long(self._current, stored)
        if not self.open and not current.folded:
            self.forget()  # of what is no list the base says all

    def changed_by(self) -> Stamp | None:
        """The last update that changed the value."""
        return _last_changed(Current(self.base), self.open, self.by)


def _place(opened: Open) -> Place:
    return (*opened[0], opened[1])


def _unless_long(current: Current | None, stored: int) -> Current | None:
    """What is worth its memory, where that many bytes are stored."""
    if current is None or current.folded > _MOST_FOLDED or current.folded_text > _FOLDED_TEXT + 2 * stored:
        return None
    return current


def _last_changed(current: Current, opened: Iterable[Open], by: Stamp | None) -> Stamp | None:
    """Applies operators; the last update that changed the value, else the one given."""
    for stamp, rank, operand in opened:
        by = stamp if current.apply(rank, operand) else by
    return by
