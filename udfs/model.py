"""What flows between the stages: the outcome of a record, and the columns of the row that carries it.

`decode` turns every record into one row of `DECODED`, whatever its bytes. `kind` says what became of it: an
`event` goes through deduplication into the event store, an `envelope` is opened and its parts are decoded,
user updates and cohort messages have tables of their own, all else becomes a dead letter with a `reason`. The
user properties of a row with `to_profile` are merged into the profile of its user.
Column types are Python's; jobs/ and stores/ translate them for Flink and Iceberg. Times are naive UTC with
microseconds.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

EVENT_PREFIX: Final = "amplitude__"
EXPORT_PREFIX: Final = "[Notifly] "
"""What the name of an event begins with that Notifly itself has sent to Amplitude."""
MAX_PAYLOAD_BYTES: Final = 2**20
"""What a dead letter keeps of a record's bytes."""


class Kind(StrEnum):
    """What a record is to the job. Every record has exactly one; docs/data.md says where each one goes."""

    EVENT = "event"
    USER_UPDATE = "user_update"
    COHORT = "cohort"
    CONTROL = "control"
    FILTERED = "filtered"
    NOT_LINKED = "not_linked"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"
    ENVELOPE = "envelope"


class Reason(StrEnum):
    """Why a record became a dead letter. Stable identifiers; docs/data.md says what each one means."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    FOREIGN = "foreign"
    MERGED_IDS = "merged_ids"
    WAREHOUSE_ROW = "warehouse_row"
    API_REQUEST = "api_request"
    DELETION = "deletion"
    APP_MISSING = "app_missing"
    APP_INVALID = "app_invalid"
    EVENT_TYPE_MISSING = "event_type_missing"
    EVENT_TYPE_INVALID = "event_type_invalid"
    COHORT_INVALID = "cohort_invalid"
    GZIP_INVALID = "gzip_invalid"
    ZLIB_INVALID = "zlib_invalid"
    ZIP_INVALID = "zip_invalid"
    KPL_INVALID = "kpl_invalid"
    COMPRESSION_UNKNOWN = "compression_unknown"
    ENVELOPE_TOO_LARGE = "envelope_too_large"
    ENVELOPE_TOO_DEEP = "envelope_too_deep"
    INTAKE_MAC_INVALID = "intake_mac_invalid"
    APP_MISMATCH = "app_mismatch"
    SCOPE_MISSING = "scope_missing"
    INTERNAL_ERROR = "internal_error"
    UNKNOWN_PROJECT = "unknown_project"
    UNATTRIBUTED = "unattributed"
    UNKNOWN_COHORT = "unknown_cohort"
    BEFORE_LINK = "before_link"
    UNLINKED = "unlinked"
    TEST_RECORD = "test_record"
    OWN_EVENT = "own_event"
    APPBOY_EVENT = "appboy_event"
    FILTERED = "filtered"

    @property
    def kind(self) -> Kind:
        """What a record is that has this reason."""
        return _KINDS.get(self, Kind.REJECTED)


_KINDS: Final = {
    Reason.UNKNOWN_PROJECT: Kind.QUARANTINED,
    Reason.UNATTRIBUTED: Kind.QUARANTINED,
    Reason.UNKNOWN_COHORT: Kind.QUARANTINED,
    Reason.BEFORE_LINK: Kind.NOT_LINKED,
    Reason.UNLINKED: Kind.NOT_LINKED,
    Reason.TEST_RECORD: Kind.CONTROL,
    Reason.OWN_EVENT: Kind.CONTROL,
    Reason.APPBOY_EVENT: Kind.CONTROL,
    Reason.FILTERED: Kind.FILTERED,
}


class Rejection(NamedTuple):
    """Why a record is not taken, with what a person needs to find the place in its bytes."""

    reason: Reason
    detail: str


class Repair(StrEnum):
    """What was mended in a record that is taken all the same; the event store's column `repairs`.

    One that is about a single documented field names it: `wrong_type:city`. That of a field rule names the path.
    """

    BOM_REMOVED = "bom_removed"
    NAN_TO_NULL = "nan_to_null"
    SURROGATE_REPLACED = "surrogate_replaced"
    NUL_REMOVED = "nul_removed"
    DUPLICATE_FIELD = "duplicate_field"
    FIELD_RENAMED = "field_renamed"
    SENTINEL_ID = "sentinel_id"
    ID_FROM_NUMBER = "id_from_number"
    ID_TOO_LONG = "id_too_long"
    INTEGER_BEYOND_INT64 = "integer_beyond_int64"
    FLOAT_NOT_FINITE = "float_not_finite"
    TIMESTAMP_UNREADABLE = "timestamp_unreadable"
    TIMESTAMP_IMPLAUSIBLE = "timestamp_implausible"
    CONTAINER_EXPECTED = "container_expected"
    WRONG_TYPE = "wrong_type"
    FIELD_RULE = "field_rule"

    def of(self, field: str) -> str:
        """This repair of a field, by the field's JSON name, as column `repairs` spells it."""
        return f"{self}:{field}"

    @classmethod
    def named(cls, spelled: str) -> "Repair":
        """The repair of a word in column `repairs`, without its field."""
        return cls(spelled.partition(":")[0])


