"""A project's own rules (stores/rules.py): which of its events stay out, and what of a record is not stored.

They are applied to the row, behind identity, owner and month, so that neither depends on them. A path matches
however its dots are split into names, in each element of a list, and in user and group properties within
operators too. Of an object only what a path leads to is read: all else keeps its bytes.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Raw

from udfs import identify, lists
from udfs.model import DECODED, DOCUMENTED_COLUMNS, EVENT_PREFIX, Repair, Row


class FieldRule(Protocol):
    """What happens to the value at a path."""

    @property
    def path(self) -> str:
        """The dotted path."""

    @property
    def action(self) -> str:
        """`drop` or `hash`."""


class EventFilter(Protocol):
    """Which events stay out."""

    @property
    def event(self) -> str | None:
        """Those of this name of Amplitude's; None: of any."""

    @property
    def where(self) -> Sequence[tuple[str, str]]:
        """Those that have all of these texts at their paths."""


class Rules(Protocol):
    """The rules of a project. Equal ones are worked out once."""

    def __hash__(self) -> int: ...

    @property
    def field_rules(self) -> Sequence[FieldRule]:
        """No two on paths one of which contains the other."""

    @property
    def event_filters(self) -> Sequence[EventFilter]:
        """An event that meets one of them stays out."""


Tree: TypeAlias = dict[str, Any]
"""By each beginning of a path that may be a name: the tree of the rest, or at its end what the path is for."""


class _Plan(NamedTuple):
    """Where to look: places of a row's columns, each with its tree or its end; and the tree of a whole record."""

    columns: tuple[tuple[int, Any], ...]
    tree: Tree


class _Filter(NamedTuple):
    """An event filter as rows are compared with it; `words` have no values, which may be a person's."""

    name: str | None
    where: tuple[_Plan, ...]
    words: str


class _Misfit(NamedTuple):
    """The end of the path of a field that should hold properties, and is no object: none can be found in it."""

    path: str
    action: str = "drop"


_PROJECTS: Final = 10_000
_AT: Final = {name: at for at, name in enumerate(DECODED)}
_NAME_AT, _REPAIRS_AT, _EXTRA_AT = _AT["name"], _AT["repairs"], _AT["extra"]
_COLUMN_OF: Final = {"$insert_id" if name == "insert_id" else name: _AT[name] for name in DOCUMENTED_COLUMNS}
_OBJECTS: Final = {name: _AT[name] for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict}
_OBJECTS_AT: Final = frozenset(_OBJECTS.values())
_WITH_OPERATORS: Final = ("user_properties", "group_properties")

_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_list: Final = msgspec.json.Decoder(list[Raw]).decode


def filtered(row: Row, rules: Rules) -> str | None:
    """By which filter an event stays out, in words; None when it is taken."""
    for name, where, words in _filters(rules):
        if name in {None, row[_NAME_AT]} and all(_meets(row, plan) for plan in where):
            return words
    return None


def stored(row: Row, rules: Rules) -> Row:
    """The row of an event or a user update as it may be stored; `repairs` name the paths that were met."""
    plan, values = _fields(rules), list(row)
    met: set[str] = set()
    for at, todo in plan.columns:
        if values[at] is not None:
            values[at] = _column(values[at], todo, met, at in _OBJECTS_AT)
    if row[_EXTRA_AT]:
        misfits = {name: _Misfit(name) for name in plan.tree.keys() & _OBJECTS.keys()}
        extra = _ruled(Raw(row[_EXTRA_AT]), plan.tree | misfits, met)
        values[_EXTRA_AT] = _text(extra) if _object(extra) else None
    if met:
        values[_REPAIRS_AT] = " ".join(sorted({*(row[_REPAIRS_AT] or "").split(), *map(repair, met)}))
    return tuple(values)


def stored_message(fields: dict[str, Any], rules: Rules) -> tuple[bytes, set[str]] | None:
    """A cohort message as it may be stored, and the paths that were met; None when no rule is about its users."""
    todo = _fields(rules).tree.get("user_properties")
    if todo is None:
        return None
    met: set[str] = set()
    return bytes(_ruled(Raw(msgspec.json.encode(fields)), {"users": {"user_properties": todo}}, met)), met


def without(record: bytes, rules: Rules) -> tuple[bytes, set[str]]:
    """A record's JSON, or that of any object, as it may be stored, and the paths that were met."""
    met: set[str] = set()
    return bytes(_ruled(Raw(record), _fields(rules).tree, met)), met


