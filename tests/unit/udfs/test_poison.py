"""Every row of docs/amplitude.md §8.3 by its name: what may come, and the whole outcome that it must have.

Handled otherwise than that section proposes, on purpose: numbers in property objects and in `extra` keep their
spelling as JSON text, so none is lost or rounded and none becomes a string (docs/decisions/0008); a record of no
bytes is a dead letter and is not dropped; a duplicate where no rule looks is counted when a record is read the
careful way, while the quick way, which takes the last one as well, neither sees it nor looks at its bytes; zeros
in front of a project id in digits do not matter.
"""

import json
import re
from datetime import datetime
from pathlib import Path

from tests.builders import EVENT_C, MISSING, PROJECT, cohort, encode, event, user_update
from tests.cases import each
from tests.poison import (
    PLAIN,
    Outcome,
    app_invalid,
    behind,
    dead,
    extra,
    named,
    outcomes,
    refused,
    spelled,
    synced,
    taken,
    updated,
)
from tests.poison_bytes import BYTES, Rows
from udfs import ids
from udfs.model import Reason, Repair

CONTRACT = Path(__file__).resolve().parents[3] / "docs" / "amplitude.md"
MIB = 2**20
at = datetime.fromisoformat
UPDATE = user_update(user_properties={"$set": {"a": 1}, "plain": 2})
IDENTIFY = {"app": PROJECT, "user_id": "u", "user_properties": {"$add": {}, "x": 1}}
SAMPLE = {"event_type": "test_event_type", "user_id": "some user id", "app": "some app id"}
TEST = "Amplitude's test of the connection"
ID_FROM_NUMBER = "id_from_number:user_id"


def container(**columns: object) -> list[Outcome]:
    """The plain event with one value that is no object: an empty one in its place, the value in `extra`."""
    return [extra(Repair.CONTAINER_EXPECTED, **columns)[0] | dict.fromkeys(columns, "{}")]


