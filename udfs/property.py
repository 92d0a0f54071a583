"""One property of a user while updates arrive in any order: what was set last, and the operators behind it."""

from bisect import bisect_left
from collections.abc import Iterable
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

    __slots__ = ("_anew", "_current", "_fresh", "_of_base", "_value", "absolute", "base", "by", "open")

    def __init__(
        self, base: Value, absolute: Stamp | None, by: Stamp | None, opened: list[Open], value: Value
    ) -> None:
        self.base, self.absolute, self.by, self.open = base, absolute, by, opened
        self._value = value
        self._current: Current | None = None  # what made the value, once an operator has come
        self._of_base: Current | None = None  # what made the base, once an operator was folded
        self._fresh: list[Open] = []  # operators that have met no value yet
        self._anew = False  # whether the value must be made from the base

    def set(self, value: Value, stamp: Stamp) -> bool:
        """Sets or unsets; False when that was older than the last absolute operation."""
        if self.absolute is not None and stamp <= self.absolute:
            return False
        self.base, self.absolute, self.by = value, stamp, stamp
        self._forget_before(stamp)
        return True

    def clear(self, stamp: Stamp) -> None:
        """Drops what is older than the stamp."""
        if self.absolute is None or self.absolute < stamp:
            self.base = self.absolute = self.by = None
            self._forget_before(stamp)

    def _forget_before(self, stamp: Stamp) -> None:
        if self.open:
            self.open = self.open[bisect_left(self.open, (stamp,)) :]
            self._fresh = [opened for opened in self._fresh if opened[0] >= stamp]
        self._value, self._anew = self.base, bool(self.open)
        self._current = self._of_base = None

    def operate(self, stamp: Stamp, rank: int, operand: Raw) -> None:
        """Puts an operator at its place."""
        if self._current is None and not self._anew:
            self._current = Current(self._value, _place(self.open[-1]) if self.open else ())
        opened = (stamp, rank, operand.copy())  # else all of the update would be held
        self.open.insert(bisect_left(self.open, opened[:2]), opened)
        self._fresh.append(opened)

    def settle(self) -> int:
        """Makes the value; how many operators were refused by the value that they met for the first time."""
        if not self._fresh and not self._anew:
            return 0
        coming, fresh, refused = sorted(self._fresh, key=_in_order), set(map(id, self._fresh)), 0
        if self._current is None or not all(self._takes(self._current, one) for one in coming):
            self._current, coming = Current(self.base), self.open
        for opened in coming:
            if _changes(self._current, opened, _place(opened)) is None and id(opened) in fresh:
                refused += 1
        self._value, self._anew = self._current.value, False
        self._fresh.clear()
        return refused

    def _takes(self, current: Current, opened: Open) -> bool:
        """Whether an operator can be applied at its place, or removals behind it are all that has been."""
        if current.takes(opened[1], _place(opened)):
            return True
        behind = self.open[bisect_left(self.open, opened[:2]) :]
        return all(rank == identify.REMOVE for _, rank, _ in behind)

    @property
    def value(self) -> Value:
        """The value behind all operators, once it is made."""
        return self._value

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
        current.fold(())
        if self._current is not None:
            self._current.fold(_place(self.open[count - 1]))
        self.open = self.open[count:]
        stored = sum([len(operand) for _, _, operand in self.open]) + (0 if self.base is None else len(self.base))
        self._of_base, self._current = _unless_long(current, stored), _unless_long(self._current, stored)

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
    for one in opened:
        by = one[0] if _changes(current, one) else by
    return by


def _changes(current: Current, opened: Open, place: Place = ()) -> bool | None:
    """Applies an operator: whether that changed the value, or None when the value refuses it."""
    _, rank, operand = opened
    try:
        return current.apply(rank, operand, place)
    except identify.RefusedError:
        return None
