"""An event's bytes into an `Export`, the documented event of the Export API.

Two ways lead to the same result. The quick one, `msgspec` into a typed struct, takes what Amplitude
documents, fields that are not documented yet beside it, and keeps JSON objects as the bytes they came in. What it
refuses (another type, a duplicate key, a sentinel id) goes the careful way, from fields that `text` has read: it
keeps what does not fit under its own name in `misfits` and notes what it mended. A property test holds the two
ways together.
"""

import re
import threading
from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from udfs import attribute, classify, clock, ids, text
from udfs.model import DOCUMENTED_COLUMNS, Reason, Rejection, Repair
from udfs.text import Fields

Misfits = dict[str, Any]
Parsed = tuple[Any, list[str], Misfits]
"""An `Export`, its objects as JSON text in the order of their columns, and what does not fit by JSON name."""

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


_FIELDS: Final[list[Any]] = [
    ("app", _App),
    ("event_type", _EventType),
    *(_field(column, kind) for column, kind in DOCUMENTED_COLUMNS.items()),
    *((name.strip("$"), _SCALAR, msgspec.field(name=name, default=None)) for name in _WITHOUT_COLUMN),
]
Export: Final = msgspec.defstruct("Export", _FIELDS, forbid_unknown_fields=True, gc=False)
"""An event with the fields of `DOCUMENTED_COLUMNS` in their order, then those that have no column."""
_Grown: Final = msgspec.defstruct("_Grown", _FIELDS, gc=False)
"""The same, of a version of Amplitude that has fields which are not documented yet."""

_OTHERS_AT: Final = 2 + len(DOCUMENTED_COLUMNS)
_NO_OTHERS: Final = (None,) * len(_WITHOUT_COLUMN)
_COLUMN_OF: Final = {_JSON_NAME.get(column, column): column for column in DOCUMENTED_COLUMNS}


class _RefusedError(Exception):
    """The quick way does not take this value."""


class _Quick(threading.local):
    """A decoder for each thread: its hook remembers the custom types that it has met in the record at hand."""

    def __init__(self) -> None:
        self.seen: set[type] = set()
        self.decode = msgspec.json.Decoder(Export, dec_hook=_once(self.seen)).decode
        self.decode_grown = msgspec.json.Decoder(_Grown, dec_hook=_once(self.seen)).decode


def _once(seen: set[type]) -> Callable[[type, Any], Any]:
    """msgspec's hook for keys of a custom type: refuses the second one of a record, and any odd value."""

    def hook(kind: type, value: Any) -> Any:
        if kind in seen:
            raise _RefusedError
        seen.add(kind)
        if kind is _App:
            if (number := attribute.project_id(value)) is not None:
                return _App(number)
        elif type(value) is str:
            return kind(value)
        elif value is None and kind is not _EventType:
            return kind("")
        raise _RefusedError

    return hook


_quick: Final = _Quick()
_SHORT: Final = 256
# \u00xx may spell a key in disguise, half an emoji has no UTF-8: both need the careful way. A low half is whole
# only behind a high one, and that only if no backslash stands before it
_ODD_ESCAPE: Final = re.compile(
    rb"\\u(?:00|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!(?<=[^\\])\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F])"
)


def quick(payload: bytes) -> Parsed | None:
    """A plain event; None for all else, which the careful way finds again and names."""
    export: Any
    try:
        # a long record is hardly anything but an event
        is_other = len(payload) < _SHORT and b'"event_type"' not in payload
        if is_other or len(payload) > text.MAX_BYTES or (b"\\" in payload and _ODD_ESCAPE.search(payload)):
            return None
        if text.may_be_deep(payload) and text.deep(payload):
            return None
        way = _quick
        way.seen.clear()
        try:
            export, misfits = way.decode(payload), _NO_MISFITS
        except msgspec.ValidationError as error:
            if "unknown field" not in str(error):
                raise
            export, misfits = _grown(payload)
        # msgspec does not look at the text inside objects that it keeps as bytes: this does
        objects = [str(value, "utf-8") for value in _objects(export)]
    except Exception:
        return None
    event_type, sentinels = export.event_type, ids.SENTINELS
    if (
        not event_type
        or event_type.startswith(classify.SPECIAL)
        or export.uuid in sentinels
        or export.user_id in sentinels
        or export.device_id in sentinels
        or export.insert_id in sentinels
    ):
        return None
    if not export.uuid and any(payload.count(key) > 1 for key in _QUOTED_IDS):
        return None  # the identity rests on fields that may not stand twice
    return export, objects, misfits


