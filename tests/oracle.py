"""What must come of a list of records: slow, from the raw bytes, with nothing but the standard library.

It shares no code with the job, so a rule that both get wrong has been misread twice. `judge` says what one
record is; `expect` is the whole product in a loop: the first copy of an identity is an event, and usage
counts the events of a project and month.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Identity: TypeAlias = tuple[str | int, ...]

WITHOUT_DUPLICATES = ("app", "uuid", "event_type", "user_id")
USER_UPDATES = ("$identify", "_identify", "$groupidentify")
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Event:
    """A valid event: whose, which (the identity starts with the rung), its name and billing month."""

    project_id: int
    identity: Identity
    name: str
    month: str


@dataclass(frozen=True)
class Rejected:
    """The record is no event, for this reason."""

    reason: str


@dataclass
class Expected:
    """The result at rest; `records` counts valid records of registered projects, repeats included."""

    events: dict[tuple[int, Identity], Event] = field(default_factory=dict)
    records: Counter[int] = field(default_factory=Counter)
    usage: Counter[tuple[int, str]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[int] = field(default_factory=Counter)


def expect(arrivals: Iterable[tuple[bytes, datetime]], registered: Collection[int]) -> Expected:
    """Replay records in the order given; each arrival time must be aware."""
    expected = Expected()
    for data, arrival in arrivals:
        match judge(data, arrival):
            case Rejected(reason):
                expected.rejected[reason] += 1
            case Event(project_id) if project_id not in registered:
                expected.quarantined[project_id] += 1
            case Event(project_id, identity) as event:
                expected.records[project_id] += 1
                expected.events.setdefault((project_id, identity), event)
    expected.usage.update((event.project_id, event.month) for event in expected.events.values())
    return expected


def judge(data: bytes, arrival: datetime) -> Event | Rejected:
    """What the record is, whoever is registered."""
    record = _parsed(data)
    if isinstance(record, Rejected):
        return record
    if flaw := _flaw_of_app(record.get("app")) or _flaw_of_event_type(record.get("event_type")):
        return Rejected(flaw)
    project_id, event_type = int(record["app"]), _clean(record["event_type"])
    month = _month(record.get("server_upload_time"), arrival)
    return Event(project_id, _identity(record, event_type), f"amplitude__{event_type}", month)


def _parsed(data: bytes) -> dict[str, Any] | Rejected:
    if not data.strip(b" \t\r\n"):
        return Rejected("empty")
    latest: list[tuple[str, Any]] = []

    def remember(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        latest[:] = pairs  # objects end inside out: what stays is the outermost
        return dict(pairs)

    record = _read(data, remember)
    if isinstance(record, Rejected):
        return record
    if not isinstance(record, dict):
        return Rejected("not_an_object")
    keys = Counter(key for key, _ in latest)
    if any(keys[key] > 1 for key in WITHOUT_DUPLICATES):
        return Rejected("duplicate_key")
    return record


def _read(data: bytes, object_of: Callable[[list[tuple[str, Any]]], object]) -> object:
    try:
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=object_of, parse_constant=lambda _: None, parse_int=_int)
    except UnicodeDecodeError:
        return Rejected("invalid_utf8")
    except RecursionError:
        return Rejected("too_deep")
    except json.JSONDecodeError:
        return Rejected("invalid_json")


def _int(digits: str) -> int | float:
    """Python refuses to convert more than 4300 digits; no rule here looks at a number of that size."""
    return int(digits) if len(digits) < 4000 else float(digits)


def _flaw_of_app(app: object) -> str:
    match app:
        case None:
            return "app_missing"
        case bool():
            return "app_invalid"
        case int() if 0 <= app <= LARGEST:
            return ""
        case str() if re.fullmatch("[0-9]{1,19}", app) and int(app) <= LARGEST:
            return ""
    return "app_invalid"


def _flaw_of_event_type(event_type: object) -> str:
    if event_type is None:
        return "event_type_missing"
    if not isinstance(event_type, str) or not event_type:
        return "event_type_invalid"
    return "unsupported_kind" if event_type in USER_UPDATES else ""


def _identity(record: dict[str, Any], event_type: str) -> Identity:
    uuid, device_id, insert_id = (_text(record.get(key)) for key in ("uuid", "device_id", "$insert_id"))
    event_id, time = record.get("event_id"), _instant(record.get("client_event_time"))
    if uuid:
        return 1, uuid, event_type
    if device_id and insert_id:
        return 2, device_id, insert_id, event_type
    if device_id and type(event_id) is int and -LARGEST - 1 <= event_id <= LARGEST and time:
        return 3, device_id, event_id, f"{time:%Y-%m-%d %H:%M:%S.%f}", event_type
    rest = {key: value for key, value in record.items() if key != "processed_time"}
    return 4, _clean(json.dumps(rest, sort_keys=True, ensure_ascii=False))


def _text(value: object) -> str:
    return _clean(value) if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Lone surrogates, which no UTF-8 can carry, become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:?[0-5][0-9])?"
)


def _instant(text: object) -> datetime | None:
    """A timestamp as UTC, rounded to microseconds by the seventh digit."""
    found = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return None
    day, time, fraction, zone = found[1], found[2], found[3] or "", (found[4] or "Z").upper()
    micros = int(fraction[:6].ljust(6, "0")) + (fraction[6:7] >= "5")
    try:
        return (datetime.fromisoformat(f"{day}T{time}{zone}") + timedelta(microseconds=micros)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _month(server_upload_time: object, arrival: datetime) -> str:
    at = _instant(server_upload_time) or arrival.astimezone(UTC)
    return f"{at.year:04}-{at.month:02}"
