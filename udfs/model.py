"""What flows between the stages: the outcome of a record, and the columns of the row that carries it.

`decode` turns every record into one row of `DECODED`, whatever its bytes. `kind` says what became of it:
an `event` goes through deduplication into the event store, `rejected` and `quarantined` records become
dead letters with a `reason`. Column types are Python's; jobs/ and stores/ translate them for Flink and
Iceberg. Times are naive UTC with microseconds.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

EVENT_PREFIX: Final = "amplitude__"


class Kind(StrEnum):
    """What a record is to the job."""

    EVENT = "event"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


class Reason(StrEnum):
    """Why a record became a dead letter. Stable identifiers; docs/data.md says what each one means."""

    EMPTY = "empty"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    APP_MISSING = "app_missing"
    APP_INVALID = "app_invalid"
    EVENT_TYPE_MISSING = "event_type_missing"
    EVENT_TYPE_INVALID = "event_type_invalid"
    UNSUPPORTED_KIND = "unsupported_kind"
    UNKNOWN_PROJECT = "unknown_project"
    INTERNAL_ERROR = "internal_error"


class Rejection(NamedTuple):
    """Why a record is not an event, with what a person needs to find the place in its bytes."""

    reason: Reason
    detail: str


# The event store's columns that decode fills, in order; the documented fields of an Export-API event
# (contract §1.4) under their own names, `$insert_id` without its dollar. Objects are JSON text.
EXPORT_COLUMNS: Final[dict[str, type]] = {
    "uuid": str,
    "user_id": str,
    "insert_id": str,
    "device_id": str,
    "amplitude_id": int,
    "event_id": int,
    "session_id": int,
    "event_time": datetime,
    "client_event_time": datetime,
    "client_upload_time": datetime,
    "server_received_time": datetime,
    "server_upload_time": datetime,
    "processed_time": datetime,
    "user_creation_time": datetime,
    "event_properties": dict,
    "user_properties": dict,
    "groups": dict,
    "group_properties": dict,
    "data": dict,
    "plan": dict,
    "platform": str,
    "os_name": str,
    "os_version": str,
    "device_brand": str,
    "device_manufacturer": str,
    "device_model": str,
    "device_family": str,
    "device_type": str,
    "device_carrier": str,
    "country": str,
    "region": str,
    "city": str,
    "dma": str,
    "language": str,
    "ip_address": str,
    "location_lat": float,
    "location_lng": float,
    "library": str,
    "version_name": str,
    "start_version": str,
    "data_type": str,
}

EVENT_COLUMNS: Final[dict[str, type]] = {
    "project_id": int,
    "notifly_project": str,
    "month": str,
    "name": str,
    "identity": str,
    "identity_rung": int,
    **EXPORT_COLUMNS,
    "extra": dict,
}

OUTCOME_COLUMNS: Final[dict[str, type]] = {
    "kind": str,
    "reason": str,
    "detail": str,
    "identity_hash": bytes,
}

DECODED: Final[dict[str, type]] = {**OUTCOME_COLUMNS, **EVENT_COLUMNS}

Row = tuple[Any, ...]
"""Values of `DECODED`, in its order."""
