"""What message events are called in Amplitude, and what their properties are (docs/data.md "Events in Amplitude").

Names have the form of Braze's and Customer.io's: the sender, the channel, a verb in the past. The prefix is how
the way in recognises an event that comes back, and does not take it for a customer's.
"""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from udfs.export.message import Channel, MessageEvent, Verb
from udfs.model import EXPORT_PREFIX

CHANNELS: Final = {
    Channel.PUSH: "Push",
    Channel.IN_APP: "In-App Popup",
    Channel.WEB_POPUP: "Web Popup",
    Channel.EMAIL: "Email",
    Channel.TEXT: "Text Message",
    Channel.KAKAO_ALIMTALK: "Kakao Alimtalk",
    Channel.KAKAO_FRIENDTALK: "Kakao Friendtalk",
    Channel.WEBHOOK: "Webhook",
}
VERBS: Final = {
    Verb.SENT: "Sent",
    Verb.DELIVERED: "Delivered",
    Verb.OPENED: "Opened",
    Verb.CLICKED: "Clicked",
    Verb.CONVERTED: "Converted",
    Verb.FAILED: "Failed",
    Verb.UNSUBSCRIBED: "Unsubscribed",
    Verb.BOUNCED: "Bounced",
    Verb.NOT_SENT: "Not Sent",
}
PROPERTIES: Final = (
    *("notifly_project", "message_id", "channel", "send_id", "campaign_id", "campaign_name", "journey_id"),
    *("journey_name", "journey_node_id", "variant_id", "variant_name", "platform", "provider", "template_code"),
    *("sender_key", "fallback_of", "link_url", "failure_code", "failure_reason", "conversion_event", "cause"),
)
"""Fields of a message event that become properties of the same name."""
PERSONAL: Final = ("email_address", "phone_number")
"""Fields that become properties only where a project has asked for them."""
LONGEST_TEXT: Final = 1024
"""Characters of a property; Amplitude cuts longer ones (HTTP V2 API, "Keys for the event argument")."""
_values: Final = attrgetter(*PROPERTIES)
_NAMES: Final = {
    (channel, verb): f"{EXPORT_PREFIX}{CHANNELS[channel]} {VERBS[verb]}" for channel in Channel for verb in Verb
}


class Personal(StrEnum):
    """How a project wants a personal field."""

    PLAIN = "plain"
    SHA256 = "sha256"


def name(channel: Channel, verb: Verb) -> str:
    """The event's name in Amplitude, such as `[Notifly] Kakao Alimtalk Not Sent`."""
    return _NAMES[channel, verb]


def rendered(event: MessageEvent, personal: Mapping[str, Personal]) -> dict[str, Any]:
    """The event as Amplitude takes it; what has no value is left out.

    The same event is rendered the same way for ever, or Amplitude, which compares device_id and insert_id, would
    store it twice. `personal` has the form of each of the fields of `PERSONAL` that the project asks for.
    """
    asked = ((field, _in_form(getattr(event, field), form)) for field, form in personal.items())
    values = chain(zip(PROPERTIES, _values(event), strict=True), asked)
    known = {field: value[:LONGEST_TEXT] for field, value in values if value is not None}
    ids = (("user_id", event.user_id), ("device_id", event.device_id))
    return {
        "event_type": name(event.channel, event.kind),
        "insert_id": event.event_id,
        "time": event.time,
        **{field: value for field, value in ids if value is not None},
        "library": "notifly",
        "event_properties": known,
    }


def _in_form(value: str | None, form: Personal) -> str | None:
    return sha256(value.encode()).hexdigest() if value is not None and form is Personal.SHA256 else value
