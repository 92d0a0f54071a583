"""The operators of docs/amplitude.md §2.3 as functions on JSON values, and the reading of an update.

A value is JSON text as it was sent, or None where the property is unset; null is a value like any other.
What no arithmetic touches keeps its spelling; `lists` says which elements are equal.

Within one update they apply in this order: `$clearAll`, `$unset`, plain properties, `$set`, then `RELATIVE`.
"""

from collections.abc import Callable
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
from udfs.lists import Elements, Run

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


class Current:
    """The value of a property while operators are applied to it one after the other.

    An operator's method tells whether it changed the value. It takes the operand as the update spells it.
    """

    def __init__(self, value: Value) -> None:
        self._value = value
        self._elements: Elements | None = None  # once an operator has taken the value as a list
        self._encoded = True

    @property
    def value(self) -> Value:
        """The value behind all operators so far."""
        if self._elements is not None and not self._encoded:
            self._value, self._encoded = self._elements.encoded(), True
        return self._value

    def apply(self, rank: int, operand: Raw) -> bool:
        """Apply a relative operator, given its place in `NAMES`. RefusedError: the value stays."""
        return _functions[rank](self, operand)

    def set_once(self, operand: Raw) -> bool:
        """`$setOnce`: the operand where the property is unset."""
        if self._value is not None or self._elements is not None:
            return False
        self._value = operand
        return True

    def add(self, operand: Raw) -> bool:
        """`$add`: the exact sum, from 0 where unset. RefusedError if one is no number, or it is too long."""
        if self._elements is not None:
            raise RefusedError(_NO_NUMBER)
        before, self._value = self._value, add(self._value, operand)
        return self._value != before

    def append(self, operand: Raw) -> bool:
        """`$append`: the operand, or each element of it, behind those of the list."""
        return self._grown(Elements.append, Run.of(operand))

    def prepend(self, operand: Raw) -> bool:
        """`$prepend`: the operand, or its elements in their order, before those of the list."""
        return self._grown(Elements.prepend, Run.of(operand))

    def pre_insert(self, operand: Raw) -> bool:
        """`$preInsert`: `$prepend` of what the list lacks."""
        return self._grown(Elements.prepend, self._list().lacking(Run.of(operand)))

    def post_insert(self, operand: Raw) -> bool:
        """`$postInsert`: `$append` of what the list lacks."""
        return self._grown(Elements.append, self._list().lacking(Run.of(operand)))

    def remove(self, operand: Raw) -> bool:
        """`$remove`: the list without any element that equals the operand or an element of it."""
        if not self._is_list() or not self._list().remove(lists.compared(operand)):
            return False
        self._encoded = False
        return True

    def _grown(self, grow: Callable[[Elements, Run], None], added: Run) -> bool:
        if self._is_list() and not added.elements:
            return False
        grow(self._list(), added)
        self._encoded = False
        return True

    def _is_list(self) -> bool:
        """Whether the value is a list already; the operators that grow one make one of any other value."""
        return not self._encoded or (self._value is not None and lists.is_list(self._value))

    def _list(self) -> Elements:
        if self._elements is None:
            self._elements = Elements(self._value)
        return self._elements


RELATIVE: Final[dict[str, Callable[[Current, Raw], bool]]] = {
    "$setOnce": Current.set_once,
    "$add": Current.add,
    "$append": Current.append,
    "$prepend": Current.prepend,
    "$preInsert": Current.pre_insert,
    "$postInsert": Current.post_insert,
    "$remove": Current.remove,
}
"""The operators whose result depends on the value before, in the order in which one update's apply."""
NAMES: Final = tuple(RELATIVE)
OPERATORS: Final = frozenset({"$clearAll", "$unset", "$set", *NAMES})
_functions: Final = tuple(RELATIVE.values())
_ADD, REMOVE = NAMES.index("$add"), NAMES.index("$remove")


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
