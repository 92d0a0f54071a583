"""Message events in, Amplitude's events out."""

import re
from typing import Any

import msgspec
import pytest

from tests.cases import each
from udfs import classify
from udfs.export import taxonomy
from udfs.export.message import Channel, Verb, message_event
from udfs.export.taxonomy import Personal

OPENED = {
    "version": 1,
    "event_id": "e-1",
    "message_id": "m-1",
    "notifly_project": "shop",
    "kind": "opened",
    "channel": "kakao_alimtalk",
    "time": 1_764_230_400_000,
    "user_id": "u-1",
    "campaign_name": "n" * 2000,
    "phone_number": "+821012345678",
}


def read(**fields: Any) -> Any:
    return message_event(msgspec.json.encode(OPENED | fields))


def test_an_event_as_amplitude_takes_it() -> None:
    assert taxonomy.rendered(read(), {}) == {
        "event_type": "[Notifly] Kakao Alimtalk Opened",
        "insert_id": "e-1",
        "time": 1_764_230_400_000,
        "user_id": "u-1",
        "library": "notifly",
        "event_properties": {
            "notifly_project": "shop",
            "message_id": "m-1",
            "channel": "kakao_alimtalk",
            "campaign_name": "n" * 1024,
        },
    }


@each(
    ("form", "shown"),
    [
        (Personal.PLAIN, "+821012345678"),
        (Personal.SHA256, "2efdd01fdf56e3f07de56acd9d40beb256d5983aec5f6d597c2c48354f35f9e0"),
    ],
)
def test_a_personal_field_is_sent_in_the_form_that_was_asked_for(form: Personal, shown: str) -> None:
    sent = taxonomy.rendered(read(), {"phone_number": form, "email_address": form})["event_properties"]
    assert "email_address" not in sent
    assert sent["phone_number"] == shown


def test_each_name_is_one_that_the_way_in_knows_as_our_own() -> None:
    names = {taxonomy.name(channel, verb) for channel in Channel for verb in Verb}
    assert len(names) == len(Channel) * len(Verb)
    assert all(name.startswith(classify.SPECIAL) for name in names)


@each(
    ("fields", "wrong"),
    [
        ({"version": 2}, "$.version"),
        ({"event_id": ""}, "$.event_id"),
        ({"kind": "seen"}, "$.kind"),
        ({"channel": "fax"}, "$.channel"),
        ({"time": 1_764_230_400}, "$.time"),
        ({"time": "1764230400000"}, "$.time"),
        ({"user_id": None}, "neither user_id nor device_id"),
        ({"kind": "not_sent"}, "cause is missing and kind is not_sent"),
        ({"cause": "quiet_hours"}, "cause is quiet_hours and kind is opened"),
        ({"user_id": "u" * 1025}, "$.user_id"),
        ({"link_url": "x" * 70_000}, "at most 65,536"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        read(**fields)


@each("payload", [b"", b"[]", b"{", b'{"a":"\xff"}', b"[" * 60_000])
def test_bytes_that_are_no_message_event_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  each has words of its own
        message_event(payload)
    assert str(refused.value)


def test_fields_of_later_versions_are_ignored() -> None:
    assert read(color="blue") == read()
