"""The row of one event: Amplitude's fields in their columns, its name, identity and month.

The name is Amplitude's behind `amplitude__`. What has no column, or not the documented type, stays
readable in `extra`: a JSON object by Amplitude's own field names.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from udfs import clock, identity, parse
from udfs.attribute import Project
from udfs.identity import Identity
from udfs.model import EVENT_PREFIX, EXPORT_COLUMNS, Kind, Row

_COLUMNS: Final = list(EXPORT_COLUMNS)
_OBJECTS: Final = slice(_COLUMNS.index("event_properties"), _COLUMNS.index("plan") + 1)
_OBJECT_NAMES: Final = _COLUMNS[_OBJECTS]
_UUID, _USER_ID = _COLUMNS.index("uuid"), _COLUMNS.index("user_id")


def identify(export: Any, payload: bytes) -> Identity:
    """The first rung of the identity ladder whose fields are all present."""
    if export.uuid:
        return identity.by_uuid(export.uuid, export.event_type)
    if export.device_id and export.insert_id:
        return identity.by_insert_id(export.device_id, export.insert_id, export.event_type)
    if export.device_id and export.event_id is not None and export.client_event_time:
        return identity.by_event_id(export.device_id, export.event_id, export.client_event_time, export.event_type)
    return identity.by_content(parse.record(payload))


def event_row(export: Any, misfits: parse.Misfits, payload: bytes, project: Project, arrival: datetime) -> Row:
    """The values of `model.DECODED` for an event of a registered project; `arrival` in UTC."""
    values, extra = parse.split(export)
    extra.update(misfits)
    values[_UUID], values[_USER_ID] = export.uuid or None, export.user_id or None
    values[_OBJECTS] = [
        text if (text := str(value, "utf-8"))[0] == "{" else _no_object(name, text, extra)
        for name, value in zip(_OBJECT_NAMES, values[_OBJECTS], strict=True)
    ]
    known = identify(export, payload)
    return (
        Kind.EVENT.value,
        None,
        None,
        known.hash,
        project.project_id,
        project.notifly_project,
        clock.month(export.server_upload_time, arrival),
        EVENT_PREFIX + export.event_type,
        known.text,
        known.rung,
        *values,
        msgspec.json.encode(extra).decode() if extra else None,
    )


def _no_object(name: str, text: str, extra: parse.Misfits) -> str:
    """Null means empty; any other value where an object is documented stays in `extra`."""
    if text != "null":
        extra[name] = msgspec.Raw(text.encode())
    return "{}"
