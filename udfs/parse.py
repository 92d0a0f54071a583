"""Bytes of one record into an `Export`, the documented event of the Export API, or a `Rejection`.

Two ways lead to the same result. The quick one, `msgspec` into a typed struct, takes what Amplitude
documents and keeps JSON objects as the bytes they came in. Whatever it refuses (an unknown field, another
type, a duplicate key, broken text) goes the careful way, which keeps what does not fit under its own name
in `misfits`. A property test holds the two ways together.
"""

import json
import re
import threading
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Final

import msgspec

from udfs import attribute, clock
from udfs.model import EXPORT_COLUMNS, Reason, Rejection

Misfits = dict[str, Any]
TOO_DEEP: Final = Rejection(Reason.TOO_DEEP, "nested deeper than the parser goes")

_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_NAIVE = Annotated[datetime, msgspec.Meta(tz=False)]
_SCALAR = bool | _INT64 | float | str | None
_EMPTY: Final = msgspec.Raw(b"{}")


class _App(int):
    """A project id out of `app`."""


class _EventType(str):
    """A non-empty `event_type`."""


class _Uuid(str):
    """`uuid`; empty when null."""


class _UserId(str):
    """`user_id`; empty when null."""


# Documented fields that have no column: they stay, when not null, in the column `extra`.
_WITHOUT_COLUMN: Final = (
    "$insert_key",
    "$schema",
    "adid",
    "idfa",
    "amplitude_attribution_ids",
    "amplitude_event_type",
    "followed_an_identify",
    "global_user_properties",
    "is_attribution_event",
    "partner_id",
    "paying",
    "sample_rate",
    "source_id",
)
_FIELD_TYPE: Final[dict[type, tuple[Any, Any]]] = {
    str: (str | None, None),
    int: (_INT64 | None, None),
    float: (float | None, None),
    datetime: (_NAIVE | None, None),
    dict: (msgspec.Raw, _EMPTY),
}
_ONCE: Final[dict[str, type]] = {"uuid": _Uuid, "user_id": _UserId}
_JSON_NAME: Final = {"insert_id": "$insert_id"}


def _field(column: str, kind: type) -> tuple[str, Any, Any]:
    annotation, default = (_ONCE[column], "") if column in _ONCE else _FIELD_TYPE[kind]
    return column, annotation, msgspec.field(name=_JSON_NAME.get(column, column), default=default)


Export: Final = msgspec.defstruct(
    "Export",
    [
        ("app", _App),
        ("event_type", _EventType),
        *(_field(column, kind) for column, kind in EXPORT_COLUMNS.items()),
        *((name.strip("$"), _SCALAR, msgspec.field(name=name, default=None)) for name in _WITHOUT_COLUMN),
    ],
    forbid_unknown_fields=True,
)
"""An event with the fields of `EXPORT_COLUMNS` in their order, then those that have no column."""

_OTHERS_AT: Final = 2 + len(EXPORT_COLUMNS)
_NO_OTHERS: Final = (None,) * len(_WITHOUT_COLUMN)
_COLUMN_OF: Final = {_JSON_NAME.get(column, column): column for column in EXPORT_COLUMNS}


class _RefusedError(Exception):
    """The quick way does not take this value."""


class _Seen(threading.local):
    """The custom types met in the record at hand; a worker's threads may each be in the middle of one."""

    def __init__(self) -> None:
        self.kinds: set[type] = set()


_seen: Final = _Seen()


def _once(kind: type, value: Any) -> Any:
    """msgspec's hook for keys of a custom type: refuses the second one of a record, and any odd value."""
    kinds = _seen.kinds
    if kind in kinds:
        raise _RefusedError
    kinds.add(kind)
    if kind is _App:
        number = attribute.project_id(value)
        if number is None:
            raise _RefusedError
        return _App(number)
    if value is None and kind is not _EventType:
        return kind("")
    if type(value) is not str:
        raise _RefusedError
    return kind(value)


_quick: Final = msgspec.json.Decoder(Export, dec_hook=_once).decode
# \u00xx may spell a key in disguise, \ud8xx half an emoji: both need the careful way
_ODD_ESCAPE: Final = re.compile(rb"\\u(?:00|[dD][89a-fA-F])")


def parse(payload: bytes) -> tuple[Any, Misfits] | Rejection:
    """An `Export` and its misfits by JSON name, or why the bytes are no event. Never raises."""
    try:
        if b"\\" in payload and _ODD_ESCAPE.search(payload):
            return _careful(payload)
        if not payload.isascii():
            payload.decode()  # msgspec does not look at the text inside objects that it keeps as bytes
        _seen.kinds.clear()
        export: Any = _quick(payload)
        if export.event_type:
            return export, {}
    except Exception:  # noqa: S110
        pass  # whatever it was, the careful way finds it again and names it
    return _careful(payload)


