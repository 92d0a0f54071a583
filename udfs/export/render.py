"""What becomes of a record of the stream of message events: events for Amplitude projects, or a reason why not."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from udfs.attribute import Link
from udfs.export import redelivery
from udfs.export.answers import Refused
from udfs.export.message import LONGEST_EVENT, MessageEvent, message_event
from udfs.export.taxonomy import Personal, rendered
from udfs.model import MAX_PAYLOAD_BYTES


class Kind(StrEnum):
    """What a record is."""

    DUE = "due"
    """events that are to be sent"""
    IGNORED = "ignored"
    REJECTED = "rejected"


class Unsent(StrEnum):
    """Why a record is not sent. Stable identifiers; docs/data.md says what each one means."""

    NO_DESTINATION = "no_destination"
    TOO_LARGE = "too_large"
    INVALID_JSON = "invalid_json"
    INVALID_EVENT = "invalid_event"
    INVALID_REDELIVERY = "invalid_redelivery"
    INTERNAL_ERROR = "internal_error"


class Route(Protocol):
    """An Amplitude project that message events of a Notifly project go to."""

    @property
    def project_id(self) -> int:
        """Amplitude's project id."""

    @property
    def links(self) -> Sequence[Link]:
        """The times in which it belongs to the Notifly project."""

    @property
    def personal(self) -> Mapping[str, Personal]:
        """By personal field that it asks for, the form."""


FURTHER: Final = "further_project"
"""The reason of an event that is `due` for another project than the first of its record."""
OUTDATED: Final = "put before the tables were set back"
"""The detail of a redelivery that is `due` and is not sent."""
_LONGEST_DETAIL: Final = 500
_encode: Final = msgspec.json.Encoder().encode
Routes = Mapping[str, Sequence[Route]]
"""By Notifly project where its message events go."""

RENDERED: Final[dict[str, type]] = {
    "kind": str,
    "reason": str,
    "detail": str,
    "places": list[int],
    "project_ids": list[int],
    "events": list[bytes],
    "event_id": str,
    "attempt": int,
    "payload": bytes,
    "payload_length": int,
    "first_arrival": datetime,
    "first_shard": str,
    "first_sequence": str,
}
"""The columns of a rendered record. `places` are those in `project_ids` and `events`, from 1 on."""


class Row(NamedTuple):
    """A record in the columns of `RENDERED`; the last three are set where it is a redelivery."""

    kind: Kind
    reason: Unsent | Refused | None = None
    """why it is not sent; of an event that is put again after a refusal, why Amplitude refused it"""
    detail: str | None = None
    places: Sequence[int] = (1,)
    project_ids: Sequence[int | None] = (None,)
    events: Sequence[bytes | None] = (None,)
    event_id: str | None = None
    attempt: int = 0
    payload: bytes | None = None
    payload_length: int | None = None
    first_arrival: datetime | None = None
    first_shard: str | None = None
    first_sequence: str | None = None


def render(payload: bytes, arrival: datetime, routes: Routes, set_back: int = 0) -> Row:
    """The events that a record asks to be sent. One that is wrong is `rejected`: rules never stop the job.

    `arrival` is naive UTC: the event goes to the projects that were linked then. `set_back` is how often the
    tables have been set back.
    """
    try:
        if payload.startswith(redelivery.MARK):
            return _again(redelivery.redelivered(payload), set_back)
        return _fanned_out(message_event(payload), arrival, routes)
    except MemoryError:
        raise
    except Exception as error:
        kept, detail = payload[:MAX_PAYLOAD_BYTES], str(error)[:_LONGEST_DETAIL]
        reason = _reason(error, payload)
        return Row(Kind.REJECTED, reason, detail, payload=kept, payload_length=len(payload))


def _reason(error: Exception, payload: bytes) -> Unsent:
    if not isinstance(error, ValueError):
        return Unsent.INTERNAL_ERROR
    if payload.startswith(redelivery.MARK):
        return Unsent.INVALID_REDELIVERY
    if len(payload) > LONGEST_EVENT:
        return Unsent.TOO_LARGE
    if isinstance(error, UnicodeError | msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        return Unsent.INVALID_JSON
    return Unsent.INVALID_EVENT


def _fanned_out(event: MessageEvent, arrival: datetime, routes: Routes) -> Row:
    """The event for each project that is linked to its Notifly project and has a destination."""
    linked = [one for one in routes.get(event.notifly_project, ()) if _is_linked(one, event, arrival)]
    if not linked:
        detail = f"Notifly project {event.notifly_project}"[:_LONGEST_DETAIL]
        return Row(Kind.IGNORED, Unsent.NO_DESTINATION, detail, event_id=event.event_id)
    return Row(
        Kind.DUE,
        places=range(1, len(linked) + 1),
        project_ids=[one.project_id for one in linked],
        events=[_encode(rendered(event, one.personal)) for one in linked],
        event_id=event.event_id,
    )


def _is_linked(route: Route, event: MessageEvent, arrival: datetime) -> bool:
    return any(
        link.notifly_project == event.notifly_project
        and link.linked_at <= arrival
        and (link.unlinked_at is None or arrival < link.unlinked_at)
        for link in route.links
    )


def _again(due: redelivery.Redelivery, set_back: int) -> Row:
    """An event that waited or was refused, as it was frozen; whether it can be sent is the sender's to say.

    Where the tables have been set back since, the attempt before may never have been; what waits is put anew.
    """
    event = bytes(due.event)
    return Row(
        Kind.DUE,
        due.refused,
        OUTDATED if due.set_back != set_back else None,
        project_ids=[due.project_id],
        events=[event],
        event_id=redelivery.event_id(event),
        attempt=due.attempt,
        first_arrival=due.arrival.astimezone(UTC).replace(tzinfo=None),
        first_shard=due.shard,
        first_sequence=due.sequence,
    )