FIELDS: Rows = {
    'non-object JSON (`null`, `1`, `"x"`)': {
        text: refused(Reason.NOT_AN_OBJECT, f"starts with {text!r}", text.encode())
        for text in ("null", "1", '"x"', "true", "-0.5e9", "NaN")
    },
    "`app` null / missing / string / float / bool / negative": {
        "null": refused(Reason.APP_MISSING, "no app, or null", encode(event(app=None))),
        "missing": refused(Reason.APP_MISSING, "no app, or null", encode(event(app=MISSING))),
        "digits": (spelled(app='"434735"'), taken()),
        "float": app_invalid("434735.0"),
        "exponent": app_invalid("4.34735e5"),
        "true": app_invalid("true"),
        "negative": app_invalid("-434735"),
        "text": app_invalid('"acme"'),
        "text of a sign": app_invalid('"+434735"'),
        "list": app_invalid("[434735]"),
        "inside": refused(
            Reason.APP_MISSING,
            "no app, or null",
            encode(event(app=MISSING, event_properties={"app": PROJECT}, data={"app": PROJECT})),
        ),
    },
    "unknown fields": {
        "scalars": (behind('"a":1,"b":"2","c":true,"d":null'), taken(extra='{"a":1,"b":"2","c":true}')),
        "objects": (
            behind('"derived_properties":{"a":[1.0,{}]},"lookup_properties":[]'),
            taken(extra='{"derived_properties":{"a":[1.0,{}]},"lookup_properties":[]}'),
        ),
        "names of ours": (behind('"month":"2020-01","identity":"x"'),
                          taken(extra='{"month":"2020-01","identity":"x"}')),
    },
    "wrong-typed containers": {
        "null": (spelled(user_properties="null"), taken(user_properties="{}")),
        "text": (spelled(user_properties='"{}"'), container(user_properties="{}")),
        "list": (spelled(groups='[{"a":1}]'), container(groups=[{"a": 1}])),
        "number": (spelled(data="0"), container(data=0)),
        "false": (spelled(event_properties="false"), container(event_properties=False)),
        "an object for a text": (spelled(city='{"a":1}'), extra("wrong_type", city={"a": 1})),
    },
    "timestamps odd": {
        "null": (spelled(event_time="null"), taken(event_time=None)),
        "a T and a zone": (spelled(event_time='"2026-03-15T18:30:28.583+09:00"'), taken()),
        "nine digits": (spelled(event_time='"2026-03-15 09:30:28.583000400"'), taken()),
        "no fraction": (spelled(event_time='"2026-03-15 09:30:28"'), taken(event_time=at("2026-03-15 09:30:28"))),
        "year 1": (spelled(event_time='"0001-01-01 00:00:00"'), taken(event_time=at("0001-01-01"))),
        "year 9999": (
            spelled(event_time='"9999-12-31 23:59:59.999999"'),
            taken(event_time=at("9999-12-31 23:59:59.999999")),
        ),
        "before year 1": (
            spelled(event_time='"0001-01-01T00:00:00+09:00"'),
            extra("timestamp_unreadable", event_time="0001-01-01T00:00:00+09:00"),
        ),
        "after year 9999": (
            spelled(event_time='"9999-12-31T23:59:59-01:00"'),
            extra("timestamp_unreadable", event_time="9999-12-31T23:59:59-01:00"),
        ),
        "year 0": (
            spelled(event_time='"0000-01-01 00:00:00"'),
            extra("timestamp_unreadable", event_time="0000-01-01 00:00:00"),
        ),
        "epoch": (spelled(event_time="1773567028583"), extra("timestamp_unreadable", event_time=1773567028583)),
        "text": (spelled(event_time='"soon"'), extra("timestamp_unreadable", event_time="soon")),
        "the future, of a device": (
            spelled(client_event_time='"2099-01-01 00:00:00"'), taken(client_event_time=at("2099-01-01"))
        ),
        "the future, of Amplitude": (
            spelled(server_upload_time='"2099-01-01 00:00:00"'),
            extra("timestamp_implausible", server_upload_time="2099-01-01 00:00:00"),
        ),
        "year 1, of Amplitude": (
            spelled(server_upload_time='"0001-01-01 00:00:00"'),
            extra("timestamp_implausible", server_upload_time="0001-01-01 00:00:00"),
        ),
    },
    "very long `event_type`": {
        str(length): (encode(event(event_type="밤" * length)), named("밤" * length))
        for length in (256, 1024, 9999)
    },
    "empty or sentinel ids": {
        **{
            f"user_id {word!r}": (encode(event(user_id=word)), extra("sentinel_id", user_id=word))
            for word in (*ids.NOBODY, "NONE", "nA", "uNDEFINED")
        },
        "user_id an integer": (spelled(user_id="2016192872"), taken(user_id="2016192872", repairs=ID_FROM_NUMBER)),
        "user_id beyond 64 bits": (spelled(user_id="9" * 20), taken(user_id="9" * 20, repairs=ID_FROM_NUMBER)),
        "user_id a number for none": (spelled(user_id="-1"), extra("sentinel_id", user_id=-1)),
        "user_id a float": (spelled(user_id="7.0"), extra("wrong_type", user_id=7.0)),
        "user_id true": (spelled(user_id="true"), extra("wrong_type", user_id=True)),
        "user_id empty": (encode(event(user_id="")), taken(user_id=None)),
        "device_id of zeros": (
            encode(event(device_id="00000000-0000-0000-0000-000000000000")),
            extra("sentinel_id", device_id="00000000-0000-0000-0000-000000000000"),
        ),
        "insert_id": (
            encode(event(**{"$insert_id": "null"})),
            taken(insert_id=None, extra='{"$insert_id":"null"}', repairs="sentinel_id:$insert_id"),
        ),
    },
    "Identify operator + plain mix": {
        "event-shaped": (encode(UPDATE), updated(UPDATE, "$identify")),
        "Identify API": (encode(IDENTIFY), updated(IDENTIFY, "$identify")),
    },
    "cohort: both spellings of compute time; number instead of string; ms instead of s; `users` empty or huge; "
    "unknown cohort_id": {
        "compute_time": synced(computed_time=MISSING, compute_time="1685748245"),
        "a number": synced(computed_time=1685748245),
        "milliseconds": synced(computed_time="1685748245000"),
        "no users": synced(users=[]),
        "10 000 users": synced(users=[{"user_id": "u"}] * 10_000),
        "a cohort of nobody": refused(
            Reason.COHORT_INVALID, "cohort_id is null, not a name", encode(cohort(cohort_id=None))
        ),
        "cohort_id missing": refused(
            Reason.COHORT_INVALID, "cohort_id is null, not a name", encode(cohort(cohort_id=MISSING))
        ),
        "users missing": refused(
            Reason.COHORT_INVALID, "users is null, not a list", encode(cohort(users=MISSING))
        ),
        "an unknown one": refused(
            Reason.UNKNOWN_COHORT, 'no project has registered cohort "x"', encode(cohort(cohort_id="x"))
        ),
        "no time": refused(
            Reason.COHORT_INVALID,
            'computed_time is "soon", not seconds, milliseconds or microseconds since 1970',
            encode(cohort(computed_time="soon")),
        ),
    },
    "test-connection record": {
        "of the documentation": refused(Reason.TEST_RECORD, TEST, encode(SAMPLE)),
        "with a real app": (
            tested := encode(SAMPLE | {"app": PROJECT}),
            dead(Reason.TEST_RECORD, TEST, tested, PROJECT, "amplitude__test_event_type"),
        ),
        "with an event's fields": refused(Reason.TEST_RECORD, TEST, encode(event(**SAMPLE))),
    },
    "late storm": {
        "after four hours": (
            spelled(server_upload_time='"2026-03-15 05:30:29.753000"'),
            taken(server_upload_time=at("2026-03-15 05:30:29.753000")),
        ),
        "an import of old events": (
            spelled(event_time='"2019-01-01 00:00:00"', client_event_time='"2019-01-01 00:00:00"'),
            taken(event_time=at("2019-01-01"), client_event_time=at("2019-01-01")),
        ),
        "from another month": (
            spelled(server_upload_time='"2026-02-28 23:59:59.999999"'),
            taken(server_upload_time=at("2026-02-28 23:59:59.999999"), month="2026-02"),
        ),
    },
}  # fmt: skip
ROWS = BYTES | FIELDS
CASES = {f"{row}: {name}": case for row, cases in ROWS.items() for name, case in cases.items()}


@each(("payload", "expected"), CASES.values(), ids=CASES)
def test_each_row_of_the_contract_is_handled_as_it_says(payload: bytes, expected: list[Outcome]) -> None:
    assert outcomes(payload) == expected


def test_no_row_of_the_contract_is_missing() -> None:
    section = CONTRACT.read_text(encoding="utf-8").partition("\n### 8.3 ")[2].partition("\n### ")[0]
    head, *rows = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    assert (head, rows) == ("Input", list(ROWS))


def test_the_plain_event_has_no_repairs_and_nothing_extra() -> None:
    assert (PLAIN["kind"], PLAIN["repairs"], PLAIN["extra"]) == ("event", None, None)


def test_the_public_record_with_colliding_keys_keeps_them_all() -> None:
    (row,) = outcomes(encode(EVENT_C))
    assert json.loads(row["user_properties"]) == EVENT_C["user_properties"]
