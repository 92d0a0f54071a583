"""The operators of docs/amplitude.md §2.3 as functions on JSON values, and the reading of an update.

A value is JSON text as it was sent, or None where the property is unset; null is a value like any other.
What no arithmetic touches keeps its spelling; `lists` says which elements are equal.

Within one update they apply in this order: `$clearAll`, `$unset`, plain properties, `$set`, then `NAMES`.
"""

from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    Clamped,
    Context,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
    Underflow,
)
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from udfs import lists
from udfs.lists import Elements, Place

MAX_DIGITS: Final = 4300
"""Digits of the longest number that `$add` takes or makes; Python's own limit, and 1e999999999 fits no memory."""

Value: TypeAlias = Raw | None

_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_exact: Final = Context(
    prec=MAX_DIGITS,
    Emax=MAX_EMAX,
    Emin=MIN_EMIN,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Rounded, Underflow],
)


_NO_NUMBER: Final = "no number"
_SIZE: Final = 180  # bytes of `Current` and a place


class RefusedError(ValueError):
    """The operator means nothing for this value and operand: the value stays."""


def add(value: Value, operand: Raw) -> Raw:
    """`$add`: the exact sum, from 0 where unset. RefusedError if one is no number, or it is too long."""
    if not (is_number(operand) and (value is None or is_number(value))):
        raise RefusedError(_NO_NUMBER)
    terms = ("0" if value is None else bytes(value).decode(), bytes(operand).decode())
    try:
        return Raw(str(_exact.add(*map(_exact.create_decimal, terms))).encode())
    except ArithmeticError as error:
        msg = f"more than {MAX_DIGITS} digits"
        raise RefusedError(msg) from error


NAMES: Final = ("$setOnce", "$add", "$append", "$prepend", "$preInsert", "$postInsert", "$remove")
"""The operators whose result depends on the value before, in the order in which one update's apply."""
OPERATORS: Final = frozenset({"$clearAll", "$unset", "$set", *NAMES})
_SET_ONCE, _ADD, _APPEND, _PREPEND, _PRE_INSERT, _POST_INSERT, REMOVE = range(len(NAMES))
_GROWING: Final = frozenset({_APPEND, _PREPEND, _PRE_INSERT, _POST_INSERT})
_BEFORE: Final = frozenset({_PREPEND, _PRE_INSERT})
_LACKING: Final = frozenset({_PRE_INSERT, _POST_INSERT})


class Current:
    """The value of a property while operators are applied to it.

    An operator may name its place among the others, see `takes`; without one it is the last of them. It takes its
    operand as the update spells it. A value is no list until one of the four operators that grow a list makes it
    one: of a value the list of that value, where the property is unset an empty list.
    """

    __slots__ = ("_behind", "_elements", "_encoded", "_value")

    def __init__(self, value: Value, behind: Place = ()) -> None:
        """Take a value, and the place of the last operator that is a part of it."""
        self._value, self._behind = value, behind  # before the first operator that takes it as a list
        self._elements: Elements | None = None  # from that operator on
        self._encoded: Value = None

    @property
    def value(self) -> Value:
        """The value behind all operators so far."""
        if self._elements is None:
            return self._value
        if self._encoded is None:
            self._encoded = self._elements.encoded()
        return self._encoded

    @property
    def folded(self) -> int:
        """How many list operators are folded."""
        return 0 if self._elements is None else self._elements.folded

    @property
    def folded_text(self) -> int:
        """Bytes of the operands that are folded, and of the list before them, also of what was removed since."""
        return 0 if self._elements is None else self._elements.folded_text

    @property
    def size(self) -> int:
        """Bytes that it takes in memory beside the operands that are not folded, roughly."""
        return _SIZE if self._elements is None else _SIZE + self._elements.size

    def takes(self, rank: int, place: Place) -> bool:
        """Whether an operator can still be applied at its place; else all must be applied anew, in their order."""
        if self._is_list(place):
            return place > self._behind
        if rank == REMOVE:
            return True
        return place > self._behind and (self._elements is None or rank in _GROWING)

    def apply(self, rank: int, operand: Raw, place: Place = ()) -> bool:
        """Apply an operator by its rank in `NAMES`; whether the value changed. RefusedError: it stays."""
        is_list = self._is_list(place)
        if rank in _GROWING:
            grown = self._list().add(place, operand, before=rank in _BEFORE, lacking=rank in _LACKING)
            return grown or not is_list
        if is_list:
            return self._apply_to_list(rank, operand, place)
        self._behind = max(self._behind, place)
        before = self._value
        if rank == _ADD:
            self._value = add(before, operand)
        elif rank == _SET_ONCE and before is None:
            self._value = operand
        return self._value != before

    def fold(self, place: Place) -> None:
        """Nothing comes any more before the operators up to this place."""
        if self._behind <= place:
            self._behind = ()
        if self._elements is not None:
            self._elements.fold(place)

    def _apply_to_list(self, rank: int, operand: Raw, place: Place) -> bool:
        if rank == _ADD:
            raise RefusedError(_NO_NUMBER)
        return rank == REMOVE and self._list().remove(place, operand)

    def _is_list(self, place: Place) -> bool:
        """Whether the value is a list before the operator at this place."""
        if self._elements is not None and self._elements.begins(place):
            return True
        return self._value is not None and lists.is_list(self._value)

    def _list(self) -> Elements:
        """The elements, which are about to change."""
        if self._elements is None:
            self._elements = Elements(self._value)
        self._encoded = None
        return self._elements


class Operation(NamedTuple):
    """A relative operator on one property; `rank` is its place in `NAMES`."""

    name: str
    rank: int
    operand: Raw


class Changes(NamedTuple):
    """What an update asks for: whether all is cleared, then what is set (None: unset), then the rest in order."""

    clears: bool
    values: dict[str, Value]
    operations: list[Operation]
    refused: int


def changes(properties: str, snapshot: bool = False) -> Changes:
    """The changes that `user_properties` ask for; in an event's snapshot every key is a plain property."""
    plain = _object(properties)
    if snapshot or OPERATORS.isdisjoint(plain):
        return Changes(False, dict(plain), [], 0)
    spelled = {operator: plain.pop(operator) for operator in OPERATORS & plain.keys()}
    clears = spelled.pop("$clearAll", None) is not None
    operands = {operator: _operands(text) for operator, text in spelled.items()}
    values = dict.fromkeys(operands.get("$unset") or (), None) | plain | (operands.get("$set") or {})
    asked = [
        Operation(name, rank, operand)
        for rank, operator in enumerate(NAMES)
        for name, operand in (operands.get(operator) or {}).items()
    ]
    taken = [one for one in asked if one.rank != _ADD or is_number(one.operand)]
    return Changes(clears, values, taken, list(operands.values()).count(None) + len(asked) - len(taken))


def is_number(value: Raw) -> bool:
    """Whether the JSON text spells a number."""
    return lists.first(value) in "-0123456789"


def _operands(text: Raw) -> dict[str, Raw] | None:
    return _object(text) if lists.first(text) == "{" else None