def split(export: Any) -> tuple[list[Any], Misfits]:
    """The values of `EXPORT_COLUMNS`, and the documented fields without a column that hold a value."""
    values = msgspec.structs.astuple(export)
    others = values[_OTHERS_AT:]
    misfits = {} if others == _NO_OTHERS else _present(others)
    return list(values[2:_OTHERS_AT]), misfits


def _present(others: tuple[Any, ...]) -> Misfits:
    return {name: value for name, value in zip(_WITHOUT_COLUMN, others, strict=True) if value is not None}


def record(payload: bytes) -> dict[str, Any]:
    """All of a parsed record by JSON name, whatever its types; for bytes that `parse` has accepted."""
    return dict(_pairs(payload.decode()) or ())


def _careful(payload: bytes) -> tuple[Any, Misfits] | Rejection:
    if not payload.strip(b" \t\r\n"):
        return Rejection(Reason.EMPTY, f"{len(payload)} bytes")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        return Rejection(Reason.INVALID_UTF8, f"{error.reason} at byte {error.start}")
    try:
        pairs = _pairs(text)
    except RecursionError:
        return TOO_DEEP
    except ValueError as error:
        return Rejection(Reason.INVALID_JSON, str(error))
    if pairs is None:
        return Rejection(Reason.NOT_AN_OBJECT, f"starts with {text.lstrip()[:20]!r}")
    return _export(pairs)


def _pairs(text: str) -> list[tuple[str, Any]] | None:
    """The top-level object's keys and values as they stand, duplicates kept; None if it is no object.

    Numbers keep their spelling (no float is rounded, no integer too large), NaN and Infinity become null.
    Raises ValueError and RecursionError as the standard library's parser does.
    """
    last: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal last
        last = pairs
        return dict(pairs)

    value = json.loads(
        _without_lone_surrogates(text),
        object_pairs_hook=keep,
        parse_int=_integer,
        parse_float=_raw,
        parse_constant=lambda _: None,
    )
    return last if isinstance(value, dict) else None


def _integer(digits: str) -> int | msgspec.Raw:
    """An int64 as such; beyond it the spelling, which no type has to hold."""
    number = int(digits) if len(digits) <= 20 else None
    return number if number is not None and -(2**63) <= number < 2**63 else _raw(digits)


def _raw(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


_HIGH, _LOW = r"u[dD][89abAB][0-9a-fA-F]{2}", r"u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rf"\\(?:{_HIGH}\\{_LOW}|(?P<lone>{_HIGH}|{_LOW})|.)", re.DOTALL)


def _without_lone_surrogates(text: str) -> str:
    r"""Half an escaped emoji becomes `\ufffd` (contract §8.3): it could not be encoded as UTF-8 again."""
    if "\\u" not in text:
        return text
    return _ESCAPE.sub(lambda m: r"\ufffd" if m["lone"] else m[0], text)


def _export(pairs: list[tuple[str, Any]]) -> tuple[Any, Misfits] | Rejection:
    record = dict(pairs)
    keys = [key for key, _ in pairs]
    for key in ("app", "event_type", "uuid", "user_id"):
        if keys.count(key) > 1:
            return Rejection(Reason.DUPLICATE_KEY, f"{key} stands {keys.count(key)} times")
    app, event_type = record.pop("app", None), record.pop("event_type", None)
    if app is None:
        return Rejection(Reason.APP_MISSING, "no app, or null")
    project_id = attribute.project_id(app)
    if project_id is None:
        return Rejection(Reason.APP_INVALID, f"app is {_shown(app)}, not a project id")
    if event_type is None:
        return Rejection(Reason.EVENT_TYPE_MISSING, "no event_type, or null")
    if not isinstance(event_type, str) or not event_type:
        return Rejection(Reason.EVENT_TYPE_INVALID, f"event_type is {_shown(event_type)}, not a name")
    export = Export(app=_App(project_id), event_type=_EventType(event_type))
    misfits = {name: value for name, value in record.items() if not _fill(export, name, value)}
    return export, misfits


def _fill(export: Any, name: str, value: Any) -> bool:
    """Put a field into its column; False when there is no column for it or the value is of another type."""
    if value is None:
        return True
    column = _COLUMN_OF.get(name)
    fitting = _fitting(EXPORT_COLUMNS[column], value) if column else None
    if fitting is None or column is None:
        return False
    setattr(export, column, fitting)
    return True


def _fitting(kind: type, value: Any) -> Any:
    """The value as its column holds it, None when it does not fit."""
    if kind is datetime:
        return clock.timestamp(value)
    if kind is dict:
        return msgspec.Raw(msgspec.json.encode(value)) if type(value) is dict else None
    if kind is float:
        number = float(bytes(value)) if isinstance(value, msgspec.Raw) else value
        return float(number) if type(number) in (int, float) and isfinite(number) else None
    if kind is int:
        return value if type(value) is int and -(2**63) <= value < 2**63 else None
    return value if isinstance(value, str) else None


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:80] + "…"
