"""What becomes of a record of the stream of message events, without Flink."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from stores.project import Link
from tests.cases import each
from udfs.export.answers import Refused
from udfs.export.redelivery import again
from udfs.export.render import OUTDATED, Kind, Row, Unsent, render
from udfs.export.taxonomy import Personal

AT = datetime(2026, 3, 15, 9, 30)  # noqa: DTZ001  naive UTC
DAY = timedelta(days=1)


class Route(NamedTuple):
    project_id: int
    links: tuple[Link, ...] = (Link("acme", AT - DAY),)
    personal: Mapping[str, Personal] = {}


ROUTES = {"acme": [Route(1), Route(2, personal={"phone_number": Personal.PLAIN})]}


def event(**more: Any) -> bytes:
    fields: dict[str, Any] = {"version": 1, "event_id": "e1", "message_id": "m", "notifly_project": "acme"}
    fields |= {"kind": "sent", "channel": "push", "time": 1_773_567_000_000, "user_id": "u"}
    return msgspec.json.encode(fields | {"phone_number": "+82"} | more)


def rendered(payload: bytes, routes: Mapping[str, list[Route]] = ROUTES) -> Row:
    return render(payload, AT, routes)


def redelivery(frozen: bytes, refused: str | None = None) -> bytes:
    row = {"project_id": 7, "arrival": AT.replace(tzinfo=UTC), "shard": "s", "sequence": "8"}
    return again(row, frozen, 3, refused)


def test_an_event_goes_to_each_project_in_its_form() -> None:
    row = rendered(event())
    assert (row.kind, list(row.places), row.project_ids, row.event_id, row.attempt) == (
        Kind.DUE,
        [1, 2],
        [1, 2],
        "e1",
        0,
    )
    first, second = (msgspec.json.decode(one or b"") for one in row.events)
    assert first["insert_id"] == second["insert_id"] == "e1"
    assert "phone_number" not in first["event_properties"]
    assert second["event_properties"]["phone_number"] == "+82"


@each(
    ("links", "sent"),
    [
        ((Link("acme", AT),), True),
        ((Link("acme", AT + DAY),), False),
        ((Link("acme", AT - DAY, AT),), False),
        ((Link("acme", AT - DAY, AT + DAY),), True),
        ((Link("globex", AT - DAY),), False),
        ((Link("acme", AT - 2 * DAY, AT - DAY), Link("acme", AT - DAY)), True),
    ],
)
def test_a_project_gets_what_arrives_while_it_is_linked(links: tuple[Link, ...], *, sent: bool) -> None:
    row = rendered(event(), {"acme": [Route(1, links)]})
    assert row.kind == (Kind.DUE if sent else Kind.IGNORED)
    assert row.reason == (None if sent else Unsent.NO_DESTINATION)


@each(
    ("payload", "reason"),
    [
        (b"", Unsent.INVALID_JSON),
        (b"\xff", Unsent.INVALID_JSON),
        (b'{"version": 1', Unsent.INVALID_JSON),
        (b"[]", Unsent.INVALID_EVENT),
        (b"[" * 5_000, Unsent.INVALID_EVENT),
        (event(version=2), Unsent.INVALID_EVENT),
        (event(user_id=None), Unsent.INVALID_EVENT),
        (event(link_url="x" * 70_000), Unsent.TOO_LARGE),
        (b'{"redelivery":1}', Unsent.INVALID_REDELIVERY),
        (
            redelivery(b'{"insert_id":"e9"}').replace(b'"refused":null', b'"refused":"odd"'),
            Unsent.INVALID_REDELIVERY,
        ),
        (b'{"redelivery":1,"event":' + b"[" * 5_000, Unsent.INVALID_REDELIVERY),
    ],
)
def test_what_is_no_message_event_is_kept_with_its_reason(payload: bytes, reason: Unsent) -> None:
    row = rendered(payload)
    assert (row.kind, row.reason, row.payload, row.payload_length) == (
        Kind.REJECTED,
        reason,
        payload,
        len(payload),
    )
    assert row.detail
    assert (list(row.places), list(row.events)) == ([1], [None])


def test_a_redelivery_is_sent_as_it_was_frozen() -> None:
    frozen = b'{ "insert_id" : "e9", "odd":1e400 }'
    row = rendered(redelivery(frozen))
    assert (row.kind, list(row.project_ids), list(row.events), row.event_id) == (Kind.DUE, [7], [frozen], "e9")
    assert (row.attempt, row.first_arrival, row.first_shard, row.first_sequence) == (3, AT, "s", "8")
    assert row.reason is None


def test_a_redelivery_from_before_the_tables_were_set_back_is_marked() -> None:
    found = [render(redelivery(b'{"insert_id":"e9"}'), AT, ROUTES, set_back) for set_back in (0, 1)]
    assert [(row.kind, row.detail) for row in found] == [(Kind.DUE, None), (Kind.DUE, OUTDATED)]


def test_an_event_that_was_refused_goes_again_with_the_reason_why() -> None:
    row = rendered(redelivery(b'{"insert_id":"e9"}', "silenced"))
    assert (row.kind, row.reason, row.attempt, row.event_id) == (Kind.DUE, Refused.SILENCED, 3, "e9")
