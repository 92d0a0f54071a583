"""Inputs of the kinds that others have reported, each with its right row: tests/fixtures/reported."""

from datetime import datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from ops.cli.explain_record import explain_record
from stores.project import Link, Project, linked
from tests.builders import ARRIVAL, PROJECT, encode, event
from tests.cases import each
from udfs.attribute import Registry
from udfs.decode import decode
from udfs.model import DECODED

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "reported"
ACME: Registry = {PROJECT: linked(PROJECT, "acme"), "gs72ns": linked(PROJECT, "acme")}
LATER: Registry = {PROJECT: Project(PROJECT, (Link("acme", datetime.fromisoformat("2026-03-16")),))}
ARRIVED = "arrived (server_upload_time is {}) 2026-03-15 09:30:33.250000 UTC, "
LINKED = "app 434735 was linked 2026-03-16 00:00:00 UTC"


def decoded(payload: bytes, registry: Registry = ACME) -> dict[str, Any]:
    return dict(zip(DECODED, decode(payload, ARRIVAL.replace(tzinfo=None), registry), strict=True))


@each(
    ("uploaded", "why"),
    [
        ("2022:05:27 01:02:42.047099", 'no timestamp: "2022:05:27 01:02:42.047099"'),
        (1653613362, "no timestamp: 1653613362"),
        ("2026-03-17 00:00:00", "implausible: 2026-03-17 00:00:00"),
        ("2011-12-31 23:59:59.5", "implausible: 2011-12-31 23:59:59.500000"),
        (None, "absent"),
    ],
)
def test_a_dead_letter_by_arrival_says_what_is_wrong_with_the_upload(uploaded: object, why: str) -> None:
    for city in ("Seoul", 7):  # by the quick way and by the careful one
        row = decoded(encode(event(server_upload_time=uploaded, city=city)), LATER)
        assert (row["reason"], row["detail"]) == ("before_link", ARRIVED.format(why) + LINKED)


def test_an_upload_of_another_form_is_named_with_its_field() -> None:
    row = decoded((FIXTURES / "c1_upload.json").read_bytes())
    assert (row["kind"], row["month"], row["server_upload_time"]) == ("event", "2026-03", None)
    assert row["repairs"] == "timestamp_unreadable:processed_time timestamp_unreadable:server_upload_time"


def test_an_integer_names_the_user_whom_an_update_is_about() -> None:
    row = decoded((FIXTURES / "identify_integer_user.json").read_bytes())
    assert (row["kind"], row["user_id"], row["to_profile"]) == ("user_update", "2016192872", True)
    assert row["repairs"].split()[0] == "id_from_number:user_id"


@each(
    ("name", "repairs"),
    [
        ("cohort_integer_user.json", "id_from_number:user_id"),
        ("cohort_future_time.ndjson", "timestamp_implausible:computed_time"),
    ],
)
def test_what_is_mended_in_a_cohort_message_is_seen(name: str, repairs: str) -> None:
    row = decoded((FIXTURES / name).read_bytes().splitlines()[0])
    assert (row["kind"], row["repairs"]) == ("cohort", repairs)


REQUEST = {"api_key": "5ec2e7", "events": [event()]}


def test_rows_of_amplitude_that_are_no_stream_have_reasons_of_their_own() -> None:
    merged = decoded((FIXTURES / "c4_merge_ids.json").read_bytes())
    assert (merged["kind"], merged["reason"]) == ("rejected", "merged_ids")
    request = decoded(encode(REQUEST))
    assert (request["reason"], request["project_id"]) == ("api_request", None)
    assert request["detail"] == "the body of a request to one of Amplitude's APIs"


@each(
    ("name", "words"),
    [
        ("c1_upload.json", "of its arrival: server_upload_time cannot be used"),
        ("c1_upload.json", "mended: timestamp_unreadable:server_upload_time"),
        ("c4_merge_ids.json", "rejected: merged_ids"),
        ("cohort_future_time.ndjson", "mended: timestamp_implausible:computed_time, 1 record."),
        ("cohort_integer_user.json", "mended: id_from_number:user_id"),
        ("identify_integer_user.json", "merged into the profile of 2016192872\n  mended: id_from_number:user_id"),
    ],
)
def test_explain_record_names_what_is_odd(name: str, words: str) -> None:
    assert words in CliRunner().invoke(explain_record, [str(FIXTURES / name)]).stdout


