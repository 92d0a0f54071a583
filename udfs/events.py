"""The row of one event or user update: Amplitude's fields in their columns, its name, identity and month.

An event's name is Amplitude's behind `amplitude__`, a user update's is `$identify` or the like. What has no
column, or not the documented type, stays readable in `extra`: a JSON object by Amplitude's own field names. What
was mended stands in `repairs`.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from udfs import clock, identity, parse, text, users
from udfs.identity import Identity
from udfs.model import DECODED, DOCUMENTED_COLUMNS, EVENT_PREFIX, OUTCOME_COLUMNS, Kind, Repair, Row

_COLUMNS: Final = list(DOCUMENTED_COLUMNS)
_OBJECTS: Final = [name for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict]
_OBJECTS_AT: Final = _COLUMNS.index(_OBJECTS[0])
_IDS: Final = 4  # of DOCUMENTED_COLUMNS: uuid, user_id, insert_id, device_id
_OTHERS_AT: Final = _OBJECTS_AT + len(_OBJECTS)
_NO_PAYLOAD: Final = (None,) * (len(OUTCOME_COLUMNS) - 5)


def identify(export: Any, payload: bytes) -> Identity:
    """The first rung of the identity ladder whose fields are all present."""
    if export.uuid:
        return identity.by_uuid(export.uuid, export.event_type)
    if export.device_id and export.insert_id:
        return identity.by_insert_id(export.device_id, export.insert_id, export.event_type)
    if export.device_id and export.event_id is not None and export.client_event_time:
        return identity.by_event_id(export.device_id, export.event_id, export.client_event_time, export.event_type)
    return identity.by_content(parse.content(payload))


def identify_update(export: Any, payload: bytes) -> Identity:
    """The same for a user update: only its own ids tell copies from equal ones (docs/amplitude.md §8.1)."""
    if export.uuid:
        return identity.by_uuid(export.uuid, export.event_type)
    if export.insert_id and (device_or_user := export.device_id or export.user_id):
        return identity.by_insert_id(device_or_user, export.insert_id, export.event_type)
    return identity.by_content(parse.content(payload))


def event_row(  # noqa: PLR0913, PLR0917  what makes a row
    parsed: parse.Parsed,
    payload: bytes,
    owner: str,
    arrival: datetime,
    repairs: Collection[str] = (),
    to_profile: bool = False,
) -> Row:
    """The values of `model.DECODED` for an event of the Notifly project `owner`; `arrival` in UTC."""
    export = parsed[0]
    known = identify(export, payload)
    head = (Kind.EVENT.value, None, None, known.hash, *_NO_PAYLOAD, to_profile)
    return _row(head, EVENT_PREFIX + export.event_type, known, parsed, owner, arrival, repairs)


def update_row(
    parsed: parse.Parsed, payload: bytes, owner: str, arrival: datetime, repairs: Collection[str]
) -> Row:
    """The same for a user update."""
    export = parsed[0]
    known = identify_update(export, payload)
    head = (Kind.USER_UPDATE.value, None, None, known.hash, *_NO_PAYLOAD, users.update_to_profile(export))
    return _row(head, export.event_type, known, parsed, owner, arrival, repairs)


def _row(  # noqa: PLR0913, PLR0917
    head: Row,
    name: str,
    known: Identity,
    parsed: parse.Parsed,
    owner: str,
    arrival: datetime,
    repairs: Collection[str],
) -> Row:
    export, objects, misfits = parsed
    uploaded = export.server_upload_time
    if uploaded is not None and not clock.EARLIEST <= uploaded <= arrival and clock.implausible(uploaded, arrival):
        misfits = misfits | {"server_upload_time": uploaded.isoformat(" ")}
        repairs = {*repairs, Repair.TIMESTAMP_IMPLAUSIBLE.of("server_upload_time")}
        export.server_upload_time = uploaded = None
    values, extra = parse.split(export)
    if misfits:
        extra.update(misfits)
    if [spelled for spelled in objects if spelled[0] != "{"]:
        repairs = {*repairs, *_no_objects(objects, extra)}
    uuid, user_id, insert_id, device_id = values[:_IDS]
    row = (
        *head,
        int(export.app),
        owner,
        clock.month(uploaded, arrival),
        name,
        known.text,
        known.rung,
        uuid or None,
        user_id or None,
        insert_id or None,
        device_id or None,
        *values[_IDS:_OBJECTS_AT],
        *objects,
        *values[_OTHERS_AT:],
        msgspec.json.encode(extra).decode() if extra else None,
        " ".join(sorted(repairs)) if repairs else None,
    )
    return tuple(map(_without_nul, row, DECODED.values())) if Repair.NUL_REMOVED in repairs else row


def _no_objects(objects: list[str], extra: parse.Misfits) -> Iterator[str]:
    """Make what is no object an empty one. Null means empty; any other value stays in `extra`."""
    for at, spelled in enumerate(objects):
        if spelled[0] != "{":
            objects[at] = "{}"
            if spelled != "null":
                extra[_OBJECTS[at]] = msgspec.Raw(spelled.encode())
                yield Repair.CONTAINER_EXPECTED.of(_OBJECTS[at])


def _without_nul(value: object, kind: type) -> object:
    """A value of a row without NULs: in JSON text they are escapes, which in other text are only letters."""
    if not isinstance(value, str):
        return value
    return text.without_nul(value) if kind is dict else value.replace("\0", "")
