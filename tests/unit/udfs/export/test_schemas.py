"""What is rendered fits the schema that is published for it."""

from typing import Any

import msgspec

from udfs.export import schemas, taxonomy
from udfs.export.message import Cause, Channel, MessageEvent, Verb, message_event

LEAST = {
    "version": 1,
    "event_id": "e-1",
    "message_id": "m-1",
    "notifly_project": "shop",
    "time": 1_764_230_400_000,
}
TEXTS = {
    name: "x" * 2_000
    for name in MessageEvent.__struct_fields__
    if name not in {*LEAST, "kind", "channel", "user_id", "device_id", "cause"}
    and not name.endswith(("_id", "_of"))
}


def misfits(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """Where a value does not fit, by the keywords that these schemas use."""
    if "const" in schema or "enum" in schema:
        return [] if value in schema.get("enum", [schema.get("const")]) else [at]
    if schema["type"] == "object":
        missing = [f"{at}.{name} is missing" for name in schema["required"] if name not in value]
        known = schema["properties"]
        within = (misfits(one, known[name], f"{at}.{name}") for name, one in value.items() if name in known)
        wrong = [f"{at}.{name} is unknown" for name in value if name not in known]
        return missing + wrong + [one for some in within for one in some]
    if schema["type"] == "integer":
        return [] if type(value) is int else [at]
    fits = isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= schema["maxLength"]
    return [] if fits else [at]


def test_events_of_all_channels_and_kinds_fit_with_the_least_and_with_all() -> None:
    for channel in Channel:
        for verb in Verb:
            kind = {"kind": verb, "channel": channel} | (
                {"cause": Cause.QUIET_HOURS} if verb is Verb.NOT_SENT else {}
            )
            schema = schemas.schema(channel, verb)
            for fields in ({"user_id": "u-1"}, {"user_id": "u-1", "device_id": "d-1", **TEXTS}):
                event = message_event(msgspec.json.encode(LEAST | kind | fields))
                sent = taxonomy.rendered(event, dict.fromkeys(taxonomy.PERSONAL, taxonomy.Personal.PLAIN))
                assert misfits(sent, schema) == []
                assert any(set(one["required"]) <= sent.keys() for one in schema["anyOf"])


def test_a_misfit_is_noticed() -> None:
    event = message_event(msgspec.json.encode(LEAST | {"kind": "sent", "channel": "push", "user_id": "u-1"}))
    sent = taxonomy.rendered(event, {})
    schema = schemas.schema(Channel.PUSH, Verb.SENT)
    assert misfits(sent, schemas.schema(Channel.EMAIL, Verb.SENT)) == [
        "$.event_type",
        "$.event_properties.channel",
    ]
    assert misfits(sent | {"time": 1.5, "colour": 1}, schema) == ["$.colour is unknown", "$.time"]
    assert misfits(sent | {"event_properties": {}}, schema)[0] == "$.event_properties.notifly_project is missing"


def test_each_event_has_a_file_of_its_own() -> None:
    names = [name for name, _ in schemas.schemas()]
    assert len(set(names)) == len(names) == len(Channel) * len(Verb)
    assert "kakao-alimtalk-not-sent.schema.json" in names