def test_explain_record_says_when_the_upload_is_absent() -> None:
    for sent in ({}, {"server_upload_time": None}):
        record = encode({"app": PROJECT, "event_type": "Play", **sent})
        stdout = CliRunner().invoke(explain_record, ["-"], input=record).stdout
        assert ", of its arrival: server_upload_time is absent" in stdout


KEY = "0123456789abcdef0123456789abcdef"


@each(
    ("payload", "reason"),
    [
        (encode({"app": KEY, "event_type": "Play"}), "app_invalid"),
        (encode({"app": {"api_key": KEY}, "event_type": "Play"}), "app_invalid"),
        (encode({"app": PROJECT, "event_type": {"api_key": KEY}}), "event_type_invalid"),
        (encode({"cohort_id": {"api_key": KEY}, "users": []}), "cohort_invalid"),
        (encode(KEY), "not_an_object"),
        (encode({"api_key": KEY, "user_id": "u", "user_properties": {}}), "api_request"),
        (f'api_key={KEY}&identification=[{{"user_id":"u"}}]'.encode(), "api_request"),
        (f"api_key={KEY}&event=%5B%7B%7D%5D".encode(), "api_request"),
        (f"event=%5B%7B%7D%5D&api_key={KEY}".encode(), "api_request"),
        (f"\napi_key={KEY}&event=%5B%7B%7D%5D\n".encode(), "api_request"),
    ],
)
def test_no_detail_shows_a_key(payload: bytes, reason: str) -> None:
    row = decoded(payload)
    assert row["reason"] == reason
    assert KEY[:8] not in row["detail"]


@each("spelled", [r"\u0000", r"null\u0000", r"\u0000Unknown"])
def test_an_id_that_is_nobody_without_its_nuls_is_none(spelled: str) -> None:
    row = decoded(f'{{"app":434735,"event_type":"a","uuid":"{spelled}","user_id":"{spelled}"}}'.encode())
    assert (row["uuid"], row["user_id"], row["identity_rung"]) == (None, None, 4)
    update = f'{{"app":434735,"event_type":"$identify","user_id":"{spelled}","user_properties":{{"a":1}}}}'
    assert decoded(update.encode())["to_profile"] is False


@each("key", ["cohort_id", "in_cohort", "computed_time", "users"])
def test_a_cohort_message_that_says_two_things_is_refused(key: str) -> None:
    whole = '{"cohort_id":"gs72ns","in_cohort":true,"computed_time":"1773567000","users":[]'
    twice = {"cohort_id": '"x"', "in_cohort": "false", "computed_time": '"1"', "users": "[]"}[key]
    row = decoded(f'{whole},"{key}":{twice}}}'.encode())
    assert (row["reason"], row["detail"]) == ("duplicate_key", f"{key} stands 2 times")


@each("key", ["event_name", "compute_time"])
def test_what_takes_the_place_of_a_field_may_be_there_once_as_well(key: str) -> None:
    twice = f'{{"app":434735,"cohort_id":"gs72ns","{key}":"1","{key}":"2"'
    assert decoded(f"{twice}}}".encode())["detail"] == f"{key} stands 2 times"
    beside = f'{twice},"event_type":"a","computed_time":"1"}}'
    assert decoded(beside.encode())["kind"] == "event"


@each("computed", ['"1_764_000_000"', '" 1764000000 "', '"١٧٦٤٠٠٠٠٠٠"', '"2026-11-27 06:00:00"'])
def test_a_cohorts_time_is_a_plain_number(computed: str) -> None:
    row = decoded(f'{{"cohort_id":"gs72ns","in_cohort":true,"computed_time":{computed},"users":[]}}'.encode())
    assert row["reason"] == "cohort_invalid"
    assert row["detail"].endswith("not seconds, milliseconds or microseconds since 1970")
