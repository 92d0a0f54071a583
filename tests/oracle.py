"""What must come of a list of records: slow, from the raw bytes, with nothing but the standard library.

It shares no code with the job, so a rule that both get wrong has been misread twice. `judge` says what one
record is, `outcomes` what every record in an envelope is; `expect` is the whole product in a loop: the first
copy of an identity is an event, and usage counts the events of a project and month.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from tests.oracle_envelope import Fault, held
from tests.oracle_text import Record, clean, identifier, parsed

Identity: TypeAlias = tuple[str | int, ...]
Registered: TypeAlias = Collection[int] | Mapping[int | str, Any]
"""Projects linked since ever, or by project the times (from, until; naive UTC) in which each one was linked; with
these, by the id of a cohort, the project that it is registered for."""

KINDS = {
    "unknown_project": "quarantined",
    "unattributed": "quarantined",
    "unknown_cohort": "quarantined",
    "before_link": "not_linked",
    "unlinked": "not_linked",
    "test_record": "control",
    "own_event": "control",
    "appboy_event": "control",
}
USER_UPDATES = ("$identify", "_identify", "$groupidentify")
GROUP_UPDATE = {"group_type", "group_value", "group_properties"}
SENDERS = {"[Notifly] ": "own_event", "[Appboy] ": "appboy_event"}
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Event:
    """A valid event: whose, which (the identity starts with the rung), its name and billing month."""

    project_id: int
    identity: Identity
    name: str
    month: str


@dataclass(frozen=True)
class UserUpdate:
    """A user update of a linked project: whose, which, and of whom; no `user_id` when it is of no known user."""

    project_id: int
    identity: Identity
    user_id: str


@dataclass(frozen=True)
class Cohort:
    """A cohort message of a linked project."""

    project_id: int


@dataclass(frozen=True)
class DeadLetter:
    """The record is not taken, for this reason."""

    reason: str
    project_id: int | None = None

    @property
    def kind(self) -> str:
        return KINDS.get(self.reason, "rejected")


Outcome: TypeAlias = Event | UserUpdate | Cohort | DeadLetter


@dataclass
class Expected:
    """The result at rest; `records` counts valid events of linked projects, repeats included."""

    events: dict[tuple[int, Identity], Event] = field(default_factory=dict)
    records: Counter[int] = field(default_factory=Counter)
    usage: Counter[tuple[int, str]] = field(default_factory=Counter)
    updates: dict[tuple[int, Identity], UserUpdate] = field(default_factory=dict)
    update_records: Counter[int] = field(default_factory=Counter)
    cohorts: Counter[int] = field(default_factory=Counter)
    """messages by project, repeats included"""
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
    def user_updates(self) -> Counter[int]:
        """Distinct ones by project."""
        return Counter(project_id for project_id, _ in self.updates)

    @property
    def outcomes(self) -> int:
        """Of all records, each part of an envelope being one."""
        taken = self.records.total() + self.update_records.total() + self.cohorts.total()
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
                case UserUpdate(project_id, identity):
                    expected.update_records[project_id] += 1
                    expected.updates.setdefault((project_id, identity), outcome)
                case Cohort(project_id):
                    expected.cohorts[project_id] += 1
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
    record = parsed(data)
    if isinstance(record, Fault):
        return DeadLetter(record.reason)
    content = dict(record)
    for name, alias in (("event_type", "event_name"), ("event_time", "created_at")):
        if record.get(name) is None and record.get(alias) is not None:
            record[name] = record.pop(alias)
    kind, project_id = _kind(record), _project(record.get("app"))
    arrival, uploaded = arrival.astimezone(UTC), _instant(record.get("server_upload_time"))
    if kind == "cohort":
        return _cohort(record, arrival, registered)
    possible = uploaded and uploaded.year >= 2012 and uploaded - arrival <= timedelta(days=1)
    at = uploaded if possible else arrival
    if reason := _flaw(record, kind) or _not_linked(project_id, at, registered):
        return DeadLetter(reason, project_id)
    if kind == "user_update":
        user_id = identifier(record, "user_id").replace("\0", "")
        return UserUpdate(project_id, _update_identity(record, content), user_id)
    name = "amplitude__" + clean(record["event_type"]).replace("\0", "")
    return Event(project_id, _identity(record, content), name, f"{at.year:04}-{at.month:02}")


def _cohort(record: Record, arrival: datetime, registered: Registered) -> Cohort | DeadLetter:
    cohort_id, in_cohort, users = (record.get(name) for name in ("cohort_id", "in_cohort", "users"))
    times = [record.get("computed_time"), record.get("compute_time")]
    time = times[0] if times[0] is not None else times[1]
    named = isinstance(cohort_id, str) and cohort_id != ""
    if not (named and isinstance(in_cohort, bool) and isinstance(users, list) and _since_1970(time)):
        return DeadLetter("cohort_invalid")
    project_id = registered.get(clean(cohort_id)) if isinstance(registered, Mapping) else None
    if project_id is None:
        return DeadLetter("unknown_cohort")
    reason = _not_linked(project_id, arrival, registered)
    return DeadLetter(reason, project_id) if reason else Cohort(project_id)


def _since_1970(time: object) -> bool:
    try:
        plain = re.fullmatch("[0-9.eE+-]+", str(time))
        return not isinstance(time, bool) and bool(plain) and len(str(time)) <= 30 and 0 <= float(time) < 10**17
    except (TypeError, ValueError):
        return False


def _update_identity(record: Record, content: Record) -> Identity:
    event_type = record.get("event_type")
    if event_type is None:
        event_type = "$groupidentify" if record.keys() >= GROUP_UPDATE else "$identify"
    uuid, insert_id = identifier(record, "uuid"), identifier(record, "$insert_id")
    somebody = identifier(record, "device_id") or identifier(record, "user_id")
    if uuid:
        return 1, uuid, event_type
    if insert_id and somebody:
        return 2, somebody, insert_id, event_type
    return _content(content)


def _flaw(record: Record, kind: str) -> str:
    """Why a record of this kind is not taken, whoever is registered."""
    app, event_type = record.get("app"), record.get("event_type")
    if kind not in ("event", "user_update"):
        return kind
    if app is None:
        return "app_missing" if kind == "event" else "unattributed"
    if _project(app) is None:
        return "app_invalid"
    return (
        "event_type_invalid"
        if kind == "event" and not (isinstance(event_type, str) and event_type.strip("\0"))
        else ""
    )


def _kind(record: Record) -> str:
    """`cohort`, `user_update`, `event` (good or not), or the reason why it is none of them."""
    if "cohort_id" in record and "users" in record:
        return "cohort"
    event_type, user, app = (record.get(name) for name in ("event_type", "user_id", "app"))
    marks = [event_type == "test_event_type", user == "some user id", app == "some app id"].count(True)
    if marks >= 2 or (marks and _project(app) is None):
        return "test_record"
    name = event_type if isinstance(event_type, str) else ""
    sender = next((reason for prefix, reason in SENDERS.items() if name.startswith(prefix)), None)
    named = record.keys() & {"event_type", "user_id", "device_id", "mapping"}
    if sender or ("api_key" in record and app is None and named):
        return sender or "api_request"
    if event_type is not None:
        return "user_update" if name in USER_UPDATES else "event"
    somebody = user is not None or record.get("device_id") is not None
    if (somebody and "user_properties" in record) or record.keys() >= GROUP_UPDATE:
        return "user_update"
    return _of_amplitude(set(record)) or ("foreign" if app is None else "event_type_missing")


def _of_amplitude(keys: set[str]) -> str:
    """What has such keys, of half a cohort message and all that is never on a stream; empty when nothing has."""
    if "in_cohort" in keys and keys & {"cohort_id", "users"}:
        return "cohort"
    if {"amplitude_id", "merged_amplitude_id"} <= keys or {"AMPLITUDE_ID", "MERGED_AMPLITUDE_ID"} <= keys:
        return "merged_ids"
    if "api_key" in keys and keys & {"events", "event", "identification"}:
        return "api_request"
    if "user_id" in keys and keys & {"global_user_id", "unmap"}:
        return "api_request"
    about = {"requester", "delete_from_org", "ignore_invalid_id", "include_mapped_user_ids"}
    of_users = keys == {"user_ids"} or ("user_ids" in keys and keys & about)
    of_one = "requester" in keys and keys & {"user_id", "amplitude_id"}
    if "amplitude_ids" in keys or of_users or of_one:
        return "deletion"
    return "warehouse_row" if "EVENT_TYPE" in keys and keys & set(WAREHOUSE.split()) else ""


WAREHOUSE = """
APP UUID USER_ID INSERT_ID DEVICE_ID AMPLITUDE_ID EVENT_ID SESSION_ID EVENT_TIME CLIENT_EVENT_TIME
CLIENT_UPLOAD_TIME SERVER_RECEIVED_TIME SERVER_UPLOAD_TIME PROCESSED_TIME USER_CREATION_TIME
EVENT_PROPERTIES USER_PROPERTIES
GROUP_PROPERTIES OS_NAME OS_VERSION DEVICE_BRAND DEVICE_MANUFACTURER DEVICE_MODEL DEVICE_FAMILY DEVICE_TYPE
DEVICE_CARRIER IP_ADDRESS LOCATION_LAT LOCATION_LNG VERSION_NAME START_VERSION DATA_TYPE
"""


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
    event_type = clean(record["event_type"])
    uuid, device_id, insert_id = (identifier(record, key) for key in ("uuid", "device_id", "$insert_id"))
    event_id, time = record.get("event_id"), _instant(record.get("client_event_time"))
    if uuid:
        return 1, uuid, event_type
    if device_id and insert_id:
        return 2, device_id, insert_id, event_type
    if device_id and type(event_id) is int and -LARGEST - 1 <= event_id <= LARGEST and time:
        return 3, device_id, event_id, f"{time:%Y-%m-%d %H:%M:%S.%f}", event_type
    return _content(content)


def _content(content: Record) -> Identity:
    rest = {key: value for key, value in content.items() if key != "processed_time"}
    return 4, clean(json.dumps(rest, sort_keys=True, ensure_ascii=False))


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
