"""The rules of a project for what comes in: what of its records is dropped or hashed, and which events stay out.

A path is dotted, as `event_properties.address.zip`. A dot separates levels or is part of a name: whatever is
spelled so is meant. Lists count for nothing in a path: what holds for `items.price` holds in each of the items.
"""

from collections.abc import Iterable, Mapping
from itertools import chain, pairwise
from typing import Any, Final, Literal, NamedTuple

from stores.errors import StoreError

Action = Literal["drop", "hash"]
MAX_RULES: Final = 50
"""Field rules of a project, and event filters of it."""
MAX_CONDITIONS: Final = 3
MAX_LENGTH: Final = 200
"""Characters of a path, a name, a value."""
MAX_LEVELS: Final = 8

NEEDED: Final = {
    "the project's id tells whose a record is": ("app",),
    "copies, the month and the order of updates are told by it": (
        *("uuid", "$insert_id", "insert_id", "event_id", "event_type", "event_name", "event_time", "created_at"),
        *("client_event_time", "client_upload_time", "server_received_time", "server_upload_time"),
        "processed_time",
    ),
    "profiles, cohorts and erasure find a user by it": ("user_id", "device_id", "amplitude_id"),
}
"""By reason: the fields that no rule may change."""
_WHY: Final = {field: why for why, fields in NEEDED.items() for field in fields}
OBJECTS: Final = ("event_properties", "user_properties", "groups", "group_properties", "data", "plan")
"""Fields that hold properties."""
NO_TEXTS: Final = ("session_id", "location_lat", "location_lng", "user_creation_time")
"""Fields whose columns have no room for a hash."""
NO_VALUES: Final = (
    *("event_time", "client_event_time", "client_upload_time", "server_received_time", "server_upload_time"),
    *("processed_time", "user_creation_time", "location_lat", "location_lng", "app", "event_type", *OBJECTS),
)
"""Fields with which no filter compares: they have several spellings, or are no single value."""
_WITH_OPERATORS: Final = ("user_properties.$", "group_properties.$")


class RuleError(StoreError, ValueError):
    """A rule that may not be applied; the message is one line that names it and says why."""


class FieldRule(NamedTuple):
    """What stands at a path is left out, or its SHA-256 takes its place."""

    path: str
    action: Action


class EventFilter(NamedTuple):
    """Events of Amplitude's name (None: of any) that have, at each of these paths, this text: they stay out."""

    event: str | None
    where: tuple[tuple[str, str], ...] = ()


class Rules(NamedTuple):
    """The rules of a project, in order: at least one."""

    field_rules: tuple[FieldRule, ...] = ()
    event_filters: tuple[EventFilter, ...] = ()


def rules_of(document: Mapping[str, Any]) -> Rules:
    """Rules as JSON, TOML and tables have them: `field_rules` by path, and a list of `event_filters`.

    Raises RuleError in one line that names the rule.
    """
    if unknown := document.keys() - {"field_rules", "event_filters"}:
        msg = f"{', '.join(sorted(unknown))}: there are field_rules and event_filters, and nothing else"
        raise RuleError(msg)
    fields, filters = document.get("field_rules", {}), document.get("event_filters", [])
    if not isinstance(fields, dict) or not isinstance(filters, list):
        msg = "field_rules is a table of paths with `drop` or `hash`, event_filters a list of tables"
        raise RuleError(msg)
    return checked(fields.items(), map(_filter_of, filters))


def documented(rules: Rules | None) -> dict[str, Any]:
    """The same form as `rules_of` takes it; empty where there are no rules."""
    fields, filters = rules or Rules()
    named = [({} if one.event is None else {"event": one.event}) | {"where": dict(one.where)} for one in filters]
    return {"field_rules": dict(fields), "event_filters": named}


def checked(fields: Iterable[tuple[str, Any]], filters: Iterable[EventFilter]) -> Rules:
    """Rules that may be applied. Raises RuleError in one line that names the one that may not, and says why."""
    paths = tuple(sorted(FieldRule(*one) for one in dict(fields).items()))
    distinct = tuple(dict.fromkeys(EventFilter(event, tuple(sorted(where))) for event, where in filters))
    if max(len(paths), len(distinct)) > MAX_RULES:
        msg = f"{len(paths)} field rules and {len(distinct)} event filters: a project may have {MAX_RULES} of each"
        raise RuleError(msg)
    for rule in paths:
        _check_rule(rule)
    for outer, inner in pairwise(sorted(paths, key=lambda rule: f"{rule.path}.")):
        if inner.path.startswith(f"{outer.path}."):
            msg = f"field rule {inner.path!r} lies within {outer.path!r}: one of them is enough"
            raise RuleError(msg)
    for one in distinct:
        _check_filter(one)
    return Rules(paths, distinct)


def _filter_of(table: Any) -> EventFilter:
    where = table.get("where", {}) if isinstance(table, dict) else None
    if not isinstance(where, dict) or table.keys() - {"event", "where"}:
        msg = (
            f"event filter {table!r}: it has an `event` with a name, a table `where` of paths with texts, or both"
        )
        raise RuleError(msg)
    return EventFilter(table.get("event"), tuple(where.items()))


def _check_rule(rule: FieldRule) -> None:
    what = f"field rule {rule.path!r}"
    _check_path(what, rule.path)
    field, _, below = rule.path.partition(".")
    why = None
    if rule.action not in {"drop", "hash"}:
        why = f"{rule.action!r} is neither `drop` nor `hash`"
    elif field in _WHY:
        why = f"{field} stays as it is: {_WHY[field]}"
    elif rule.path.startswith(_WITH_OPERATORS):
        why = f"leave out {below.partition('.')[0]}: a rule holds within operators such as $set by itself"
    elif rule.action == "hash" and field in NO_TEXTS:
        why = "a number or a time has no room for a hash: drop it"
    elif rule.action == "hash" and rule.path in OBJECTS:
        why = "a hash takes the place of a property: name one in it, or drop all"
    if why:
        msg = f"{what}: {why}"
        raise RuleError(msg)


def _check_filter(one: EventFilter) -> None:
    what = f"event filter {one.event!r}" if one.event else "event filter"
    if one.event == "" or (one.event is None and not one.where):
        msg = f"{what}: name an event, a path with a text, or both"
        raise RuleError(msg)
    if len(one.where) > MAX_CONDITIONS:
        msg = f"{what}: {len(one.where)} conditions, and {MAX_CONDITIONS} are allowed"
        raise RuleError(msg)
    for text in (one.event or "", *chain.from_iterable(one.where)):
        _check_text(what, text)
    for path, _ in one.where:
        _check_path(what, path)
        if path in NO_VALUES:
            msg = f"{what}: {path} is no text that could be compared"
            raise RuleError(msg)


def _check_path(what: str, path: str) -> None:
    _check_text(what, path)
    if not path or path.count(".") >= MAX_LEVELS:
        msg = f"{what}: a path has 1 to {MAX_LEVELS} levels"
        raise RuleError(msg)


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str) or len(text) > MAX_LENGTH or not text.isprintable():
        msg = f"{what}: {text!r:.80} is no text of at most {MAX_LENGTH} printable characters"
        raise RuleError(msg)
