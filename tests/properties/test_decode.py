"""Any bytes get one row with a named outcome; nothing of an event is lost; the whole agrees with the oracle."""

import gzip
import json
import math
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stores.project import Link, Project, linked
from tests import oracle
from tests.builders import (
    ARRIVAL,
    DEVICE,
    INSERT_ID,
    LEAP_DAY_END,
    MISSING,
    MONTH_END,
    MONTH_START,
    OTHER_PROJECT,
    PROJECT,
    UNKNOWN_PROJECT,
    UUID,
    YEAR_END,
    Record,
    cohort,
    encode,
    event,
    stamp,
    user_update,
)
from tests.compare import link_times
from tests.leaves import Leaf, leaves
from tests.properties.strategies import (
    COLUMN_OF,
    HEAD,
    Pairs,
    any_bytes,
    any_event,
    documented_events,
    mutant,
    objects_of_anything,
    odd_events,
    pick,
    styles,
    whole_events,
    written,
)
from udfs import classify, events, parse, text
from udfs.attribute import Registry
from udfs.decode import decode
from udfs.functions import as_series
from udfs.model import DECODED, Kind, Reason, Rejection

ACME = linked(PROJECT, "acme")
REGISTRY: Registry = {PROJECT: ACME, OTHER_PROJECT: linked(OTHER_PROJECT, "globex"), "gs72ns": ACME}
NAIVE_ARRIVAL = ARRIVAL.replace(tzinfo=None)

JSON_COLUMNS = {name for name, kind in DECODED.items() if kind is dict}
TAKEN = {Kind.EVENT, Kind.USER_UPDATE, Kind.COHORT}


def assert_well_formed(leaf: Leaf) -> None:
    """A row says one thing: what the record is, or why it is not taken."""
    row = leaf.columns
    assert row["kind"] in set(Kind) - {Kind.ENVELOPE}
    assert row["reason"] != "internal_error", row["detail"]
    assert (row["reason"] is None) == (row["kind"] in TAKEN)
    assert (row["kind"] in TAKEN) == (row["identity_hash"] is not None)
    assert (row["kind"] in TAKEN) == (row["notifly_project"] is not None)
    if row["reason"]:
        assert Reason(row["reason"]).kind == row["kind"]
        assert row["payload_length"] == len(leaf.payload)
        row["detail"].encode()


@settings(max_examples=max(10_000, settings.default.max_examples))
@given(any_bytes)
def test_any_bytes_get_one_row_with_a_named_outcome(payload: bytes) -> None:
    found = leaves(payload, NAIVE_ARRIVAL, REGISTRY)
    assert found
    for leaf in found:
        assert_well_formed(leaf)
    if taken := [leaf.row for leaf in found if leaf.kind in TAKEN]:
        as_series(taken)  # a value that Arrow refuses would kill the worker with its whole batch


def test_no_rows_are_a_series_of_none() -> None:
    assert len(as_series([])) == 0


def comparable(row: tuple[Any, ...]) -> dict[str, Any]:
    """The row by column, JSON text parsed to exact values. Only the careful way sees which field stood twice."""
    named = dict(zip(DECODED, row, strict=True))
    repairs = set((named["repairs"] or "").split()) - {"duplicate_field"}
    parsed = {name: exact(named[name]) for name in JSON_COLUMNS if named[name] is not None}
    return named | parsed | {"repairs": repairs}


def exact(text: str) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=float)


def assert_both_ways_agree(payload: bytes) -> bool:
    """Whether the quick way takes it; if so, the careful way makes the same row of it."""
    quick = parse.quick(payload)
    if quick is None:
        return False
    fields = text.fields(payload)
    assert isinstance(fields, text.Fields)
    record = parse.fields_of(fields)
    assert not isinstance(record, Rejection)
    careful = parse.careful(record, fields.repairs)
    assert not isinstance(careful, Rejection)
    assert comparable(events.event_row(quick, payload, "acme", NAIVE_ARRIVAL)) == comparable(
        events.event_row(careful, payload, "acme", NAIVE_ARRIVAL, fields.repairs)
    )
    assert classify.classify(record) == Kind.EVENT
    return True


def test_the_quick_way_and_the_careful_way_agree() -> None:
    ways: Counter[bool] = Counter()

    @settings(max_examples=max(1000, settings.default.max_examples))
    @given(st.builds(written, documented_events | odd_events, styles) | objects_of_anything)
    def compare(payload: bytes) -> None:
        ways[assert_both_ways_agree(payload)] += 1

    compare()
    assert ways[True] > ways.total() // 5


