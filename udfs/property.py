"""One property of a user while updates arrive in any order: what was set last, and the operators behind it."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from msgspec import Raw

from udfs import identify
from udfs.identify import Current, Value


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


class Property:
    """A base, its updates and the operators behind it; `value` is what they all come to.

    The value is made when it is asked for, once for all operators that have come since: a late operator then costs
    no more than one in order, whatever stands behind it.
    """

    __slots__ = ("_counted", "_fresh", "_late", "_value", "absolute", "base", "by", "open")

    def __init__(
        self, base: Value, absolute: Stamp | None, by: Stamp | None, opened: list[Open], value: Value
    ) -> None:
        self.base, self.absolute, self.by, self.open = base, absolute, by, opened
        self._value, self._counted = value, len(opened)  # the value after that many of the open operators
        self._fresh: list[Open] = []  # operators that have met no value yet
        self._late: list[Open] = []  # of them, those that may be applied behind the counted ones

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
        self._start_over()

    def _start_over(self) -> None:
        self._value, self._counted = self.base, 0
        self._late.clear()

    def operate(self, stamp: Stamp, rank: int, operand: Raw) -> None:
        """Puts an operator at its place."""
        opened = (stamp, rank, operand)
        place = bisect_left(self.open, opened[:2])
        if place < self._counted:
            self._insert_late(opened, self.open[place : self._counted])
        self.open.insert(place, opened)
        self._fresh.append(opened)

    def _insert_late(self, opened: Open, behind: Iterable[Open]) -> None:
        """Count it in although others behind it are applied: removals may change places, else all starts over."""
        if opened[1] == identify.REMOVE and all(rank == identify.REMOVE for _, rank, _ in behind):
            self._late.append(opened)
            self._counted += 1
        else:
            self._start_over()

    def settle(self) -> int:
        """Makes the value; how many operators were refused by the value that they met for the first time."""
        if self._counted == len(self.open) and not self._fresh:
            return 0
        current, fresh, refused = Current(self._value), set(map(id, self._fresh)), 0
        for opened in (*self._late, *self.open[self._counted :]):
            if _changes(current, opened) is None and id(opened) in fresh:
                refused += 1
        self._value, self._counted = current.value, len(self.open)
        self._fresh.clear()
        self._late.clear()
        return refused

    @property
    def value(self) -> Value:
        """The value behind all operators, once it is made."""
        return self._value

    def fold(self, count: int) -> None:
        """Makes that many of the oldest open operators a part of the base; the value must be made."""
        self.base, self.by = self._behind(self.open[:count])
        self.open, self._counted = self.open[count:], self._counted - count

    def changed_by(self) -> Stamp | None:
        """The last update that changed the value."""
        return self._behind(self.open)[1]

    def _behind(self, opened: Iterable[Open]) -> tuple[Value, Stamp | None]:
        """The value behind operators on the base, and the last update that changed it."""
        current, by = Current(self.base), self.by
        for one in opened:
            by = one[0] if _changes(current, one) else by
        return current.value, by


def _changes(current: Current, opened: Open) -> bool | None:
    """Applies an operator: whether that changed the value, or None when the value refuses it."""
    _, rank, operand = opened
    try:
        return current.apply(rank, operand)
    except identify.RefusedError:
        return None
