"""Any bytes get one row with a named outcome; nothing of an event is lost; the whole agrees with the oracle."""

import json
import math
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from stores.projects import Project
from tests import oracle
from tests.builders import (
    ARRIVAL,
    DEVICE,
    EVENT_A,
    EVENT_B,
    EVENT_C,
    INSERT_ID,
    LEAP_DAY_END,
    MISSING,
    MONTH_END,
    OTHER_PROJECT,
    PROJECT,
    UNKNOWN_PROJECT,
    UUID,
    YEAR_END,
    Record,
    encode,
    event,
    stamp,
)
from udfs import events, parse
from udfs.attribute import Registry
from udfs.decode import as_series, decode
from udfs.model import DECODED, EXPORT_COLUMNS, Kind

REGISTRY: Registry = {PROJECT: Project(PROJECT, "acme"), OTHER_PROJECT: Project(OTHER_PROJECT, "globex")}
NAIVE_ARRIVAL = ARRIVAL.replace(tzinfo=None)

KINDS = set(Kind)
JSON_COLUMNS = {name for name, kind in DECODED.items() if kind is dict}


def row_of(payload: bytes) -> dict[str, Any]:
    return dict(zip(DECODED, decode(payload, NAIVE_ARRIVAL, REGISTRY), strict=True))


# One draw of a few bytes per payload, each byte a choice: quick enough for many thousands.

SEEDS = [encode(record) for record in (EVENT_A, EVENT_B, EVENT_C, event(), event(uuid=None, device_id=None))]
PIECES = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\0", b"\n", b"0", b"-", b".", b"e9"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"9" * 30, b"9" * 5000, b"-0", b'"a"', b"{}"),
    *(b'"app":', b"\\u0061pp", b'"app":1,', b'"uuid":null,', b'"event_type":7,', b'"$identify"', b'"":'),
    *(b"\\ud83d", b"\\udc00", b"\\u00", b"\\ud8", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", "밤".encode()),
    *(b"9999-12-31 23:59:59-01:00", b"0001-01-01T00:00:00+09:00", b'{"a":' * 30, b"[" * 3000),
]
NAMES = ["app", "app", r"\u0061pp", "event_type", "event_type", "uuid", "user_id", "$insert_id", "device_id",
         "event_id", "event_time", "client_event_time", "server_upload_time", "location_lat", "data", "plan",
         "city", "paying", "$schema", "x", "", r"\ud83d", "a\\\\.b"]  # fmt: skip
TEXTS = ["434735", "434735", '"434735"', '"a"', '"a"', "null", "true", "1", "-0", "1.0", "0.10", "1e999", "9" * 25,
         "NaN", '""', '"$identify"', "{}", "[]", '{"b":[NaN,{"a":1e-9}],"a":"\\udc00"}', '[["\\ud83d\\ude00"]]',
         '"2026-01-01 00:00:00"', '"2026-01-31T23:59:59.999999-09:00"', '"\\u0000"', '"밤"']  # fmt: skip


def pick(options: list[Any], choice: int) -> Any:
    return options[choice % len(options)]


def spoilt_event(choices: bytes) -> bytes:
    """A valid record of which up to three stretches were flipped, cut out or overwritten."""
    payload = pick(SEEDS, len(choices))
    for high, low, length, piece in zip(*[iter(choices)] * 4, strict=False):
        at = (high << 8 | low) % (len(payload) + 1)
        payload = payload[:at] + pick([*PIECES, b""], piece) + payload[at + pick([0, 1, 2, 9, 300], length) :]
    return payload


def object_of(choices: bytes) -> bytes:
    """An object of known, doubled and disguised names with right and wrong values."""
    pairs = zip(choices[::2], choices[1::2], strict=False)
    return ("{" + ",".join(f'"{pick(NAMES, name)}":{pick(TEXTS, text)}' for name, text in pairs) + "}").encode()


def nested(choices: bytes) -> bytes:
    """A JSON value that is wrapped, by each byte once more, into a list or an object."""
    text = pick(TEXTS, len(choices))
    for choice in choices:
        other = pick(TEXTS, choice)
        text = f"[{other},{text}]" if choice % 2 else f'{{"{pick(NAMES, choice)}":{text},"x":{other}}}'
    return text.encode()


def soup(choices: bytes) -> bytes:
    """Pieces of JSON without a grammar."""
    return b"".join(pick(PIECES, choice) for choice in choices)


FORMS = [bytes, spoilt_event, spoilt_event, object_of, nested, soup]


def anything(choices: bytes) -> bytes:
    return pick(FORMS, choices[0])(choices[1:]) if choices else b""


any_bytes = st.binary(max_size=16).map(anything)
objects_of_anything = st.binary(max_size=12).map(object_of)