# The event store's columns that decode fills, in order; the documented fields of an Export-API event
# (docs/amplitude.md §1.4) under their own names, `$insert_id` without its dollar. Objects are JSON text.
DOCUMENTED_COLUMNS: Final[dict[str, type]] = {
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
    **DOCUMENTED_COLUMNS,
    "extra": dict,
    "repairs": str,
}

OUTCOME_COLUMNS: Final[dict[str, type]] = {
    "kind": str,
    "reason": str,
    "detail": str,
    "identity_hash": bytes,
    "payload": bytes,
    "payload_length": int,
    "payload_sha256": str,
    "to_profile": bool,
}

DECODED: Final[dict[str, type]] = {**OUTCOME_COLUMNS, **EVENT_COLUMNS}

COHORT_COLUMNS: Final[dict[str, type]] = {
    "cohort_id": str,
    "cohort_name": str,
    "in_cohort": bool,
    "computed_time": datetime,
    "message_id": str,
    "user_id": str,
    "user_properties": dict,
    "entry": dict,
}
"""What a cohort message says of one of its users."""

LEDGER_COLUMNS: Final[dict[str, type]] = {
    "hour": datetime,
    "shard": str,
    "part": bool,
    "project_id": int,
    "month": str,
    "kind": str,
    "reason": str,
    "identity_rung": int,
    "records": int,
    "first_copies": int,
}
"""How many records of an hour of arrival had which outcome, and how many of them were first copies."""

EVENT_COUNT_COLUMNS: Final[dict[str, type]] = {
    "hour": datetime,
    "project_id": int,
    "name": str,
    "kind": str,
    "reason": str,
    "records": int,
    "first_copies": int,
}
"""The same by the name of the event, without the shard."""

OPENED: Final[dict[str, type]] = {
    "sub_index": int,
    "payload": bytes,
    "reason": str,
    "detail": str,
    "key_project": str,
    "request_id": str,
    "scopes": str,
}
"""A part of an envelope: its place, its bytes, and if not all could be read, why.

If the intake has put it there: the project of the access key in digits, because pandas would make a float of a
number that may be null, the request, and the key's scopes, with blanks between them, if they are known.
"""

Row = tuple[Any, ...]
"""Values of `DECODED`, in its order."""

TOTALS: Final = {
    "records": (Kind.EVENT, "records"),
    "events": (Kind.EVENT, "first_copies"),
    "update_records": (Kind.USER_UPDATE, "records"),
    "updates": (Kind.USER_UPDATE, "first_copies"),
}
"""By the name of a total: the kind and the count that it sums up."""
