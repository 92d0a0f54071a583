"""What kind of message a JSON object is: the discriminator order of docs/amplitude.md §2.2, as one table."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from udfs import attribute
from udfs.model import DOCUMENTED_COLUMNS, EXPORT_PREFIX, Kind, Reason, Rejection

USER_UPDATE_TYPES: Final = frozenset({"$identify", "_identify", "$groupidentify"})
APPBOY_PREFIX: Final = "[Appboy] "
"""Braze's own events, sent to Amplitude by Currents; taken as a customer's events they would loop (§7, §8.1)."""
_GROUP_IDENTIFY: Final = {"group_type", "group_value", "group_properties"}
_REQUESTS: Final = (
    *({"api_key", "events"}, {"api_key", "event"}, {"api_key", "identification"}),
    *({"user_id", "global_user_id"}, {"user_id", "unmap"}),
)
"""Bodies of HTTP V2 and Batch, of the older HTTP API, of both Identify APIs, of User Mapping (§2.3, §5, §6)."""
_IDS: Final = {"user_id", "amplitude_id"}
_DELETION: Final = {"requester", "delete_from_org", "ignore_invalid_id", "include_mapped_user_ids"}
"""What a request to delete users may have beside the ids (§5)."""
_WAREHOUSE: Final = {name.upper() for name in DOCUMENTED_COLUMNS if "_" in name} | {"APP", "UUID"}
"""Columns of events in Snowflake, written in capitals there (docs/amplitude.md §1.4); no words of any system."""
_TEST_MARKS: Final = {"event_type": "test_event_type", "user_id": "some user id", "app": "some app id"}
SPECIAL: Final = (*USER_UPDATE_TYPES, EXPORT_PREFIX, APPBOY_PREFIX, _TEST_MARKS["event_type"])
"""With no other beginning does the name alone tell that an event is a customer's: no other rule can apply."""

Record = Mapping[str, Any]


def classify(record: Record) -> Kind | Rejection:
    """The first rule that holds names the kind, or the reason why the record is none that we take."""
    if _NAMES.isdisjoint(record):
        return _FOREIGN
    return next(outcome for holds, outcome in _RULES if holds(record))


def _cohort(record: Record) -> bool:
    return "cohort_id" in record and "users" in record


def _part_of_cohort(record: Record) -> bool:
    """A cohort message that has lost its id or its users: nothing else says whether somebody is in a cohort."""
    return "in_cohort" in record and not record.keys().isdisjoint(("cohort_id", "users"))


def _test(record: Record) -> bool:
    """Amplitude's editable sample (§4.5): two of its marks, or one on a record of no usable project."""
    marks = [name for name, mark in _TEST_MARKS.items() if record.get(name) == mark]
    return len(marks) > 1 or (len(marks) == 1 and attribute.project_id(record.get("app")) is None)


def _named(*prefixes: str) -> Callable[[Record], bool]:
    return lambda record: isinstance(record.get("event_type"), str) and record["event_type"].startswith(prefixes)


def update_type(record: Record) -> str:
    """What a user update is called: its `event_type`, or what the Identify APIs' shapes stand for."""
    event_type = record.get("event_type")
    if isinstance(event_type, str):
        return event_type
    return "$groupidentify" if record.keys() >= _GROUP_IDENTIFY else "$identify"


def _user_update(record: Record) -> bool:
    event_type = record.get("event_type")
    if event_type is not None:
        return isinstance(event_type, str) and event_type in USER_UPDATE_TYPES
    identified = record.get("user_id") is not None or record.get("device_id") is not None
    return (identified and "user_properties" in record) or record.keys() >= _GROUP_IDENTIFY


def _request(record: Record) -> bool:
    return ("api_key" in record or "user_id" in record) and any(record.keys() >= names for names in _REQUESTS)


def _with_key(record: Record) -> bool:
    """One event or update with the key of a project in place of its id, or the mapping of users."""
    named = not record.keys().isdisjoint(("event_type", "user_id", "device_id", "mapping"))
    return named and "api_key" in record and record.get("app") is None


def _deletion(record: Record) -> bool:
    """A request to delete users, or the state of one; a list of users alone may be nothing else.

    The download of a cohort lists users too: whoever took it for a deletion would delete them.
    """
    if "cohort" in record:
        return False
    if "amplitude_ids" in record or ("requester" in record and not _IDS.isdisjoint(record)):
        return True
    return "user_ids" in record and (len(record) == 1 or not _DELETION.isdisjoint(record))


def _merged_ids(record: Record) -> bool:
    names = record.keys()
    return names >= {"amplitude_id", "merged_amplitude_id"} or names >= {"AMPLITUDE_ID", "MERGED_AMPLITUDE_ID"}


def _warehouse_row(record: Record) -> bool:
    """An event of a warehouse that names columns in capitals: no field has the name that Amplitude sends."""
    return "EVENT_TYPE" in record and not _WAREHOUSE.isdisjoint(record)


_FOREIGN: Final = Rejection(Reason.FOREIGN, "neither an event, a user update nor a cohort message")
_RULES: Final[list[tuple[Callable[[Record], bool], Kind | Rejection]]] = [
    (_cohort, Kind.COHORT),
    (_test, Rejection(Reason.TEST_RECORD, "Amplitude's test of the connection")),
    (_named(EXPORT_PREFIX), Rejection(Reason.OWN_EVENT, "an event that Notifly has sent to Amplitude")),
    (_named(APPBOY_PREFIX), Rejection(Reason.APPBOY_EVENT, "an event that Braze has sent to Amplitude")),
    # its parts have no app: whose they are only the API key tells, which no registry knows
    (_with_key, Rejection(Reason.API_REQUEST, "the body of a request to one of Amplitude's APIs")),
    (_user_update, Kind.USER_UPDATE),
    (lambda record: record.get("event_type") is not None, Kind.EVENT),
    (_part_of_cohort, Kind.COHORT),  # which the message's own rules refuse, by the field that is missing
    (_merged_ids, Rejection(Reason.MERGED_IDS, "a row of Amplitude's exports of merged users")),
    (_request, Rejection(Reason.API_REQUEST, "the body of a request to one of Amplitude's APIs")),
    (_deletion, Rejection(Reason.DELETION, "a deletion of users, as Amplitude's User Privacy API has it")),
    (_warehouse_row, Rejection(Reason.WAREHOUSE_ROW, "a row of a warehouse: its columns are named in capitals")),
    (
        lambda record: record.get("app") is not None,
        Rejection(Reason.EVENT_TYPE_MISSING, "no event_type, or null"),
    ),
    (lambda _: True, _FOREIGN),
]
_NAMES: Final = frozenset(
    {"cohort_id", "in_cohort", "event_type", "app", "user_id", "device_id", *_GROUP_IDENTIFY, *_TEST_MARKS}
    | {"api_key", "user_ids", "amplitude_id", "amplitude_ids", "requester", "EVENT_TYPE", "AMPLITUDE_ID"}
)
"""Every rule but the last needs one of these: a hundred thousand objects of other kinds are told at once."""
