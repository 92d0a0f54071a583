"""Amplitude's identify operators (contract §2.3) as functions on JSON values, and the reading of an update.

A value is JSON text as it was sent, or None where the property is unset; null is a value like any other.
What no arithmetic touches keeps its spelling, and elements of lists are equal when their JSON is, whatever
its blanks, escapes and order of keys: 1, true and "1" differ, and so do 1 and 1.0.

Within one update they apply in this order: `$clearAll`, `$unset`, plain properties, `$set`, then `RELATIVE`.
"""

from collections.abc import Callable, Iterable
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

MAX_DIGITS: Final = 4300
"""Digits of the longest number that `$add` takes or makes; Python's own limit, and 1e999999999 fits no memory."""

Value: TypeAlias = Raw | None

_encode: Final = msgspec.json.encode
_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_list: Final = msgspec.json.Decoder(list[Raw]).decode
_exact: Final = Context(
    prec=MAX_DIGITS,
    Emax=MAX_EMAX,
    Emin=MIN_EMIN,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Rounded, Underflow],
)


class RefusedError(ValueError):
    """The operator means nothing for this value and operand: the value stays."""


def set_once(value: Value, operand: Raw) -> Raw:
    """`$setOnce`: the operand where the property is unset."""
    return operand if value is None else value


def add(value: Value, operand: Raw) -> Raw:
    """`$add`: the exact sum, from 0 where unset. RefusedError if one is no number, or it is too long."""
    if not (is_number(operand) and (value is None or is_number(value))):
        msg = "no number"
        raise RefusedError(msg)
    terms = ("0" if value is None else bytes(value).decode(), bytes(operand).decode())
    try:
        return Raw(str(_exact.add(*map(_exact.create_decimal, terms))).encode())
    except ArithmeticError as error:
        msg = f"more than {MAX_DIGITS} digits"
        raise RefusedError(msg) from error


def append(value: Value, operand: Raw) -> Raw:
    """`$append`: the operand, or each element of it, behind those of the list."""
    return _grown(value, after=_elements(operand))


def prepend(value: Value, operand: Raw) -> Raw:
    """`$prepend`: the operand, or its elements in their order, before those of the list."""
    return _grown(value, before=_elements(operand))


def pre_insert(value: Value, operand: Raw) -> Raw:
    """`$preInsert`: `$prepend` of what the list lacks."""
    return _grown(value, before=_lacking(value, operand))


def post_insert(value: Value, operand: Raw) -> Raw:
    """`$postInsert`: `$append` of what the list lacks."""
    return _grown(value, after=_lacking(value, operand))


def remove(value: Value, operand: Raw) -> Value:
    """`$remove`: the list without any element that equals the operand or an element of it."""
    if value is None or not _is_list(value):
        return value
    elements, gone = _list(value), set(map(_canonical, _elements(operand)))
    kept = [element for element in elements if _canonical(element) not in gone]
    return value if len(kept) == len(elements) else Raw(_encode(kept))


RELATIVE: Final[dict[str, Callable[[Value, Raw], Value]]] = {
    "$setOnce": set_once,
    "$add": add,
    "$append": append,
    "$prepend": prepend,
    "$preInsert": pre_insert,
    "$postInsert": post_insert,
    "$remove": remove,
}
"""The operators whose result depends on the value before, in the order in which one update's apply."""
NAMES: Final = tuple(RELATIVE)
OPERATORS: Final = frozenset({"$clearAll", "$unset", "$set", *NAMES})
_functions: Final = tuple(RELATIVE.values())
_ADD: Final = NAMES.index("$add")


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


def read(properties: str, snapshot: bool = False) -> Changes:
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


def apply(value: Value, rank: int, operand: Raw) -> Value:
    """The value behind one relative operator; RefusedError is raised to the caller."""
    return _functions[rank](value, operand)


def is_number(value: Raw) -> bool:
    """Whether the JSON text spells a number."""
    return _first(value) in "-0123456789"


def _first(value: Raw) -> str:
    return chr(memoryview(value)[0])  # bytes(value) would copy all of it


def _operands(text: Raw) -> dict[str, Raw] | None:
    return _object(text) if _first(text) == "{" else None


def _is_list(value: Raw) -> bool:
    return _first(value) == "["


def _elements(value: Value) -> list[Raw]:
    if value is None:
        return []
    return _list(value) if _is_list(value) else [value]


def _grown(value: Value, before: Iterable[Raw] = (), after: Iterable[Raw] = ()) -> Raw:
    if value is not None and _is_list(value) and not before and not after:
        return value
    return Raw(_encode([*before, *_elements(value), *after]))


def _lacking(value: Value, operand: Raw) -> list[Raw]:
    """The different elements of the operand that the value has not, in the operand's order."""
    present = set(map(_canonical, _elements(value)))
    lacking: dict[bytes, Raw] = {}
    for element in _elements(operand):
        lacking.setdefault(_canonical(element), element)
    return [element for spelled, element in lacking.items() if spelled not in present]


def _canonical(value: Raw) -> bytes:
    """One spelling for all texts of the same JSON; numbers keep theirs."""
    match _first(value):
        case '"':
            return _encode(msgspec.json.decode(value)) if b"\\" in bytes(value) else bytes(value)
        case "[":
            return b"[%s]" % b",".join(map(_canonical, _list(value)))
        case "{":
            fields = sorted((_encode(name), _canonical(field)) for name, field in _object(value).items())
            return b"{%s}" % b",".join([b"%s:%s" % field for field in fields])
    return bytes(value)