def _grown(payload: bytes) -> tuple[Any, Misfits]:
    """The typed event and its undocumented fields. Raises what msgspec raises, UnicodeError or _RefusedError."""
    _quick.seen.clear()
    payload.decode()  # msgspec passes over the text of unknown fields
    export: Any = _quick.decode_grown(payload)
    fields = _raw_fields(payload)
    misfits = {name: value for name, value in fields.items() if name not in _DOCUMENTED}
    if misfits.keys() & _NOT_AN_EVENTS:
        raise _RefusedError
    return export, {name: value for name, value in misfits.items() if bytes(value) != b"null"}


_raw_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_DOCUMENTED: Final = frozenset({"app", "event_type", *_COLUMN_OF, *_WITHOUT_COLUMN})
# they may make it a cohort message, or stand for a documented field
_NOT_AN_EVENTS: Final = frozenset({"cohort_id", "users", "event_name", "created_at"})
_NO_MISFITS: Final[Misfits] = {}
_objects: Final = attrgetter(*(name for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict))
_QUOTED_IDS: Final = (b'"device_id"', b'"$insert_id"', b'"event_id"', b'"client_event_time"')


_ID_FIELDS: Final = frozenset({"uuid", "user_id", "device_id", "$insert_id"})


def split(export: Any) -> tuple[tuple[Any, ...], Misfits]:
    """The values of `DOCUMENTED_COLUMNS`, and the documented fields without a column that hold a value."""
    values = msgspec.structs.astuple(export)
    others = values[_OTHERS_AT:]
    misfits = {} if others == _NO_OTHERS else _present(others)
    return values[2:_OTHERS_AT], misfits


def _present(others: tuple[Any, ...]) -> Misfits:
    return {name: value for name, value in zip(_WITHOUT_COLUMN, others, strict=True) if value is not None}


def content(payload: bytes) -> dict[str, Any]:
    """All of a parsed event by JSON name, whatever its types; for bytes that are an object."""
    fields = text.fields(payload)
    return dict(fields.pairs) if isinstance(fields, Fields) else {}


class Record(NamedTuple):
    """A JSON object read the careful way: its fields by JSON name, and what was mended so far."""

    fields: Misfits
    repairs: set[str]


def record(payload: bytes) -> Record | Rejection:
    """The object that the bytes spell, or why they spell none that can be told whose and which it is."""
    fields = text.fields(payload)
    if isinstance(fields, Rejection):
        return fields
    known = fields_of(fields)
    return known if isinstance(known, Rejection) else Record(known, fields.repairs)


def fields_of(fields: Fields) -> Misfits | Rejection:
    """The fields of an object by JSON name; of equal keys the last, unless user or owner depends on them."""
    record = dict(fields.pairs)
    if len(record) < len(fields.pairs):
        keys = [key for key, _ in fields.pairs]
        once = _ONCE_KEYS if ids.somebody(record.get("uuid")) is not None else (*_ONCE_KEYS, *_IDENTITY_KEYS)
        in_their_place = (alias for name, alias in _ONCE_ALIASES.items() if record.get(name) is None)
        for key in (*once, *_COHORT_KEYS, *in_their_place):
            if keys.count(key) > 1:
                return Rejection(Reason.DUPLICATE_KEY, f"{key} stands {keys.count(key)} times")
    for name, alias in _ALIASES.items():
        if record.get(name) is None and record.get(alias) is not None:
            record[name] = record.pop(alias)
            fields.repairs.add(Repair.FIELD_RENAMED.of(name))
    return record


