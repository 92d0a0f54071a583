"""What the properties draw: JSON values, records of every shape of docs/amplitude.md, and their bytes.

Some strategies draw a few bytes, each one a choice from a list: quick enough for many thousands of examples.
"""

import json
import math
import re
from base64 import b64encode
from datetime import datetime
from random import Random
from typing import Any, TypeAlias

from hypothesis import strategies as st

from lab.sample import mutate
from tests.builders import (
    EVENT_A,
    EVENT_B,
    EVENT_C,
    OTHER_PROJECT,
    PROJECT,
    UNKNOWN_PROJECT,
    cohort,
    encode,
    event,
    user_update,
)
from udfs.model import DOCUMENTED_COLUMNS

SEEDS = [encode(record) for record in (EVENT_A, EVENT_B, EVENT_C, event(), event(uuid=None, device_id=None))]
PIECES = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\0", b"\n", b"0", b"-", b".", b"e9"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"9" * 30, b"9" * 5000, b"-0", b'"a"', b"{}"),
    *(b'"app":', b"\\u0061pp", b'"app":1,', b'"uuid":null,', b'"event_type":7,', b'"$identify"', b'"":'),
    *(b"\\ud83d", b"\\udc00", b"\\u00", b"\\ud8", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", "밤".encode()),
    *(b"9999-12-31 23:59:59-01:00", b"0001-01-01T00:00:00+09:00", b'{"a":' * 30, b'{"a":' * 70, b"[" * 3000),
    *(b"\n{", b"}{", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\xf3\x89\x9a\xc2", b'"cohort_id":1,"users":[],'),
]
NAMES = ["app", "app", r"\u0061pp", "event_type", "event_type", "uuid", "user_id", "$insert_id", "device_id",
         "event_id", "event_time", "client_event_time", "server_upload_time", "location_lat", "data", "plan",
         "city", "paying", "$schema", "x", "", r"\ud83d", "a\\\\.b", "event_name", "created_at", "y"]  # fmt: skip
TEXTS = ["434735", "434735", '"434735"', '"a"', '"a"', "null", "true", "1", "-0", "1.0", "0.10", "1e999", "9" * 25,
         "NaN", '""', '"$identify"', "{}", "[]", '{"b":[NaN,{"a":1e-9}],"a":"\\udc00"}', '[["\\ud83d\\ude00"]]',
         '"2026-01-01 00:00:00"', '"2026-01-31T23:59:59.999999-09:00"', '"\\u0000"', '"밤"', '"unknown"',
         '{"a":"\\\\ud83d\\ude00"}', '{"a":"\\ud83d\\ude00\\ude00\\\\\\ud83d\\ude00"}']  # fmt: skip


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

texts = st.sampled_from(
    ("a", "밤편지 😀", "\0\n", '\\"/', "", "{}", "7", "\ud83d", "\udc00b", "a\\ud83d", "Unknown", "lMY47d", "-1")
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
IDENTITY = {"device_id", "$insert_id", "event_id", "client_event_time"}
COLUMN_OF = {"$insert_id" if name == "insert_id" else name: name for name in DOCUMENTED_COLUMNS}
WITHOUT_COLUMN = ("$schema", "$insert_key", "paying", "sample_rate", "amplitude_attribution_ids", "partner_id")
UNKNOWN = ("insert_id", "App", "extra", "kind", "month", "derived_properties", "", "a.b", "\ud83d", "밤")

documented_field = st.sampled_from(list(COLUMN_OF)).flatmap(
    lambda name: st.tuples(st.just(name), st.none() | DOCUMENTED[DOCUMENTED_COLUMNS[COLUMN_OF[name]]])
)
field_without_column = st.tuples(st.sampled_from(WITHOUT_COLUMN), scalars)
odd_field = st.tuples(st.sampled_from((*COLUMN_OF, *WITHOUT_COLUMN, *UNKNOWN)), values)

Pairs: TypeAlias = list[tuple[str, Any]]


def as_event(fields: Pairs, place: int) -> Pairs:
    """The fields around an `app` and an `event_type`; of those that may stand once only the first."""
    once, seen = ONCE | IDENTITY, set(HEAD)
    kept = [pair for pair in fields if pair[0] not in once or not (pair[0] in seen or seen.add(pair[0]))]
    return [*kept[:place], *HEAD.items(), *kept[place:]]


documented_events = st.builds(
    as_event, st.lists(documented_field | field_without_column, max_size=5), st.integers(0, 5)
)
odd_events = st.builds(as_event, st.lists(documented_field | odd_field, min_size=1, max_size=5), st.integers(0, 5))
any_event = documented_events | odd_events
whole_events = st.builds(lambda base, pairs: list((base | dict(pairs)).items()),
                         st.sampled_from((EVENT_A, EVENT_B, EVENT_C, event())), any_event)  # fmt: skip

OPERATORS = ("$set", "$setOnce", "$add", "$append", "$prepend", "$preInsert", "$postInsert", "$remove", "$unset",
             "$clearAll")  # fmt: skip
who = st.fixed_dictionaries({}, optional={"user_id": texts | st.none(), "device_id": texts | st.none()})
ABOUT = {"groups": objects, "platform": texts, "country": texts, "paying": texts, "server_upload_time": times}
about = st.fixed_dictionaries({}, optional=ABOUT)
changes = objects | st.dictionaries(st.sampled_from(OPERATORS), objects | st.just("-"), min_size=1, max_size=3)
groups = st.fixed_dictionaries({"group_type": texts, "group_value": texts, "group_properties": changes})


def shaped(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Pairs]:
    """A user update with these fields, and with what may stand in any."""
    return st.builds(lambda *parts: [pair for part in parts for pair in part.items()],
                     st.fixed_dictionaries(fixed), who, about)  # fmt: skip


apps = st.sampled_from((PROJECT, PROJECT, str(PROJECT), 203138, None, True, float(PROJECT)))
identifies = st.sampled_from(("$identify", "_identify"))
user_updates = st.one_of(
    shaped(app=apps, event_type=identifies, user_properties=objects),
    shaped(app=apps, event_type=identifies, user_properties=changes),
    shaped(user_properties=changes, user_id=texts),
    shaped(app=apps, event_type=st.just("$groupidentify"), group_properties=changes),
    groups.map(lambda group: list(group.items())),
)

seconds = st.integers(1_500_000_000, 2_000_000_000)
computed = st.sampled_from((1, 1000)).flatmap(lambda scale: seconds.map(lambda at: at * scale))
members = st.lists(
    st.builds(
        lambda user, more: {"user_id": user} | more,
        texts,
        st.fixed_dictionaries({}, optional={"user_properties": objects}),
    ),
    max_size=3,
)
COHORT = {
    "cohort_name": texts,
    "cohort_id": st.sampled_from(("gs72ns", "gs72ns", "gs72ns", "others", "")) | texts,
    "in_cohort": st.booleans(),
    "message_id": texts,
    "users": members,
}
cohorts = st.builds(
    lambda spelling, at, fields: [(spelling, at), *fields.items()],
    st.sampled_from(("computed_time", "compute_time")),
    computed | computed.map(str),
    st.fixed_dictionaries(COHORT),
)


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
record_pairs = st.one_of(whole_events, any_event, whole_events, user_updates, cohorts)
records = st.builds(written, record_pairs, styles)

DONORS = [
    encode(record)
    for record in (
        *(event(app=app, uuid=f"donor-{app}") for app in (PROJECT, OTHER_PROJECT, UNKNOWN_PROJECT)),
        event(app=OTHER_PROJECT, server_upload_time="2023-12-31 23:59:59", uuid=None),
        event(event_type="[Notifly] push_delivered"),
        user_update(app=OTHER_PROJECT),
        user_update(app=None),
        cohort(),
    )
]


def field_added(rng: Random, payload: bytes, _: object) -> bytes:
    """A field more, known or not, in front of the others or behind them."""
    field = f'"{rng.choice(NAMES)}":{rng.choice(TEXTS)}'.encode()
    if rng.random() < 0.5:
        return payload.replace(b"{", b"{" + field + b",", 1)
    head, brace, tail = payload.rpartition(b"}")
    return head + b"," + field + brace + tail


def field_changed(rng: Random, payload: bytes, _: object) -> bytes:
    """One field of the object with another value, under another name, or left out."""
    try:
        record = json.loads(payload)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not record:
        return payload
    value = record.pop(rng.choice(list(record)))
    name = rng.choice(
        (*sorted(ONCE), *sorted(IDENTITY), "server_upload_time", "cohort_id", "users", "event_properties")
    )
    if rng.random() < 0.7:
        record[name] = rng.choice((value, None, True, -1, "some app id", "a\ud83d", "[Appboy] a", PROJECT, {}, []))
    return json.dumps(record).encode()


def in_base64(_: Random, payload: bytes, __: object) -> bytes:
    return b64encode(payload)


def as_text(_: Random, payload: bytes, __: object) -> bytes:
    """JSON in a JSON text."""
    return json.dumps(payload.decode(errors="replace")).encode()


def all_escaped(_: Random, payload: bytes, __: object) -> bytes:
    r"""Every character of every string as \uXXXX, those of the names included."""
    return re.sub(rb'"((?:[^"\\]|\\.)*)"', _escaped, payload, flags=re.DOTALL)


def _escaped(found: re.Match[bytes]) -> bytes:
    try:
        units = json.loads(found[0]).encode("utf-16-be", "surrogatepass")
    except ValueError:
        return found[0]
    return b'"%s"' % "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)).encode()


MUTATORS = (*mutate.MUTATORS, *[field_added, field_changed] * 3, mutate.wrap, all_escaped, in_base64, as_text)


def mutant(rng: Random, payload: bytes) -> bytes:
    """One to three changes in a row."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        payload = rng.choice(MUTATORS)(rng, payload, DONORS)
    return payload