@settings(max_examples=max(10_000, settings.default.max_examples))
@given(any_bytes)
def test_any_bytes_get_one_row_with_a_named_outcome(payload: bytes) -> None:
    row = row_of(payload)
    assert row["kind"] in KINDS
    assert (row["reason"] is None) == (row["kind"] == "event") == (row["identity_hash"] is not None)
    assert row["reason"] != "internal_error", row["detail"]
    if row["kind"] == "event":
        as_series([tuple(row.values())])  # a value that Arrow refuses would kill the worker with its whole batch
    else:
        row["detail"].encode()


texts = st.sampled_from(
    ("a", "밤편지 😀", "\0\n", '\\"/', "", "{}", "7", "\ud83d", "\udc00b", "a\\ud83d")
) | st.text(max_size=8)
integers = st.sampled_from((0, -1, 1752748588583, 2**63 - 1, -(2**63))) | st.integers(-(2**63), 2**63 - 1)
floats = st.sampled_from((0.0, -0.0, 1.0, 0.1, 1e300)) | st.floats(allow_nan=False, allow_infinity=False)
times = st.builds(
    lambda at, separator, zone: at.isoformat(sep=separator) + zone,
    st.datetimes(datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("2100-01-01")),
    st.sampled_from(" T"),
    st.sampled_from(("", "", "Z", "+09:00", "-0430")),
)
odd_scalars = st.sampled_from((None, True, False, 2**63, 10**25, -(10**400), math.nan, math.inf, -math.inf))
scalars = odd_scalars | integers | floats | texts
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(texts, scalars | st.lists(scalars), max_size=2)
objects = st.dictionaries(texts, values, max_size=2)
DOCUMENTED = {str: texts, int: integers, float: floats, datetime: times, dict: objects}

HEAD = {"app": PROJECT, "event_type": "Play Song"}
ONCE = {*HEAD, "uuid", "user_id"}
COLUMN_OF = {"$insert_id" if name == "insert_id" else name: name for name in EXPORT_COLUMNS}
WITHOUT_COLUMN = ("$schema", "$insert_key", "paying", "sample_rate", "amplitude_attribution_ids", "partner_id")
UNKNOWN = ("insert_id", "App", "extra", "kind", "month", "derived_properties", "", "a.b", "\ud83d", "밤")

documented_field = st.sampled_from(list(COLUMN_OF)).flatmap(
    lambda name: st.tuples(st.just(name), st.none() | DOCUMENTED[EXPORT_COLUMNS[COLUMN_OF[name]]])
)
field_without_column = st.tuples(st.sampled_from(WITHOUT_COLUMN), scalars)
odd_field = st.tuples(st.sampled_from((*COLUMN_OF, *WITHOUT_COLUMN, *UNKNOWN)), values)

Pairs: TypeAlias = list[tuple[str, Any]]


def as_event(fields: Pairs, place: int) -> Pairs:
    """The fields around an `app` and an `event_type`; of those that may stand once only the first."""
    seen = set(HEAD)
    kept = [pair for pair in fields if pair[0] not in ONCE or not (pair[0] in seen or seen.add(pair[0]))]
    return [*kept[:place], *HEAD.items(), *kept[place:]]


documented_events = st.builds(
    as_event, st.lists(documented_field | field_without_column, max_size=5), st.integers(0, 5)
)
odd_events = st.builds(as_event, st.lists(documented_field | odd_field, min_size=1, max_size=5), st.integers(0, 5))
any_event = documented_events | odd_events


def written(pairs: Pairs, style: int) -> bytes:
    """JSON text of the pairs, duplicates kept: compact or loose, escaped or not, keys at times in disguise."""
    gap = pick(["", "", "", " ", "\r\n\t"], style)
    body = f",{gap}".join(f"{key(name, style)}{gap}:{gap}{json_text(value, style)}" for name, value in pairs)
    return f"{gap}{{{gap}{body}{gap}}}{gap}".encode()


def json_text(value: Any, style: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # half an emoji has no bytes of its own: it can only be sent escaped
    return json.dumps(value) if style % 3 == 0 or re.search("[\ud800-\udfff]", text) else text


def key(name: str, style: int) -> str:
    if style % 7 == 0 and name in ONCE:
        return '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'
    return json_text(name, style)


styles = st.integers(0, 104)


def comparable(row: tuple[Any, ...]) -> dict[str, Any]:
    """The row by column, JSON text parsed to exact values."""
    named = dict(zip(DECODED, row, strict=True))
    return named | {name: exact(named[name]) for name in JSON_COLUMNS if named[name] is not None}


def exact(text: str) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=float)


@settings(max_examples=max(400, settings.default.max_examples))
@given(
    st.builds(written, documented_events, styles) | st.builds(written, odd_events, styles) | objects_of_anything
)
def test_the_quick_way_and_the_careful_way_agree(payload: bytes) -> None:
    found, careful = parse.parse(payload), parse._careful(payload)
    if isinstance(found, parse.Rejection):
        assert found == careful
        return
    owner = REGISTRY[PROJECT]
    assert not isinstance(careful, parse.Rejection)
    assert comparable(events.event_row(*found, payload, owner, NAIVE_ARRIVAL)) == comparable(
        events.event_row(*careful, payload, owner, NAIVE_ARRIVAL)
    )


