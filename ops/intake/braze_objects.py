"""The objects of Braze's `/users/track`: whom each is about, and the fields of the record that it becomes.

An event keeps its name and its properties as they were spelled. A purchase becomes an event `purchase` with
Amplitude's names for revenue, which no property of the sender's can have: Braze forbids names with a leading `$`.
Attributes become property operators where these mean the same, else the object is refused.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Raw

from udfs import identify, ids, lists
from udfs.model import Kind

PURCHASE: Final = "purchase"
"""What the event of a purchase is called."""
LIBRARY: Final = "braze"
"""`library` of each record: a program that speaks Braze's dialect has sent it."""

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
_One = TypeVar("_One", bound="_Object")


class InvalidError(ValueError):
    """An object, or a request, that is not taken; the words tell its sender what to change."""


class Alias(msgspec.Struct):
    """A user's name among those with the same label."""

    alias_name: _Text
    alias_label: _Text


class _Object(msgspec.Struct, kw_only=True):
    """What every object may say: whom it is about, and of which app."""

    external_id: str | None = None
    user_alias: Alias | None = None
    braze_id: str | None = None
    email: str | None = None
    phone: str | None = None
    app_id: str | None = None


class _Event(_Object, kw_only=True):
    """`insert_id` is ours, for a sender with ids of its own: Braze's objects have none."""

    name: Annotated[str, msgspec.Meta(min_length=1, pattern="[^\0]")]
    time: str
    properties: dict[str, Raw] | None = None
    insert_id: _Text | None = None


class _Purchase(_Event, kw_only=True):
    name: _Text = PURCHASE
    product_id: _Text
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{3}$")]
    price: int | float
    quantity: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


class _Attributes(_Object, kw_only=True):
    push_token_import: bool = False
    merge: bool = msgspec.field(name="_merge_objects", default=False)
    only_existing: bool | None = msgspec.field(name="_update_existing_only", default=None)


class Read(NamedTuple):
    """An object that is understood: whom it is about, its record, and the id that its sender gave it, if any."""

    kind: Kind
    who: dict[str, Any]
    record: dict[str, Any]
    own_id: str | None = None


def event(spelled: Raw, app_ids: Collection[str]) -> Read:
    """An object of `events` as an event of the Export API. Raises InvalidError."""
    return _occurred(_decoded(spelled, _Event), spelled, app_ids, {})


def purchase(spelled: Raw, app_ids: Collection[str]) -> Read:
    """An object of `purchases` as an event. Raises InvalidError."""
    one = _decoded(spelled, _Purchase)
    revenue = {
        "$productId": one.product_id,
        "$price": one.price,
        "$quantity": one.quantity,
        "$revenue": Raw(str(Decimal(str(one.price)) * one.quantity).encode()),
        "$currency": one.currency.upper(),
    }  # docs/amplitude.md §1.5
    return _occurred(one, spelled, app_ids, revenue)


def attributes(spelled: Raw, app_ids: Collection[str]) -> Read:
    """An object of `attributes` as a user update of the Identify API. Raises InvalidError."""
    one = _decoded(spelled, _Attributes)
    if one.push_token_import or "push_tokens" in (fields := _fields(spelled)):
        msg = "'push_tokens' is not supported: leave push tokens out"
        raise InvalidError(msg)
    who = _who(one, app_ids)
    if one.only_existing and "external_id" in who:  # of all others no profile is made
        msg = "'_update_existing_only' is not supported: without it a missing profile is made"
        raise InvalidError(msg)
    properties = {name: value for name, value in fields.items() if name not in _NO_PROPERTY}
    record = {
        "event_type": "$identify",
        "user_properties": _operators(properties, one.merge),
        **_common(who, {name: fields[name] for name in _NO_PROPERTY & fields.keys()}),
    }
    return Read(Kind.USER_UPDATE, who, record)


def _occurred(one: _Event, spelled: Raw, app_ids: Collection[str], revenue: Mapping[str, Any]) -> Read:
    who, at = _who(one, app_ids), _time(one.time)
    record = {
        "event_type": one.name,
        "event_time": at,
        "client_event_time": at,
        "event_properties": {**(one.properties or {}), **revenue},
        **({"$insert_id": one.insert_id} if one.insert_id else {}),
        **_common(who, {name: value for name, value in _fields(spelled).items() if name not in _MAPPED}),
    }
    return Read(Kind.EVENT, who, record, one.insert_id)