@given(st.builds(written, any_event | whole_events, styles), st.integers(0, 2**32))
def test_both_ways_agree_on_damaged_records(record: bytes, seed: int) -> None:
    rng = Random(seed)
    assert_both_ways_agree(record)
    for _ in range(30):
        assert_both_ways_agree(mutant(rng, record))


def kept(value: Any) -> Any:
    """What must come back: half an emoji as U+FFFD, no NUL, NaN and Infinity as null, the last of equal keys."""
    match value:
        case str():
            return re.sub("[\ud800-\udfff]", "\ufffd", joined(value)).replace("\0", "")
        case bool() | None:
            return value
        case int():
            return Decimal(value)
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [kept(item) for item in value]
    return {kept(key): kept(item) for key, item in value.items()}


def joined(text: str) -> str:
    """Two halves side by side are an emoji."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if text else text


IDS = {"uuid", "user_id", "device_id", "$insert_id"}


def instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@given(any_event, styles)
def test_every_field_of_an_event_can_be_read_back(pairs: Pairs, style: int) -> None:
    row = dict(zip(DECODED, decode(written(pairs, style), NAIVE_ARRIVAL, REGISTRY), strict=True))
    assert row["kind"] == Kind.EVENT
    assert (row["project_id"], row["name"]) == (PROJECT, "amplitude__Play Song")
    extra = exact(row["extra"] or "{}")
    for name, value in kept(dict(pairs)).items():
        if name in HEAD or value is None or (name in IDS and value == ""):
            continue
        in_column = row[COLUMN_OF[name]] if name in COLUMN_OF else None
        if name in extra:
            found = extra.pop(name)
            # an upload after its arrival is told as an instant
            assert found == value or (name == "server_upload_time" and instant(found) == instant(value))
            assert in_column in (None, "{}")
        elif isinstance(in_column, datetime):
            assert in_column.replace(tzinfo=UTC) == instant(value)
        elif COLUMN_OF[name] in JSON_COLUMNS:
            assert exact(in_column) == value
        else:
            assert in_column == (str(value) if name in IDS else value)
    assert extra == {}


# Few values for each field that a rule looks at, so that records repeat and just miss each other.
CHOICES: Record = {
    "app": (
        PROJECT,
        PROJECT,
        PROJECT,
        OTHER_PROJECT,
        str(PROJECT),
        UNKNOWN_PROJECT,
        True,
        None,
        -1,
        "some app id",
    ),
    "uuid": (UUID, UUID, "another", None, MISSING, "", 7, "unknown"),
    "device_id": (DEVICE, DEVICE, "another", None, "", "0", 7, -1),
    "$insert_id": (INSERT_ID, "another", None, "", MISSING, 7, "7", 7.0),
    "event_id": (135, 136, 135.0, "135", True, None, 2**63),
    "client_event_time": ("2026-03-15 09:30:28.583000", "2026-03-15 09:30:28.583001", None, 1773567028583),
    "event_type": (
        "Play Song",
        "Play Song",
        "Any Song",
        "밤편지",
        "\ud83d",
        "",
        None,
        "$identify",
        5,
        "\0a",
        "test_event_type",
        "[Notifly] a",
        "[Appboy] b",
    ),
    "user_id": ("some user id", None, "null", 12345, 0, 2**64),
    "event_name": ("Sign Up", "_identify", 5),
    "server_upload_time": (
        *(stamp(at + timedelta(microseconds=n)) for at in (MONTH_END, LEAP_DAY_END, YEAR_END) for n in (0, 1)),
        "2026-02-01 08:59:59.999999+09:00",
        "2026-01-31T20:00:00-0400",
        "0001-01-01 00:00:00",
        "2011-12-31 23:59:59.999999",
        "2012-01-01 00:00:00",
        "9999-12-31T23:59:59-01:00",
        "2025-02-29 00:00:00",
        "soon",
        None,
        MISSING,
        1773567029753,
    ),
    "processed_time": ("2026-03-15 09:30:31.609000", "2026-03-15 13:02:10.000000", MISSING),
    "city": ("Hemel Hempstead", None, "\udc00"),
}
VALID, OTHER = encode(event()), encode(event(app=OTHER_PROJECT, uuid="other"))
BROKEN = (
    *(b"", b" \n", VALID[:-1], VALID + VALID[:-1], b"[" + VALID + b"]", b"null", b"\xff", b"[" * 5000, b"{}"),
    encode(user_update()),
    encode(user_update(app=None)),
    encode(cohort()),
    b"\xef\xbb\xbf" + VALID + b"\n" + OTHER,
    gzip.compress(VALID + b"\n" + OTHER)[:-3],
    b'{"app":434735,"app":434735,"event_type":"a"}',
    b'{"\\u0061pp":1,"app":434735,"event_type":"a"}',
    b'{"app":434735,"event_type":"a","uuid":"x","uuid":null}',
    b'{"app":434735,"event_type":"a","event_type":"a"}',
    b'{"app":434735,"event_type":"a","user_id":"x","user_id":"x"}',
    b'{"app":434735,"event_type":"a","device_id":"x","device_id":"d","$insert_id":null,"$insert_id":"i"}',
    b'{"app":434735,"event_type":"a","$insert_id":"i","device_id":"d"}',
    b'{"app":NaN}',
    b'{"app":434735,"event_type":"a","x":"\xff","x":1}',
    b'{"app":434735,"event_type":"\\ud8zz"}',
)
ARRIVALS = (ARRIVAL, MONTH_END, MONTH_END + timedelta(microseconds=1), LEAP_DAY_END, YEAR_END)


RUNGS = [{}, {"uuid": None}, {"uuid": None, "$insert_id": None}, {"uuid": None, "device_id": None}]


def varied(choices: bytes) -> bytes:
    """A valid record of some rung with a few fields changed: every two bytes choose a field and its value."""
    pairs = [(pick(list(CHOICES), name), value) for name, value in zip(choices[::2], choices[1::2], strict=False)]
    changes = {name: pick(CHOICES[name], value) for name, value in pairs}
    return json.dumps(event(**pick(RUNGS, sum(choices)) | changes), separators=(",", ":")).encode()


deliveries = st.lists(
    st.tuples(
        st.one_of(*[st.binary(max_size=6).map(varied)] * 5, st.sampled_from(BROKEN)), st.sampled_from(ARRIVALS)
    ),
    min_size=5,
    max_size=25,
)


REGISTERED = [
    Project(
        PROJECT,
        (
            Link("acme", LEAP_DAY_END.replace(tzinfo=None), YEAR_END.replace(tzinfo=None)),
            Link("acme", MONTH_START.replace(tzinfo=None)),
        ),
    ),
    linked(OTHER_PROJECT, "globex"),
]


@given(deliveries)
def test_first_copies_are_what_the_oracle_expects(arrivals: list[tuple[bytes, datetime]]) -> None:
    expected = oracle.expect(arrivals, link_times(REGISTERED, {"gs72ns": PROJECT}))
    registry: Registry = {project.project_id: project for project in REGISTERED} | {"gs72ns": REGISTERED[0]}
    rows = [leaf.columns for data, at in arrivals for leaf in leaves(data, at.replace(tzinfo=None), registry)]
    stored: dict[tuple[int, bytes], dict[str, Any]] = {}
    for row in rows:
        if row["kind"] == Kind.EVENT:
            stored.setdefault((row["project_id"], row["identity_hash"]), row)
    assert [(row["project_id"], row["identity_rung"], row["name"], row["month"]) for row in stored.values()] == [
        (first.project_id, first.identity[0], first.name, first.month) for first in expected.events.values()
    ]
    assert Counter((row["project_id"], row["month"]) for row in stored.values()) == expected.usage
    assert Counter(row["project_id"] for row in rows if row["kind"] == Kind.EVENT) == expected.records
    assert Counter((row["kind"], row["reason"]) for row in rows if row["reason"]) == expected.dead_letters
    assert Counter(row["project_id"] for row in rows if row["reason"] == "unknown_project") == expected.quarantined
    updates = [(row["project_id"], row["identity"]) for row in rows if row["kind"] == Kind.USER_UPDATE]
    assert Counter(project_id for project_id, _ in updates) == expected.update_records
    assert Counter(project_id for project_id, _ in set(updates)) == expected.user_updates
    assert Counter(row["project_id"] for row in rows if row["kind"] == Kind.COHORT) == expected.cohorts
    assert len(rows) == expected.outcomes
