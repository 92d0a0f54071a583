"""Cohort messages: their head, the clock in whatever unit, and their users one by one."""

from datetime import datetime

import pytest

from tests.builders import MISSING, USER, cohort, encode
from udfs import cohorts, parse
from udfs.cohorts import Entry, Message
from udfs.model import Reason, Rejection

COMPUTED = datetime.fromisoformat("2023-06-02 23:24:05")


def read(**changes: object) -> Message | Rejection:
    record = parse.read(encode(cohort(**changes)))
    assert not isinstance(record, Rejection)
    return cohorts.read(record.fields)


def test_a_message_as_documented() -> None:
    assert read() == Message("gs72ns", "Test Cohort", True, COMPUTED, "some-message-id:54")


@pytest.mark.parametrize(
    ("time", "computed"),
    [
        ("1685748245", COMPUTED),
        (1685748245, COMPUTED),
        (1685748245.0, COMPUTED),
        ("1685748245000", COMPUTED),
        (1685748245000000, COMPUTED),
        ("1685748245.25", COMPUTED.replace(microsecond=250_000)),
        (0, datetime.fromisoformat("1970-01-01")),
    ],
)
def test_seconds_milliseconds_and_microseconds_are_told_by_their_size(time: object, computed: datetime) -> None:
    for name in ("computed_time", "compute_time"):
        message = read(**{"computed_time": MISSING, name: time})
        assert isinstance(message, Message)
        assert message.computed_time == computed


@pytest.mark.parametrize("time", [None, True, "", "soon", "NaN", -1, 10**17, "9" * 31, [1], 1e300])
def test_what_is_no_time_since_1970_is_refused(time: object) -> None:
    found = read(computed_time=time)
    assert isinstance(found, Rejection)
    assert found.reason is Reason.COHORT_INVALID


@pytest.mark.parametrize(("name", "kept"), [("밤" * 2000, "밤" * 1000), ("", None), (7, None), (None, None)])
def test_a_name_is_text_and_not_endless(name: object, kept: str | None) -> None:
    message = read(cohort_name=name)
    assert isinstance(message, Message)
    assert message.cohort_name == kept


@pytest.mark.parametrize(
    ("user", "entry"),
    [
        ({"user_id": USER}, Entry(USER, None)),
        ({"user_id": USER, "user_properties": {"a": 1.50}}, Entry(USER, '{"a":1.5}')),
        ({"user_id": USER, "user_properties": "a"}, Entry(USER, None)),
        ({"user_id": "a\0b"}, Entry("ab", None)),
        ({"user_id": "unknown"}, Entry(None, None, '{"user_id":"unknown"}')),
        ({"user_id": 7}, Entry(None, None, '{"user_id":7}')),
        ("user", Entry(None, None, '"user"')),
        (None, Entry(None, None, "null")),
    ],
)
def test_an_entry_names_a_user_or_is_kept_as_it_is(user: object, entry: Entry) -> None:
    assert [one for _, one in cohorts.entries(encode(cohort(users=[user])))] == [entry]


def test_a_message_that_is_none_has_no_entries() -> None:
    assert list(cohorts.entries(b"[]")) == []
