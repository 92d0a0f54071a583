"""Message events of Notifly, version 1: what became of a message, as JSON on the stream of message events.

docs/data.md "Message events" has the fields in words, docs/message-event.schema.json as JSON Schema.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec


class Verb(StrEnum):
    """What became of a message."""

    SENT = "sent"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    CONVERTED = "converted"
    FAILED = "failed"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    NOT_SENT = "not_sent"


class Channel(StrEnum):
    """What a message travels by."""

    PUSH = "push"
    IN_APP = "in_app"
    WEB_POPUP = "web_popup"
    EMAIL = "email"
    TEXT = "text"
    KAKAO_ALIMTALK = "kakao_alimtalk"
    KAKAO_FRIENDTALK = "kakao_friendtalk"
    WEBHOOK = "webhook"


class Cause(StrEnum):
    """Why a message was not sent."""

    FREQUENCY_CAP = "frequency_cap"
    QUIET_HOURS = "quiet_hours"
    NO_CONSENT = "no_consent"


Id = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
"""Up to 1 024 characters: Amplitude cuts longer texts, and ids that are cut are no longer told apart."""
_Milliseconds = Annotated[int, msgspec.Meta(ge=1_000_000_000_000, lt=10_000_000_000_000)]


class MessageEvent(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """One message event. Fields that version 1 does not name are ignored."""

    version: Literal[1]
    event_id: Id
    """identifies the event for ever: Amplitude's insert_id"""
    message_id: Id
    """the message that all its events share"""
    notifly_project: Id
    kind: Verb
    channel: Channel
    time: _Milliseconds
    """milliseconds since 1970, UTC; 13 digits"""
    user_id: Id | None = None
    device_id: Id | None = None
    """only where Notifly has Amplitude's own"""
    cause: Cause | None = None
    """why it was not sent; with `not_sent`, and with nothing else"""
    send_id: Id | None = None
    """what was sent at one time to many users"""
    campaign_id: Id | None = None
    campaign_name: str | None = None
    journey_id: Id | None = None
    journey_name: str | None = None
    journey_node_id: Id | None = None
    variant_id: Id | None = None
    variant_name: str | None = None
    platform: str | None = None
    provider: str | None = None
    template_code: str | None = None
    sender_key: str | None = None
    fallback_of: Id | None = None
    """the message in whose place this one was sent, as a text message for a Kakao message"""
    link_url: str | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    conversion_event: str | None = None
    email_address: str | None = None
    phone_number: str | None = None

    def __post_init__(self) -> None:
        if self.user_id is None and self.device_id is None:
            msg = "neither user_id nor device_id"
            raise ValueError(msg)
        if (self.cause is not None) != (self.kind is Verb.NOT_SENT):
            msg = f"cause is {self.cause or 'missing'} and kind is {self.kind}: a cause goes with not_sent"
            raise ValueError(msg)


LONGEST_EVENT: Final = 64 * 1024
"""Bytes of a message event; a real one has some 1 KB."""
_decode: Final = msgspec.json.Decoder(MessageEvent).decode


def message_event(payload: bytes) -> MessageEvent:
    """The event that a record spells. Raises ValueError, which says what is wrong and where."""
    if len(payload) > LONGEST_EVENT:
        msg = f"{len(payload):,} bytes; a message event has at most {LONGEST_EVENT:,}"
        raise ValueError(msg)
    try:
        payload.decode()  # msgspec passes over the text of fields that it ignores
        return _decode(payload)
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None


def schema() -> dict[str, Any]:
    """A message event as JSON Schema, draft 2020-12."""
    named = msgspec.json.schema(MessageEvent)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **named}
