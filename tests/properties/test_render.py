"""Whatever stands on the stream of message events ends in rows that say what became of it."""

from datetime import datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from udfs.export.message import LONGEST_EVENT, Cause, Channel, MessageEvent, Verb
from udfs.export.render import RENDERED, Kind, Route, render
from udfs.functions import as_series, fields

AT = datetime(2026, 3, 15)  # noqa: DTZ001  naive UTC


class Linked:
    """A link that always was."""

    notifly_project, linked_at, unlinked_at = "acme", datetime.min, None  # noqa: DTZ901


class To:
    """A project that takes all."""

    project_id, links, personal = 7, (Linked(),), {}


ROUTES: dict[str, list[Route]] = {"acme": [To()]}  # type: ignore[list-item]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3),
    max_leaves=5,
)
GOOD: dict[str, Any] = {"version": 1, "event_id": "e", "message_id": "m", "notifly_project": "acme"}
GOOD |= {"kind": "sent", "channel": "push", "time": 1_773_567_000_000, "user_id": "u"}


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """An event of which some fields have other values, and some bytes may be missing."""
    changed = draw(st.dictionaries(st.sampled_from([*MessageEvent.__struct_fields__, "redelivery"]), VALUES))
    spelled = msgspec.json.encode(GOOD | changed)
    return spelled[: draw(st.integers(0, len(spelled)))] if draw(st.booleans()) else spelled


@given(st.binary() | spoiled())
def test_every_record_is_due_ignored_or_rejected(payload: bytes) -> None:
    row = render(payload, AT, ROUTES)
    as_series([row], fields(RENDERED))  # what Flink is handed
    if row.kind == Kind.REJECTED:
        assert (row.reason is not None, row.payload, row.payload_length) == (True, payload, len(payload))
        assert list(row.events) == [None]
    elif row.kind == Kind.DUE:
        (event,) = row.events
        assert msgspec.json.decode(event or b"")["insert_id"] == row.event_id
        assert len(payload) <= LONGEST_EVENT


@given(st.sampled_from(Verb), st.sampled_from(Channel), st.text(min_size=1, max_size=1024), st.text())
def test_a_message_event_is_due_whatever_its_texts(kind: Verb, channel: Channel, user: str, name: str) -> None:
    cause = {"cause": Cause.QUIET_HOURS} if kind is Verb.NOT_SENT else {}
    fields = GOOD | {"kind": kind, "channel": channel, "user_id": user, "campaign_name": name} | cause
    row = render(msgspec.json.encode(fields), AT, ROUTES)
    assert (row.kind, row.event_id, list(row.project_ids)) == (Kind.DUE, "e", [7])