def careful(record: Misfits, repairs: set[str]) -> Parsed | Rejection:
    """An event or a user update, or why the fields are none; adds to `repairs`."""
    app, event_type = record.get("app"), record.get("event_type")
    project_id = attribute.project_id(app)
    if project_id is None:
        return _app_rejection(app)
    if not isinstance(event_type, str) or not event_type.strip("\0"):  # NULs are dropped later
        return Rejection(Reason.EVENT_TYPE_INVALID, f"event_type is {shown(event_type)}, not a name")
    export = Export(app=_App(project_id), event_type=_EventType(event_type))
    others = {name: value for name, value in record.items() if name not in {"app", "event_type"}}
    misfits = {name: value for name, value in others.items() if not _fill(export, name, value, repairs)}
    return export, [str(value, "utf-8") for value in _objects(export)], misfits


def _app_rejection(app: object) -> Rejection:
    """Why a value is no project id."""
    if app is None:
        return Rejection(Reason.APP_MISSING, "no app, or null")
    return Rejection(Reason.APP_INVALID, f"app is {shown(app)}, not a project id")


_ONCE_KEYS: Final = ("app", "event_type", "uuid", "user_id")
_COHORT_KEYS: Final = ("cohort_id", "in_cohort", "computed_time", "users")
_IDENTITY_KEYS: Final = ("device_id", "$insert_id", "event_id", "client_event_time")
# Amplitude's Kinesis page names these two; the Export schema has the others (docs/amplitude.md §1.1)
_ONCE_ALIASES: Final = {"event_type": "event_name", "computed_time": "compute_time"}
_ALIASES: Final = {"event_type": "event_name", "event_time": "created_at"}


def _fill(export: Any, name: str, value: Any, repairs: set[str]) -> bool:
    """Put a field into its column; False when there is no column for it or the value is of another type."""
    if value is None:
        return True
    column = _COLUMN_OF.get(name)
    if column is None:
        return False
    fitting = _id(value) if name in _ID_FIELDS else _fitting(DOCUMENTED_COLUMNS[column], value)
    if isinstance(fitting, Repair):
        repairs.add(fitting.of(name))
        return False
    if name in _ID_FIELDS and not isinstance(value, str):
        repairs.add(Repair.ID_FROM_NUMBER.of(name))
    setattr(export, column, fitting)
    return True


def _id(value: Any) -> str | Repair:
    """The text of an id, empty as it came, or a `Repair` that says why it is none."""
    spelled = ids.spelled(value)
    if spelled is None:
        return Repair.WRONG_TYPE
    return Repair.SENTINEL_ID if ids.nobody(spelled) else spelled


def _fitting(kind: type, value: Any) -> Any:
    """The value as its column holds it, or a `Repair` that says why it does not."""
    if kind is datetime:
        return clock.timestamp(value) or Repair.TIMESTAMP_UNREADABLE
    if kind is dict:
        return msgspec.Raw(msgspec.json.encode(value)) if type(value) is dict else Repair.CONTAINER_EXPECTED
    if kind is float:
        if isinstance(value, msgspec.Raw):
            number = text.finite(value)
            return Repair.FLOAT_NOT_FINITE if number is None else number
        return float(value) if type(value) is int else Repair.WRONG_TYPE
    if kind is int:
        beyond = isinstance(value, msgspec.Raw) and ids.is_integer(value)
        return value if type(value) is int else Repair.INTEGER_BEYOND_INT64 if beyond else Repair.WRONG_TYPE
    return value if isinstance(value, str) else Repair.WRONG_TYPE


def shown(value: object) -> str:
    """A value in a detail: JSON, cut short, and without what may be a key."""
    spelled = text.without_keys(msgspec.json.encode(value).decode())
    return spelled if len(spelled) <= 80 else spelled[:80] + "…"
