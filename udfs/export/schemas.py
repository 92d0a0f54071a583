"""Events in Amplitude as JSON Schema, draft 2020-12: one for each channel and verb, out of the taxonomy."""

from collections.abc import Iterator
from typing import Any, Final

from udfs.export.message import Cause, Channel, Verb
from udfs.export.taxonomy import LONGEST_TEXT, PERSONAL, PROPERTIES, name

_ID: Final = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
_TEXT: Final = {"type": "string", "maxLength": LONGEST_TEXT}
_PERSONAL: Final = {
    "description": "only where the project asks for it, plain or as SHA-256 in hexadecimal",
    **_TEXT,
}


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """All of them, each with the name of its file."""
    for channel in Channel:
        for verb in Verb:
            yield f"{channel}-{verb}.schema.json".replace("_", "-"), schema(channel, verb)


def schema(channel: Channel, verb: Verb) -> dict[str, Any]:
    """What `taxonomy.rendered` makes of message events of this channel and verb; what has no value is left out."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name(channel, verb),
        "type": "object",
        "properties": {
            "event_type": {"const": name(channel, verb)},
            "insert_id": _ID,
            "time": {"type": "integer", "description": "milliseconds since 1970, UTC"},
            "user_id": _ID,
            "device_id": _ID,
            "library": {"const": "notifly"},
            "event_properties": _properties(channel, verb),
        },
        "required": ["event_type", "insert_id", "time", "library", "event_properties"],
        "anyOf": [{"required": ["user_id"]}, {"required": ["device_id"]}],
        "additionalProperties": False,
    }


def _properties(channel: Channel, verb: Verb) -> dict[str, Any]:
    known = dict.fromkeys(PROPERTIES, _TEXT) | {"channel": {"const": channel}} | dict.fromkeys(PERSONAL, _PERSONAL)
    required = ["notifly_project", "message_id", "channel"]
    if verb is Verb.NOT_SENT:
        known["cause"] = {"enum": [*Cause]}
        required.append("cause")
    else:
        del known["cause"]
    return {"type": "object", "properties": known, "required": required, "additionalProperties": False}