def _common(who: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """The ids of a record, and what Amplitude has no field for: it stays readable as `braze`."""
    ((name, value),) = who.items()
    if name == "external_id":
        known = {"user_id": value}
    elif name == "user_alias":
        known = {"device_id": f"alias:{quote(value['alias_label'])}:{value['alias_name']}"}
    else:
        known = {"device_id": f"{name}:{value}"}
    kept = {name: value for name, value in rest.items() if name not in who}
    return known | {"library": LIBRARY} | ({"braze": kept} if kept else {})


_NAMES: Final = ("external_id", "user_alias", "braze_id", "email", "phone")
"""Braze's names of a user; of several the first one counts. That e-mail wins over phone is documented."""
_FLAGS: Final = frozenset({"_update_existing_only", "_merge_objects", "push_token_import"})
_NO_PROPERTY: Final = frozenset({"external_id", "user_alias", "braze_id", "app_id", *_FLAGS})
_MAPPED: Final = frozenset(
    {"name", "time", "properties", "insert_id", "product_id", "currency", "price", "quantity"}
)


def _who(one: _Object, app_ids: Collection[str]) -> dict[str, Any]:
    """Whom an object is about, as it says so."""
    if one.app_id is not None and app_ids and one.app_id not in app_ids:
        msg = "'app_id' is not one of this access key's: leave it out, or use a key that was created with it"
        raise InvalidError(msg)
    for name in _NAMES:
        value = getattr(one, name)
        if isinstance(value, str) and ids.nobody(value):
            msg = f"provided {name} is blacklisted and disallowed"
            raise InvalidError(msg)
        if value:
            return {name: msgspec.to_builtins(value)}
    msg = "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
    raise InvalidError(msg)


_COLON: Final = re.compile(r"(:\d\d):(\d{3})(?=Z|[+-]|$)")
"""Braze also takes yyyy-MM-dd'T'HH:mm:ss:SSSZ."""


def _time(spelled: str) -> str:
    """A time as Amplitude spells it; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(_COLON.sub(r"\1.\2", spelled))
        at = at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    except (ValueError, OverflowError):
        msg = "'time' is not valid: give ISO 8601 with a zone, such as 2026-03-20T08:15:02Z"
        raise InvalidError(msg) from None
    return at.isoformat(" ", "microseconds")


def _operators(properties: Mapping[str, Raw], merge: bool) -> dict[str, dict[str, Any]]:
    """Property operators (docs/amplitude.md §2.3) that do what the attributes ask for."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, value in properties.items():
        for operator, operand in _forms(name, value, merge):
            found[operator][name] = operand
    return dict(found)


def _forms(name: str, value: Raw, merge: bool) -> Iterator[tuple[str, Any]]:
    if bytes(value) == b"null":
        yield "$unset", "-"
    elif lists.first(value) != "{":
        yield "$set", value
    else:
        form = _fields(value)
        if form and form.keys() <= _OPERATORS.keys():
            yield from (_operation(name, word, operand) for word, operand in form.items())
        else:
            yield "$set", _nested(name, form, value, merge)


def _operation(name: str, word: str, operand: Raw) -> tuple[str, Raw]:
    operator, holds, what = _OPERATORS[word]
    if not holds(operand):
        msg = f"'{name}' is not valid: '{word}' must be {what}"
        raise InvalidError(msg)
    return operator, operand


_OPERATORS: Final[dict[str, tuple[str, Callable[[Raw], bool], str]]] = {
    "inc": ("$add", identify.is_number, "a number"),
    "add": ("$postInsert", lists.is_list, "an array"),
    "remove": ("$remove", lists.is_list, "an array"),
    "$add": ("$append", lists.is_list, "an array"),
}
"""By Braze's word. Its lists are sets: `add` adds what is absent. Those of objects, with `$add`, are not."""


def _nested(name: str, form: Mapping[str, Raw], value: Raw, merge: bool) -> Raw:
    """A nested attribute, which takes the place of the former one."""
    if merge:
        msg = f"'{name}' is not valid: '_merge_objects' is not supported, send the whole object"
        raise InvalidError(msg)
    if unknown := next((key for key in form if key.startswith("$")), None):
        msg = f"'{name}' is not valid: '{unknown}' is not supported, send the whole value"
        raise InvalidError(msg)
    return value


_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_MISSING: Final = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.(\w+)`)?")
_AT: Final = re.compile(r"(.+) - at `\$\.(\w+)[^`]*`")


def _decoded(spelled: Raw, kind: type[_One]) -> _One:
    try:
        return msgspec.json.decode(spelled, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidError(_words(str(error))) from None


def _words(error: str) -> str:
    """msgspec's words as Braze has them, and why."""
    if missing := _MISSING.fullmatch(error):
        return f"'{missing[1]}' is required" + (f" in '{missing[2]}'" if missing[2] else "")
    if at := _AT.fullmatch(error):
        return f"'{at[2]}' is not valid: {at[1][0].lower()}{at[1][1:]}"
    return f"the object is not valid: {error[0].lower()}{error[1:]}"
