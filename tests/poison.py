"""A plain event with something odd in it, and the whole row that it must become."""

import io
import json
import zipfile
from datetime import datetime
from hashlib import md5
from typing import Any, TypeAlias

from stores.project import linked
from tests.builders import ARRIVAL, PROJECT, UUID, Record, cohort, encode, event
from tests.leaves import leaves
from udfs import identity
from udfs.attribute import Registry
from udfs.model import DECODED, DOCUMENTED_COLUMNS, Kind, Reason

REGISTRY: Registry = {PROJECT: linked(PROJECT, "acme"), "gs72ns": linked(PROJECT, "acme")}
NAIVE_ARRIVAL = ARRIVAL.replace(tzinfo=None)
VALID = encode(event())

Outcome: TypeAlias = dict[str, Any]


def outcomes(payload: bytes) -> list[Outcome]:
    """The rows of a record, or of what it holds, without nulls."""
    return [leaf.columns for leaf in leaves(payload, NAIVE_ARRIVAL, REGISTRY)]


PLAIN = outcomes(VALID)[0]


def spelled(**texts: str) -> bytes:
    """The plain event with some fields as JSON text."""
    fields = {name: encode(value).decode() for name, value in event().items()} | texts
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


def behind(text: str) -> bytes:
    """The plain event with more fields at its end."""
    return VALID[:-1] + b"," + text.encode() + b"}"


def taken(**columns: object) -> list[Outcome]:
    """The plain event's whole row but for these columns."""
    return [PLAIN | columns]


def named(event_type: str, **columns: object) -> list[Outcome]:
    known = identity.by_uuid(UUID, event_type)
    return taken(name=f"amplitude__{event_type}", identity=known.text, identity_hash=known.hash, **columns)


def extra(repair: str, **columns: object) -> list[Outcome]:
    """The plain event with one value that stays in `extra`, its column null."""
    (field,) = columns
    spelled = json.dumps(columns, separators=(",", ":"))
    return taken(**dict.fromkeys(columns, None), extra=spelled, repairs=f"{repair}:{field}")


def dead(
    reason: Reason, detail: str, payload: bytes, app: int | None = None, name: str | None = None
) -> list[Outcome]:
    return [
        dict.fromkeys(DECODED)
        | {"kind": reason.kind, "reason": reason, "detail": detail, "payload_length": len(payload)}
        | {"payload": None if reason.kind is Kind.NOT_LINKED else payload, "project_id": app, "name": name}
    ]


def refused(reason: Reason, detail: str, payload: bytes, app: int | None = None) -> tuple[bytes, list[Outcome]]:
    return payload, dead(reason, detail, payload, app)


def other(kind: Kind, **columns: object) -> list[Outcome]:
    """A record that goes on as it is."""
    return [dict.fromkeys(DECODED) | {"kind": kind} | columns]


def updated(record: Record, name: str) -> list[Outcome]:
    """A user update's row: what of the record has a column, in it, and nothing else."""
    uuid = record.get("uuid")
    content = {key: value for key, value in record.items() if key != "processed_time"}
    known = identity.by_uuid(uuid, name) if uuid else identity.by_content(content)
    objects = {key: "{}" for key, kind in DOCUMENTED_COLUMNS.items() if kind is dict}
    columns = {
        key: encode(value).decode() if DOCUMENTED_COLUMNS[key] is dict else value
        for key, value in record.items()
        if key in DOCUMENTED_COLUMNS
    }
    times = {
        key: datetime.fromisoformat(columns[key])
        for key, kind in DOCUMENTED_COLUMNS.items()
        if kind is datetime and key in columns
    }
    row = {"project_id": PROJECT, "notifly_project": "acme", "month": "2026-03", "name": name}
    row |= {"identity": known.text, "identity_rung": known.rung, "identity_hash": known.hash}
    return other(Kind.USER_UPDATE, to_profile=True, **row, **objects | columns | times)


def synced(**changes: object) -> tuple[bytes, list[Outcome]]:
    """A cohort message and its row."""
    message = cohort(**changes)
    known = identity.by_message_id(message["cohort_id"], message["message_id"])
    row = {"project_id": PROJECT, "notifly_project": "acme", "identity": known.text, "identity_hash": known.hash}
    return encode(message), other(Kind.COHORT, identity_rung=1, payload=encode(message), **row)


def app_invalid(text: str) -> tuple[bytes, list[Outcome]]:
    return refused(Reason.APP_INVALID, f"app is {text}, not a project id", spelled(app=text))


def properties(text: str, kept: str | None = None, repairs: str | None = None) -> tuple[bytes, list[Outcome]]:
    """An event with these properties, and as they are kept."""
    return spelled(event_properties=text), taken(event_properties=kept or text, repairs=repairs)


def levels(number: int) -> str:
    """Properties that make a record of so many levels."""
    return '{"a":' * (number - 2) + "[]" + "}" * (number - 2)


def zipped(*files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{number}.json.gz", data)
    return out.getvalue()


def aggregate(*records: bytes) -> bytes:
    """A KPL aggregate of records shorter than 2 ** 14 bytes, their lengths spelled in two bytes each."""

    def field(data: bytes) -> bytes:
        return b"\x1a" + bytes((len(data) & 127 | 128, len(data) >> 7)) + data

    body = b"".join(field(field(record)) for record in records)
    return b"\xf3\x89\x9a\xc2" + body + md5(body, usedforsecurity=False).digest()
