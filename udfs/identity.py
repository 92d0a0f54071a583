"""Which records are copies of the same event: the identity ladder of docs/amplitude.md §8.1.

The first rung whose fields are all present names the event within its project. The identity is the rung
and each field behind its length, so two different sets of fields never spell the same text; its hash is
what keyed state remembers, the text is what the event store shows.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

HASH_BYTES: Final = 16

_canonical: Final = msgspec.json.Encoder(order="sorted").encode


class Identity(NamedTuple):
    """An event's identity within its project: rung 1 to 4, readable text, 16-byte hash of the text."""

    rung: int
    text: str
    hash: bytes


def by_uuid(uuid: str, event_type: str) -> Identity:
    """Rung 1. `event_type` because a custom event may be sent beside its raw event with the same uuid."""
    return _hashed(1, f"1|{len(uuid)}:{uuid}|{len(event_type)}:{event_type}")


def by_insert_id(device_id: str, insert_id: str, event_type: str) -> Identity:
    """Rung 2: Amplitude's own ingestion rule."""
    return _identity(2, device_id, insert_id, event_type)


def by_event_id(device_id: str, event_id: int, client_event_time: datetime, event_type: str) -> Identity:
    """Rung 3: what Amplitude compares where there is no insert id."""
    return _identity(3, device_id, str(event_id), client_event_time.isoformat(), event_type)


def by_message_id(cohort_id: str, message_id: str) -> Identity:
    """A cohort message, by Amplitude's own id: rung 1, for it is as good as a uuid."""
    return _identity(1, "cohort", cohort_id, message_id)


def by_content(record: Mapping[str, Any]) -> Identity:
    """Rung 4: all of the record but `processed_time`, which differs between deliveries."""
    content = {name: value for name, value in record.items() if name != "processed_time"}
    return _identity(4, blake2b(_canonical(content), digest_size=HASH_BYTES).hexdigest())


def _identity(rung: int, *fields: str) -> Identity:
    return _hashed(rung, f"{rung}|{'|'.join([f'{len(field)}:{field}' for field in fields])}")


def _hashed(rung: int, text: str) -> Identity:
    return Identity(rung, text, blake2b(text.encode(), digest_size=HASH_BYTES).digest())
