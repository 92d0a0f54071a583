"""Redelivery records: what waited or was refused, put on the stream of message events for its next attempt."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from udfs.export.answers import Refused
from udfs.export.message import Id

MARK: Final = b'{"redelivery":'
"""How a redelivery record begins, and no message event does."""


class Redelivery(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """An event that is due again, as it was frozen, with the place of the record that it came from."""

    redelivery: Literal[1] = 1
    """the version of this layout; stays the first field, for the job knows the record by it"""
    project_id: Annotated[int, msgspec.Meta(ge=0)]
    attempt: Annotated[int, msgspec.Meta(ge=1)]
    """that is made now: one more than the last"""
    event: msgspec.Raw
    """the frozen JSON, byte for byte"""
    arrival: Annotated[datetime, msgspec.Meta(tz=True)]
    shard: str
    sequence: str
    refused: Refused | None = None
    """why Amplitude refused the attempt before; None where that waited"""
    set_back: int = 0
    """how often the export job's tables had been set back when it was put: what it is of may be gone since"""


class _Frozen(msgspec.Struct, gc=False):
    """What of a frozen event its copies are recognised by."""

    insert_id: Id


_decode: Final = msgspec.json.Decoder(Redelivery).decode
_frozen: Final = msgspec.json.Decoder(_Frozen).decode


def record(redelivery: Redelivery) -> bytes:
    """The record that puts an event on the stream again."""
    return msgspec.json.encode(redelivery)


def again(
    row: Mapping[str, Any], event: bytes, attempt: int, refused: str | None = None, set_back: int = 0
) -> bytes:
    """The record for an attempt to send a frozen event; a `row` of the lake has its project and place."""
    place = {name: row[name] for name in ("project_id", "arrival", "shard", "sequence")}
    why, frozen = Refused(refused) if refused else None, msgspec.Raw(event)
    return record(Redelivery(**place, attempt=attempt, event=frozen, refused=why, set_back=set_back))


def redelivered(payload: bytes) -> Redelivery:
    """The redelivery that a record spells. Raises ValueError, which says what is wrong and where."""
    payload.decode()  # msgspec passes over texts of what it keeps raw
    try:
        return _decode(payload)
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None


def event_id(event: bytes) -> str:
    """The id of a frozen event. Raises ValueError."""
    return _frozen(event).insert_id