def repair(path: str) -> str:
    """What column `repairs` says of a path that was met; its words have no blanks."""
    return Repair.FIELD_RULE.of(path.replace(" ", "%20"))


def words(one: EventFilter) -> str:
    """What a filter looks at."""
    name = "any event" if one.event is None else f"event {one.event!r}"
    return f"{name} by its {', '.join(path for path, _ in one.where)}" if one.where else name


@lru_cache(_PROJECTS)
def _fields(rules: Rules) -> _Plan:
    return _plan((rule.path, rule) for rule in rules.field_rules)


@lru_cache(_PROJECTS)
def _filters(rules: Rules) -> tuple[_Filter, ...]:
    return tuple(
        _Filter(one.event and EVENT_PREFIX + one.event, tuple(_plan([on]) for on in one.where), words(one))
        for one in rules.event_filters
    )


def _plan(paths: Iterable[tuple[str, Any]]) -> _Plan:
    tree = _tree(paths)
    for field in _WITH_OPERATORS:
        if isinstance(inside := tree.get(field), dict):
            inside.update(dict.fromkeys(identify.OPERATORS, inside))
    return _Plan(tuple((at, tree[name]) for name, at in _COLUMN_OF.items() if name in tree), tree)


def _tree(paths: Iterable[tuple[str, Any]]) -> Tree:
    ends, deeper = Tree(), defaultdict[str, list[tuple[str, Any]]](list)
    for path, end in paths:
        ends[path] = end
        for at, letter in enumerate(path):
            if letter == ".":
                deeper[path[:at]].append((path[at + 1 :], end))
    return {name: _tree(rest) for name, rest in deeper.items()} | ends


def _column(value: Any, todo: Any, met: set[str], is_object: bool) -> Any:
    """What a column holds instead of a value."""
    if isinstance(todo, dict):
        return _text(_ruled(Raw(value), todo, met)) if is_object else value
    if is_object and value == "{}":
        return value
    met.add(todo.path)
    if todo.action == "hash":
        return _sha256(value)
    return "{}" if is_object else None


def _ruled(value: Raw, tree: Tree, met: set[str]) -> Raw:
    """A JSON value without what the paths of a tree lead to, or with hashes there."""
    match lists.first(value):
        case "[":
            return Raw(msgspec.json.encode([_ruled(one, tree, met) for one in _list(value)]))
        case "{" if names := (fields := _object(value)).keys() & tree.keys():
            for name in names:
                _rule(fields, name, tree[name], met)
            return Raw(msgspec.json.encode(fields))
    return value


def _rule(fields: dict[str, Raw], name: str, todo: Any, met: set[str]) -> None:
    if isinstance(todo, dict):
        fields[name] = _ruled(fields[name], todo, met)
        return
    met.add(todo.path)
    if todo.action == "hash":
        fields[name] = _hashed(fields[name])
    else:
        del fields[name]


def _hashed(value: Raw) -> Raw:
    """The SHA-256 of a text, of what else there is as it is spelled, of a list in each element; null stays."""
    match lists.first(value):
        case "[":
            return Raw(msgspec.json.encode([_hashed(one) for one in _list(value)]))
        case "n":
            return value
    return Raw(msgspec.json.encode(_sha256(_spelled(value))))


def _meets(row: Row, plan: _Plan) -> bool:
    """Whether a path leads to the text at its end."""
    if row[_EXTRA_AT] and _leads(Raw(row[_EXTRA_AT]), plan.tree):
        return True
    return any(
        _leads(Raw(row[at]), todo) if at in _OBJECTS_AT else row[at] is not None and str(row[at]) == todo
        for at, todo in plan.columns
    )


def _leads(value: Raw, todo: Tree | str) -> bool:
    first = lists.first(value)
    if first == "[":
        return any(_leads(one, todo) for one in _list(value))
    if isinstance(todo, str):
        return first != "{" and _spelled(value) == todo
    fields = _object(value) if first == "{" else {}
    return any(_leads(fields[name], todo[name]) for name in fields.keys() & todo.keys())


def _spelled(value: Raw) -> str:
    """A text without its quotes, any other value as JSON."""
    return str(msgspec.json.decode(value)) if lists.first(value) == '"' else _text(value)


def _text(value: Raw) -> str:
    return bytes(value).decode()


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
