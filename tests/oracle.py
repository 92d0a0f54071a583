"""What must come of a list of records: slow, from the raw bytes, with nothing but the standard library.

It shares no code with the job, so a rule that both get wrong has been misread twice. `judge` says what one
record is, `outcomes` what every record in an envelope is; `expect` is the whole product in a loop: the first
copy of an identity is an event, and usage counts the events of a project and month.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from tests.oracle_envelope import BLANKS, BOM, LARGEST_RECORD, Fault, held

Identity: TypeAlias = tuple[str | int, ...]
Registered: TypeAlias = Collection[int] | Mapping[int, Collection[tuple[datetime, datetime | None]]]
"""Projects linked since ever, or the times (from, until; naive UTC) in which each one was linked."""

KINDS = {
    "unknown_project": "quarantined",
    "unattributed": "quarantined",
    "before_link": "not_linked",
    "unlinked": "not_linked",
    "test_record": "control",
    "own_event": "control",
    "appboy_event": "control",
}
WITHOUT_DUPLICATES = ("app", "uuid", "event_type", "user_id")
WITHOUT_DUPLICATES_IF_NO_UUID = ("device_id", "$insert_id", "event_id", "client_event_time")
USER_UPDATES = ("$identify", "_identify", "$groupidentify")
GROUP_UPDATE = {"group_type", "group_value", "group_properties"}
SENDERS = {"[Notifly] ": "own_event", "[Appboy] ": "appboy_event"}
NO_IDS = ("", "anonymous", "null", "none", "n/a", "undefined", "unknown", "{}", "0", "-1",
          "00000000-0000-0000-0000-000000000000")  # fmt: skip
LARGEST = 2**63 - 1
DEEPEST = 64


@dataclass(frozen=True)
class Event:
    """A valid event: whose, which (the identity starts with the rung), its name and billing month."""

    project_id: int
    identity: Identity
    name: str
    month: str


@dataclass(frozen=True)
class UserUpdate:
    """A user update of a linked project."""

    project_id: int


@dataclass(frozen=True)
class Cohort:
    """A cohort message; it names no project."""


@dataclass(frozen=True)
class DeadLetter:
    """The record is not taken, for this reason."""

    reason: str
    project_id: int | None = None

    @property
    def kind(self) -> str:
        return KINDS.get(self.reason, "rejected")


Outcome: TypeAlias = Event | UserUpdate | Cohort | DeadLetter
Record: TypeAlias = dict[str, Any]


@dataclass
class Expected:
    """The result at rest; `records` counts valid events of linked projects, repeats included."""

    events: dict[tuple[int, Identity], Event] = field(default_factory=dict)
    records: Counter[int] = field(default_factory=Counter)
    usage: Counter[tuple[int, str]] = field(default_factory=Counter)
    user_updates: Counter[int] = field(default_factory=Counter)
    cohorts: int = 0
    quarantined: Counter[int] = field(default_factory=Counter)
    """by project, of those that are not registered"""
    dead_letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    """by kind and reason"""

    def _reasons(self, kind: str) -> Counter[str]:
        return Counter({reason: n for (found, reason), n in self.dead_letters.items() if found == kind})

    @property
    def rejected(self) -> Counter[str]:
        return self._reasons("rejected")

    @property
    def control(self) -> Counter[str]:
        return self._reasons("control")

    @property
    def not_linked(self) -> Counter[str]:
        return self._reasons("not_linked")

    @property
    def unattributed(self) -> int:
        return self.dead_letters["quarantined", "unattributed"]

    @property
    def outcomes(self) -> int:
        """Of all records, each part of an envelope being one."""
        taken = self.records.total() + self.user_updates.total() + self.cohorts
        return taken + self.dead_letters.total()


def expect(arrivals: Iterable[tuple[bytes, datetime]], registered: Registered) -> Expected:
    """Replay records in the order given; each arrival time must be aware."""
    expected = Expected()
    for data, arrival in arrivals:
        for outcome in outcomes(data, arrival, registered):
            match outcome:
                case Event(project_id, identity):
                    expected.records[project_id] += 1
                    expected.events.setdefault((project_id, identity), outcome)
                case UserUpdate(project_id):
                    expected.user_updates[project_id] += 1
                case Cohort():
                    expected.cohorts += 1
                case DeadLetter(reason, project_id):
                    expected.dead_letters[outcome.kind, reason] += 1
                    expected.quarantined.update([project_id] if reason == "unknown_project" else [])
    expected.usage.update((event.project_id, event.month) for event in expected.events.values())
    return expected


def outcomes(data: bytes, arrival: datetime, registered: Registered) -> list[Outcome]:
    """What every record is that one record of the stream holds. Raises UnclearError for some damaged bytes."""
    return [
        DeadLetter(part.reason) if isinstance(part, Fault) else judge(part, arrival, registered)
        for part in held(data)
    ]


def judge(data: bytes, arrival: datetime, registered: Registered) -> Outcome:
    """What a single record is."""
    record = _parsed(data)
    if isinstance(record, DeadLetter):
        return record
    content = dict(record)
    for name, alias in (("event_type", "event_name"), ("event_time", "created_at")):
        if record.get(name) is None and record.get(alias) is not None:
            record[name] = record.pop(alias)
    kind, project_id = _kind(record), _project(record.get("app"))
    if kind == "cohort":
        return Cohort()
    arrival, uploaded = arrival.astimezone(UTC), _instant(record.get("server_upload_time"))
    at = uploaded if uploaded and uploaded - arrival <= timedelta(days=1) else arrival
    if reason := _flaw(record, kind) or _not_linked(project_id, at, registered):
        return DeadLetter(reason, project_id)
    if kind == "user_update":
        return UserUpdate(project_id)
    name = "amplitude__" + _clean(record["event_type"]).replace("\0", "")
    return Event(project_id, _identity(record, content), name, f"{at.year:04}-{at.month:02}")


def _flaw(record: Record, kind: str) -> str:
    """Why a record of this kind is not taken, whoever is registered."""
    app, event_type = record.get("app"), record.get("event_type")
    if kind not in ("event", "user_update"):
        return kind
    if app is None:
        return "app_missing" if kind == "event" else "unattributed"
    if _project(app) is None:
        return "app_invalid"
    return "event_type_invalid" if kind == "event" and not (isinstance(event_type, str) and event_type) else ""


def _parsed(data: bytes) -> Record | DeadLetter:
    if len(data) > LARGEST_RECORD:
        return DeadLetter("too_large")
    if not data.strip(BLANKS):
        return DeadLetter("empty")
    latest: list[tuple[str, Any]] = []

    def remember(pairs: list[tuple[str, Any]]) -> Record:
        latest[:] = [(_clean(key), value) for key, value in pairs]  # objects end inside out: the outermost stays
        return dict(latest)

    text = _text_of(data)
    record = text if isinstance(text, DeadLetter) else _read(text, remember)
    if isinstance(record, DeadLetter):
        return record
    if not isinstance(record, dict):
        return DeadLetter("not_an_object")
    if _depth(text) > DEEPEST:
        return DeadLetter("too_deep")
    keys = Counter(key for key, _ in latest)
    once = WITHOUT_DUPLICATES if _id(record, "uuid") else WITHOUT_DUPLICATES + WITHOUT_DUPLICATES_IF_NO_UUID
    return DeadLetter("duplicate_key") if any(keys[key] > 1 for key in once) else record


def _text_of(data: bytes) -> str | DeadLetter:
    try:
        return data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError:
        return DeadLetter("invalid_utf8")


def _read(text: str, object_of: Callable[[list[tuple[str, Any]]], object]) -> object:
    try:
        return json.loads(text, object_pairs_hook=object_of, parse_constant=lambda _: None, parse_int=_int)
    except RecursionError:
        return DeadLetter("too_deep")
    except json.JSONDecodeError:
        return DeadLetter("invalid_json")


def _int(digits: str) -> int | float:
    """Python refuses to convert more than 4300 digits; no rule here looks at a number of that size."""
    return int(digits) if len(digits) < 4000 else float(digits)


def _depth(text: str) -> int:
    """Levels of brackets in JSON, those in strings left out."""
    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _kind(record: Record) -> str:
    """`cohort`, `user_update`, `event` (good or not), or the reason why it is none of them."""
    if "cohort_id" in record and "users" in record:
        return "cohort"
    event_type, user, app = (record.get(name) for name in ("event_type", "user_id", "app"))
    marks = [event_type == "test_event_type", user == "some user id", app == "some app id"].count(True)
    if marks >= 2 or (marks and _project(app) is None):
        return "test_record"
    if event_type is not None:
        name = event_type if isinstance(event_type, str) else ""
        sender = next((reason for prefix, reason in SENDERS.items() if name.startswith(prefix)), None)
        return sender or ("user_update" if name in USER_UPDATES else "event")
    somebody = user is not None or record.get("device_id") is not None
    if (somebody and "user_properties" in record) or record.keys() >= GROUP_UPDATE:
        return "user_update"
    return "foreign" if app is None else "event_type_missing"


def _project(app: object) -> int | None:
    if type(app) is int and 0 <= app <= LARGEST:
        return app
    if isinstance(app, str) and re.fullmatch("[0-9]{1,19}", app) and int(app) <= LARGEST:
        return int(app)
    return None


def _not_linked(project_id: int, at: datetime, registered: Registered) -> str | None:
    if project_id not in registered:
        return "unknown_project"
    if not isinstance(registered, Mapping):
        return None
    at = at.replace(tzinfo=None)
    periods = registered[project_id]
    if any(start <= at and (end is None or at < end) for start, end in periods):
        return None
    return "before_link" if at < min(start for start, _ in periods) else "unlinked"


def _identity(record: Record, content: Record) -> Identity:
    event_type = _clean(record["event_type"])
    uuid, device_id, insert_id = (_id(record, key) for key in ("uuid", "device_id", "$insert_id"))
    event_id, time = record.get("event_id"), _instant(record.get("client_event_time"))
    if uuid:
        return 1, uuid, event_type
    if device_id and insert_id:
        return 2, device_id, insert_id, event_type
    if device_id and type(event_id) is int and -LARGEST - 1 <= event_id <= LARGEST and time:
        return 3, device_id, event_id, f"{time:%Y-%m-%d %H:%M:%S.%f}", event_type
    rest = {key: value for key, value in content.items() if key != "processed_time"}
    return 4, _clean(json.dumps(rest, sort_keys=True, ensure_ascii=False))


def _id(record: Record, key: str) -> str:
    """Empty when the value is none, or a word that stands for none."""
    value = record.get(key)
    return _clean(value) if isinstance(value, str) and value.lower() not in NO_IDS else ""


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
