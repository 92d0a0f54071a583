"""Whatever a record says that came by an access key, it is the key's project's; nobody else is believed."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.project import linked
from stores.rules import FieldRule, Rules
from tests import kpl
from tests.builders import (
    ARRIVAL,
    MISSING,
    OTHER_PROJECT,
    PROJECT,
    UNKNOWN_PROJECT,
    cohort,
    encode,
    event,
    user_update,
)
from tests.intake import KEYS, OTHER_KEY, SPOOFED, enclosed, mac_keys, spoofs
from tests.leaves import Leaf, leaves
from tests.properties.strategies import any_bytes
from udfs.attribute import Registry
from udfs.model import DOCUMENTED_COLUMNS, EVENT_COLUMNS, Kind, Reason

MARCH = datetime.fromisoformat("2026-03-01")
REGISTRY: Registry = {
    PROJECT: linked(PROJECT, "acme", MARCH),
    OTHER_PROJECT: linked(OTHER_PROJECT, "globex", MARCH),
    "gs72ns": linked(OTHER_PROJECT, "globex", MARCH),
    str(OTHER_PROJECT): linked(OTHER_PROJECT, "globex", MARCH),
}
RECORDS = {
    "event": event(app=MISSING),
    "event of the key's project": event(app=PROJECT),
    "user update": user_update(app=MISSING),
    "cohort message": cohort(),
}
FIELDS = [*SPOOFED, *EVENT_COLUMNS, *DOCUMENTED_COLUMNS, "event_type", "$insert_id"]


def alone(body: bytes) -> bytes:
    return body


def in_lines(body: bytes) -> bytes:
    return encode(event(app=OTHER_PROJECT)) + b"\n" + body + b"\n"


def in_array(body: bytes) -> bytes:
    return b"[" + body + b"," + encode(event(app=OTHER_PROJECT)) + b"]"


def in_aggregate(body: bytes) -> bytes:
    return kpl.aggregate_of(["k"], [(0, None, body), (0, None, enclosed(OTHER_PROJECT, body))])


def in_forged(body: bytes) -> bytes:
    return enclosed(OTHER_PROJECT, body, mac_keys(OTHER_KEY))


def in_envelope_of_another(body: bytes) -> bytes:
    return enclosed(OTHER_PROJECT, body)


PACKED: list[Callable[[bytes], bytes]] = [
    *(in_lines, in_array, in_aggregate, in_forged, in_envelope_of_another),
    *(gzip.compress, zlib.compress),
]


def judged(record: bytes, registry: Registry = REGISTRY) -> list[Leaf]:
    return leaves(record, ARRIVAL.replace(tzinfo=None), registry, KEYS)


def owners(record: bytes) -> set[tuple[int | None, str | None]]:
    return {(one.columns["project_id"], one.columns["notifly_project"]) for one in judged(record)}


@pytest.mark.parametrize("kind", RECORDS)
def test_no_field_of_any_record_reaches_another_project(kind: str) -> None:
    for at, body in enumerate(spoofs(RECORDS[kind], OTHER_PROJECT, FIELDS)):
        for packed in (alone, PACKED[at % len(PACKED)]):
            assert owners(enclosed(PROJECT, packed(body))) <= {(PROJECT, "acme"), (PROJECT, None)}, body


def test_neither_does_any_mixture() -> None:
    bodies = [body for record in RECORDS.values() for body in spoofs(record, OTHER_PROJECT, SPOOFED)]
    for begin in range(0, len(bodies), 50):
        joined = b"\n".join(bodies[begin : begin + 50])
        found = owners(enclosed(PROJECT, gzip.compress(joined)))
        assert found <= {(PROJECT, "acme"), (PROJECT, None)}


@given(body=any_bytes, layers=st.lists(st.sampled_from(PACKED), max_size=3))
def test_neither_do_any_bytes(body: bytes, layers: list[Callable[[bytes], bytes]]) -> None:
    for packed in layers:
        body = packed(body)
    found = judged(enclosed(PROJECT, body))
    assert found
    assert {one.columns["project_id"] for one in found} == {PROJECT}
    assert not {one.kind for one in found} & {Kind.ENVELOPE}


SCOPES = st.lists(st.sampled_from(["events", "cohorts"]), unique=True).map(tuple)
PARTS = st.lists(st.sampled_from(sorted(RECORDS)), min_size=1, max_size=5)


@given(scopes=SCOPES, parts=PARTS, packed=st.sampled_from([alone, gzip.compress, zlib.compress]))
def test_a_key_brings_what_its_scopes_are_for_and_the_rest_waits_whole(
    scopes: tuple[str, ...], parts: list[str], packed: Callable[[bytes], bytes]
) -> None:
    bodies = [encode(RECORDS[name]) for name in parts]
    found = judged(enclosed(PROJECT, packed(b"\n".join(bodies)), scopes=scopes))
    for name, body, one in zip(parts, bodies, found, strict=True):
        covered = ("cohorts" if name == "cohort message" else "events") in scopes
        assert one.reason == (None if covered else Reason.SCOPE_MISSING)
        assert (one.columns["project_id"], one.payload) == (PROJECT, body)
        assert covered or one.columns["payload"] == body


@given(body=any_bytes, layers=st.lists(st.sampled_from(PACKED), max_size=3))
def test_a_key_for_nothing_brings_nothing(body: bytes, layers: list[Callable[[bytes], bytes]]) -> None:
    for packed in layers:
        body = packed(body)
    assert {one.reason is None for one in judged(enclosed(PROJECT, body, scopes=()))} == {False}


@given(body=any_bytes)
def test_a_project_that_keeps_no_payloads_keeps_none_of_these(body: bytes) -> None:
    ruled = linked(PROJECT, "acme", MARCH)._replace(rules=Rules(field_rules=(FieldRule("city", "drop"),)))
    for one in judged(enclosed(PROJECT, body), {**REGISTRY, PROJECT: ruled}):
        assert one.reason is None or one.columns["payload"] is None


@given(data=st.data(), project_id=st.sampled_from([PROJECT, OTHER_PROJECT, UNKNOWN_PROJECT]))
def test_nothing_is_taken_of_an_envelope_that_was_touched(data: st.DataObject, project_id: int) -> None:
    record = enclosed(project_id, encode(event(app=MISSING)))
    begin = record.index(b"\n") + 1
    at = data.draw(st.integers(begin, len(record) - 1))
    touched = [
        record[:at] + bytes([record[at] ^ data.draw(st.integers(1, 255))]) + record[at + 1 :],
        record[:at] + data.draw(st.binary(min_size=1, max_size=40)) + record[at:],
        record[:at],
    ]
    for forged in touched:
        (found,) = judged(forged)
        assert (found.reason, found.columns["project_id"]) == (Reason.INTAKE_MAC_INVALID, None)


def forgeries() -> Iterator[bytes]:
    """Headers that claim the other project, around the MACs that a reader of the stream has seen."""
    seen = enclosed(PROJECT, encode(event(app=MISSING)))
    yield seen.replace(str(PROJECT).encode(), str(OTHER_PROJECT).encode(), 1)
    magic, line, body = seen.split(b"\n", 2)
    key_id, mac, header = line.split(b" ", 2)
    claims = header.replace(str(PROJECT).encode(), str(OTHER_PROJECT).encode())
    join = partial(b" ".join)
    yield b"\n".join((magic, join((key_id, mac, claims)), body))
    yield b"\n".join((magic, join((key_id, mac, claims)), line, body))
    yield b"\n".join((magic, join((b"00000000", mac, claims)), body))
    yield b"\n".join((magic, join((key_id, b"0" * 64, claims)), body))
    yield b"\n".join((magic, join((key_id, mac)), claims, body))
    yield b"\n".join((magic, claims, body))
    yield enclosed(OTHER_PROJECT, body, mac_keys(OTHER_KEY))
    yield magic + b"\n" + body


def test_nobody_makes_an_envelope_of_one_that_was_seen() -> None:
    for forged in forgeries():
        (found,) = judged(forged)
        assert (found.reason, found.columns["project_id"]) == (Reason.INTAKE_MAC_INVALID, None)
