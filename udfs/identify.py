"""The operators of docs/amplitude.md §2.3 as functions on JSON values, and the reading of an update.

A value is JSON text as it was sent, or None where the property is unset; null is a value like any other.
What no arithmetic touches keeps its spelling; `lists` says which elements are equal. An `$add` is refused where
it means nothing for the value: of what is no number, to what is none, or of too many digits; the value stays.

Within one update they apply in this order: `$clearAll`, `$unset`, plain properties, `$set`, then `NAMES`.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    Clamped,
    Context,
    Decimal,
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


_SIZE, _OF_TERM = 350, 200  # bytes of `Current` and a place; of a term


def number(value: Raw) -> Decimal | None:
    """The number that a JSON text spells, exactly; None: it is another value, or longer than `MAX_DIGITS`."""
    try:
        return _exact.create_decimal(bytes(value).decode()) if is_number(value) else None
    except ArithmeticError:
        return None


NAMES: Final = ("$setOnce", "$add", "$append", "$prepend", "$preInsert", "$postInsert", "$remove")
"""The operators whose result depends on the value before, in the order in which one update's apply."""
OPERATORS: Final = frozenset({"$clearAll", "$unset", "$set", *NAMES})
_SET_ONCE, _ADD, _APPEND, _PREPEND, _PRE_INSERT, _POST_INSERT, REMOVE = range(len(NAMES))
_GROWING: Final = frozenset({_APPEND, _PREPEND, _PRE_INSERT, _POST_INSERT})
_BEFORE: Final = frozenset({_PREPEND, _PRE_INSERT})
_LACKING: Final = frozenset({_PRE_INSERT, _POST_INSERT})


def _is_list(value: Value) -> bool:
    return value is not None and lists.is_list(value)


_Term: TypeAlias = tuple[Place, Raw | Decimal | None]
"""The operand of a `$setOnce`, or the number of an `$add`, at its place; None is a number that is too long."""


class _Plain:
    """A value while `$setOnce` and `$add` are applied to it in their order, until it is a list."""

    __slots__ = ("_sum", "_summed", "_value", "refused", "since")

    def __init__(self, value: Value) -> None:
        self._set(value, ())
        self.refused: set[Place] = set()
        """The places of those that meant nothing for the value."""

    def _set(self, value: Value, place: Place) -> None:
        self._value, self._summed = value, False
        self._sum = Decimal() if value is None else number(value)
        self.since = place if _is_list(value) else None
        """Where it has become a list, if it has."""

    @property
    def value(self) -> Value:
        """What all come to."""
        if self._summed:
            self._value, self._summed = Raw(str(self._sum).encode()), False
        return self._value

    def apply(self, place: Place, operand: Raw | Decimal | None, first: Place | None) -> None:
        """Apply one of them; given the place of the first operator that grows a list."""
        is_list = self.since is not None or (first is not None and first < place)
        if isinstance(operand, Raw):
            if not is_list and self._value is None and not self._summed:
                self._set(operand, place)
        elif is_list or operand is None or self._sum is None:
            self.refused.add(place)
        else:
            try:
                self._sum = _exact.add(self._sum, operand)
                self._summed = True
            except ArithmeticError:
                self.refused.add(place)


class Current:
    """The value of a property while operators are put at their places, in any order.

    It takes operands as updates spell them. A value is no list until one of the four operators that grow a list
    makes it one: of a value the list of that value, where the property is unset an empty list.
    """

    __slots__ = ("_base", "_elements", "_encoded", "_plain", "_terms")

    def __init__(self, base: Value) -> None:
        """Take the value before all operators."""
        self._base = base
        self._terms: list[_Term] = []
        self._plain: _Plain | None = _Plain(base)  # behind all terms; None: to be made
        self._elements: Elements | None = None  # from the first operator on a list
        self._encoded: Value = None

    @property
    def value(self) -> Value:
        """The value behind all operators so far."""
        plain = self._made()
        since = self._first if plain.since is None else plain.since
        if self._elements is None or since is None:
            return plain.value
        if self._encoded is None:
            self._elements.begin(plain.value, since)
            self._encoded = self._elements.encoded()
        return self._encoded

    @property
    def refused(self) -> set[Place]:
        """The places of operators that mean nothing for the value that they meet."""
        return self._made().refused

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
        return _SIZE + _OF_TERM * len(self._terms) + (0 if self._elements is None else self._elements.size)

    def put(self, rank: int, operand: Raw, place: Place) -> None:
        """Put an operator, by its rank in `NAMES`, at its place among the others."""
        self._encoded = None
        if rank in _GROWING:
            self._list().add(place, operand, before=rank in _BEFORE, lacking=rank in _LACKING)
            if self._plain is not None and self._first == place:
                self._plain = None
        elif rank == REMOVE:
            self._list().remove(place, operand)
        else:
            term = place, number(operand) if rank == _ADD else operand
            insort(self._terms, term)
            if self._terms[-1] is not term:
                self._plain = None
            elif self._plain is not None:
                self._plain.apply(*term, self._first)

    def apply(self, rank: int, operand: Raw) -> bool | None:
        """Apply an operator behind all others, for good; whether the value changed, None where it is refused."""
        is_list = self._first is not None or _is_list(self._base)
        self._encoded = None
        if rank in _GROWING:
            if not is_list:
                self._list().begin(self._base, ())
            part = self._list().add((), operand, before=rank in _BEFORE, lacking=rank in _LACKING)
            return bool(part.joined) or not is_list
        if rank == REMOVE:
            return is_list and self._list().remove((), operand)
        if is_list:
            return None if rank == _ADD else False
        before, self._plain = self._base, _Plain(self._base)
        self._plain.apply((), number(operand) if rank == _ADD else operand, None)
        self._base = self._plain.value
        return None if self._plain.refused else self._base != before

    def drop(self, base: Value, place: Place) -> None:
        """Take another value before all operators, and make it as if none had been before this place."""
        self._base, self._plain, self._encoded = base, None, None
        self._terms = self._terms[bisect_left(self._terms, (place,)) :]
        if self._elements is not None:
            self._elements.drop(place)

    def fold(self, place: Place) -> None:
        """Nothing comes any more before the operators up to this place."""
        if at := bisect_left(self._terms, ((*place, 0),)):
            self._base = self._behind(self._terms[:at]).value
            del self._terms[:at]
            if self._plain is not None and self._plain.since is not None and self._plain.since <= place:
                self._plain.since = ()
        if self._elements is not None:
            self._elements.fold(place)

    def _made(self) -> _Plain:
        if self._plain is None:
            self._plain = self._behind(self._terms)
        return self._plain

    def _behind(self, terms: Iterable[_Term]) -> _Plain:
        plain, first = _Plain(self._base), self._first
        for place, operand in terms:
            plain.apply(place, operand, first)
        return plain

    @property
    def _first(self) -> Place | None:
        """The place of the first operator that grows a list."""
        return None if self._elements is None else self._elements.first

    def _list(self) -> Elements:
        if self._elements is None:
            self._elements = Elements()
            if _is_list(self._base):  # else it becomes one at a place that is not known yet
                self._elements.begin(self._base, ())
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
