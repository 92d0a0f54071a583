"""Whether bytes that were not taken hold a user's id, and a cohort message without one of its users."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from udfs import envelope, ids, parse
from udfs.model import Rejection

_ENCODINGS: Final = ("utf-8", "utf-16-le", "utf-16-be")


def needles(user_id: str) -> frozenset[bytes]:
    """What to look for: the id as JSON writes a whole text, escaped or not, and a number behind `user_id`."""
    forms = {json.dumps(user_id, ensure_ascii=escaped) for escaped in (False, True)}
    if user_id.isdecimal():
        forms |= {f'"user_id"{colon}{user_id}{end}' for colon in (":", ": ") for end in (",", "}", " ")}
    # half an escaped character is no text
    return frozenset(form.encode(name, "surrogatepass") for form in forms for name in _ENCODINGS)


def holder(payload: bytes, wanted: Mapping[str, Collection[bytes]]) -> str | None:
    """By name of what is wanted its needles: the first name of which a payload, or a part of it, holds one."""
    for part in _opened(payload):
        for name, forms in wanted.items():
            if any(form in part for form in forms):
                return name
    return None


def _opened(payload: bytes) -> Iterator[bytes]:
    yield payload
    if envelope.form(payload) is not None:
        yield from (part.payload for part in envelope.unpack(payload))


def amplitude_needles(amplitude_id: int) -> frozenset[bytes]:
    """What to look for where a record names Amplitude's id of a user."""
    forms = {f'"amplitude_id"{colon}{amplitude_id}{end}' for colon in (":", ": ") for end in (",", "}", " ")}
    return frozenset(form.encode(name) for form in forms for name in _ENCODINGS)


def without(payload: bytes, user_ids: Collection[str]) -> tuple[bytes, list[str]]:
    """A cohort message without its entries of these users, and whose entries they were.

    All else stays as it is spelled, unless only the tolerant reading can read it. What is no cohort message stays
    whole.
    """
    try:
        fields: dict[str, Any] = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        entries = msgspec.json.decode(fields["users"], type=list[msgspec.Raw])
        named = [_named(msgspec.json.decode(entry)) for entry in entries]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        read = parse.record(payload)
        if isinstance(read, Rejection) or not isinstance(read.fields.get("users"), list):
            return payload, []
        fields, entries = dict(read.fields), read.fields["users"]
        named = [_named(entry) for entry in entries]
    gone = [user_id for user_id in named if user_id in user_ids]
    kept = [entry for entry, user_id in zip(entries, named, strict=True) if user_id not in user_ids]
    return (msgspec.json.encode({**fields, "users": kept}), gone) if gone else (payload, [])


def _named(user: Any) -> str:
    """Whom an entry names, spelled as in the tables; empty when it names nobody."""
    user_id = user.get("user_id") if isinstance(user, dict) else None
    return (ids.somebody(user_id) or "").replace("\0", "")