def kept(value: Any) -> Any:
    """What must come back: half an emoji as U+FFFD, NaN and Infinity as null, the last of equal keys."""
    match value:
        case str():
            return re.sub("[\ud800-\udfff]", "\ufffd", joined(value))
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


@given(any_event, styles)
def test_every_field_of_an_event_can_be_read_back(pairs: Pairs, style: int) -> None:
    row = row_of(written(pairs, style))
    assert row["kind"] == Kind.EVENT
    assert (row["project_id"], row["name"]) == (PROJECT, "amplitude__Play Song")
    extra = exact(row["extra"] or "{}")
    for name, value in kept(dict(pairs)).items():
        if name in HEAD or value is None or (name in ("uuid", "user_id") and value == ""):
            continue
        in_column = row[COLUMN_OF[name]] if name in COLUMN_OF else None
        if name in extra:
            assert extra.pop(name) == value
            assert in_column in (None, "{}")
        elif isinstance(in_column, datetime):
            instant = datetime.fromisoformat(value)
            assert in_column.replace(tzinfo=UTC) == (instant if instant.tzinfo else instant.replace(tzinfo=UTC))
        elif COLUMN_OF[name] in JSON_COLUMNS:
            assert exact(in_column) == value
        else:
            assert in_column == value
    assert extra == {}


# Few values for each field that a rule looks at, so that records repeat and just miss each other.
CHOICES: Record = {
    "app": (PROJECT, PROJECT, PROJECT, OTHER_PROJECT, str(PROJECT), UNKNOWN_PROJECT, True, None, -1),
    "uuid": (UUID, UUID, "another", None, MISSING, "", 7),
    "device_id": (DEVICE, DEVICE, "another", None, ""),
    "$insert_id": (INSERT_ID, "another", None, "", MISSING, 7),
    "event_id": (135, 136, 135.0, "135", True, None, 2**63),
    "client_event_time": ("2026-03-15 09:30:28.583000", "2026-03-15 09:30:28.583001", None, 1773567028583),
    "event_type": ("Play Song", "Play Song", "Any Song", "밤편지", "\ud83d", "", None, "$identify", 5),
    "server_upload_time": (
        *(stamp(at + timedelta(microseconds=n)) for at in (MONTH_END, LEAP_DAY_END, YEAR_END) for n in (0, 1)),
        "2026-02-01 08:59:59.999999+09:00",
        "2026-01-31T20:00:00-0400",
        "0001-01-01 00:00:00",
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
VALID = encode(event())
BROKEN = (
    *(b"", b" \n", VALID[:-1], VALID + VALID, b"[" + VALID + b"]", b"null", b"\xff", b"[" * 5000, b"{}"),
    b'{"app":434735,"app":434735,"event_type":"a"}',
    b'{"\\u0061pp":1,"app":434735,"event_type":"a"}',
    b'{"app":434735,"event_type":"a","uuid":"x","uuid":null}',
    b'{"app":434735,"event_type":"a","event_type":"a"}',
    b'{"app":434735,"event_type":"a","user_id":"x","user_id":"x"}',
    b'{"app":434735,"event_type":"a","device_id":"x","device_id":"d","$insert_id":null,"$insert_id":"i"}',
    b'{"app":434735,"event_type":"a","$insert_id":"i","device_id":"d"}',
    b'{"app":NaN}',
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


@given(deliveries)
def test_first_copies_are_what_the_oracle_expects(arrivals: list[tuple[bytes, datetime]]) -> None:
    expected = oracle.expect(arrivals, set(REGISTRY))
    rows = [
        dict(zip(DECODED, decode(data, at.replace(tzinfo=None), REGISTRY), strict=True)) for data, at in arrivals
    ]
    stored: dict[tuple[int, bytes], dict[str, Any]] = {}
    for row in rows:
        if row["kind"] == Kind.EVENT:
            stored.setdefault((row["project_id"], row["identity_hash"]), row)
    assert [(row["project_id"], row["identity_rung"], row["name"], row["month"]) for row in stored.values()] == [
        (first.project_id, first.identity[0], first.name, first.month) for first in expected.events.values()
    ]
    assert Counter((row["project_id"], row["month"]) for row in stored.values()) == expected.usage
    assert Counter(row["project_id"] for row in rows if row["kind"] == Kind.EVENT) == expected.records
    assert Counter(row["reason"] for row in rows if row["kind"] == Kind.REJECTED) == expected.rejected
    assert Counter(row["project_id"] for row in rows if row["kind"] == Kind.QUARANTINED) == expected.quarantined
