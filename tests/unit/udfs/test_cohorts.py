"""Cohort messages: their head, the clock in whatever unit, and their users one by one."""

from datetime import datetime, timedelta
from pathlib import Path

from tests.builders import MISSING, USER, cohort, encode
from tests.cases import each
from udfs import cohorts, parse
from udfs.cohorts import Entry, Message
from udfs.model import Reason, Rejection

COMPUTED = datetime.fromisoformat("2023-06-02 23:24:05")
ARRIVAL = datetime.fromisoformat("2026-11-27 09:00:00.250")
DAY, MOMENT = timedelta(days=1), timedelta(microseconds=1)
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "reported"
IMPLAUSIBLE = {"timestamp_implausible:computed_time"}


def read(**changes: object) -> Message | Rejection:
    record = parse.record(encode(cohort(**changes)))
    assert not isinstance(record, Rejection)
    return cohorts.message_of(record.fields, ARRIVAL)


def test_a_message_as_documented() -> None:
    assert read() == Message("gs72ns", "Test Cohort", True, COMPUTED, "some-message-id:54")


@each(
    ("time", "computed"),
    [
        ("1685748245", COMPUTED),
        (1685748245, COMPUTED),
        (1685748245.0, COMPUTED),
        ("1685748245000", COMPUTED),
        (1685748245000000, COMPUTED),
        ("1685748245.25", COMPUTED.replace(microsecond=250_000)),
        (1325376000, datetime.fromisoformat("2012-01-01")),
    ],
)
def test_seconds_milliseconds_and_microseconds_are_told_by_their_size(time: object, computed: datetime) -> None:
    for name in ("computed_time", "compute_time"):
        message = read(**{"computed_time": MISSING, name: time})
        assert isinstance(message, Message)
        assert message.computed_time == computed


def test_the_other_spelling_of_the_time_counts_where_the_first_is_null_and_is_named_where_it_is_wrong() -> None:
    message = read(computed_time=None, compute_time="1685748245")
    assert isinstance(message, Message)
    assert message.computed_time == COMPUTED
    both = read(computed_time="1685748245", compute_time="1685748246")
    assert isinstance(both, Message)
    assert both.computed_time == COMPUTED
    wrong = 'is "soon", not seconds, milliseconds or microseconds since 1970'
    for fields, field in (
        ({"computed_time": MISSING}, "compute_time"),
        ({"computed_time": "soon"}, "computed_time"),
    ):
        found = read(**({"compute_time": "soon"} | fields))
        assert found == Rejection(Reason.COHORT_INVALID, f"{field} {wrong}")


@each("time", [None, True, "", "soon", "NaN", -1, 10**17, "9" * 31, [1], 1e300])
def test_what_is_no_time_since_1970_is_refused(time: object) -> None:
    found = read(computed_time=time)
    assert isinstance(found, Rejection)
    assert found.reason is Reason.COHORT_INVALID


@each(
    ("clock", "enters", "leaves"),
    [
        (datetime.fromisoformat("2012-01-01"), None, None),
        (ARRIVAL + DAY, None, None),
        (ARRIVAL + DAY + MOMENT, ARRIVAL - DAY, ARRIVAL),
        (datetime.fromisoformat("5138-11-16"), ARRIVAL - DAY, ARRIVAL),
        (datetime.fromisoformat("2012-01-01") - MOMENT, ARRIVAL - DAY, ARRIVAL),
        (datetime.fromisoformat("1970-01-01"), ARRIVAL - DAY, ARRIVAL),
    ],
    ids=["2012", "a day ahead", "a moment more", "far ahead", "before 2012", "1970"],
)
def test_a_clock_that_cannot_be_is_in_doubt_one_by_which_users_have_left(
    clock: datetime, enters: datetime | None, leaves: datetime | None
) -> None:
    micros = int((clock - datetime.fromisoformat("1970-01-01")) / MOMENT)
    time = str(micros) if micros > 10**14 else micros / 10**6
    for in_cohort, instead in ((True, enters), (False, leaves)):
        message = read(computed_time=time, in_cohort=in_cohort)
        assert isinstance(message, Message)
        assert message.computed_time == (instead or clock)
        assert message.repairs == (IMPLAUSIBLE if instead else set())


def test_who_entered_by_a_clock_far_ahead_can_leave_and_enter_again() -> None:
    lines = (FIXTURES / "cohort_future_time.ndjson").read_bytes().splitlines()
    entering, leaving = (
        list(cohorts.entries(line, at)) for line, at in zip(lines, (ARRIVAL, ARRIVAL), strict=True)
    )
    ((enters, who),), ((leaves, same),) = entering, leaving
    assert (
        (who.user_id, enters.in_cohort, leaves.in_cohort) == (same.user_id, True, False) == ("user-b", True, False)
    )
    assert enters.computed_time < leaves.computed_time == datetime.fromisoformat("2026-11-27 07:20:00")


def test_integers_are_user_ids_and_seen_as_mended() -> None:
    payload = (FIXTURES / "cohort_integer_user.json").read_bytes()
    found = list(cohorts.entries(payload, ARRIVAL))
    assert [entry.user_id for _, entry in found] == ["12345", "user-a"]
    assert found[0][0].repairs == {"id_from_number:user_id"}


@each(
    ("user", "repair"),
    [
        ({"user_id": USER}, None),
        ({"user_id": 7}, "id_from_number"),
        ({"user_id": "nil"}, "sentinel_id"),
        ({"user_id": 0}, "sentinel_id"),
        ({"user_id": ""}, "sentinel_id"),
        ({"user_id": "밤" * 1365 + "a"}, None),
        ({"user_id": "밤" * 1365 + "ab"}, "id_too_long"),
        ({"user_id": 10**4100}, "id_too_long"),
        ({"user_id": 7.0}, "wrong_type"),
        ({}, "wrong_type"),
        (USER, "wrong_type"),
    ],
)
def test_a_user_who_is_none_is_seen_as_mended(user: object, repair: str | None) -> None:
    message = read(users=[{"user_id": "a"}, user, user])
    assert isinstance(message, Message)
    assert message.repairs == ({f"{repair}:user_id"} if repair else set())


@each(("name", "kept"), [("밤" * 2000, "밤" * 1000), ("", None), (7, None), (None, None)])
def test_a_name_is_text_and_not_endless(name: object, kept: str | None) -> None:
    message = read(cohort_name=name)
    assert isinstance(message, Message)
    assert message.cohort_name == kept


@each(
    ("user", "entry"),
    [
        ({"user_id": USER}, Entry(USER, None)),
        ({"user_id": USER, "user_properties": {"a": 1.50}}, Entry(USER, '{"a":1.5}')),
        ({"user_id": USER, "user_properties": "a"}, Entry(USER, None)),
        ({"user_id": "a\0b"}, Entry("ab", None)),
        ({"user_id": "unknown"}, Entry(None, None, '{"user_id":"unknown"}')),
        ({"user_id": 7}, Entry("7", None)),
        ({"user_id": -(2**64)}, Entry(str(-(2**64)), None)),
        ({"user_id": 0}, Entry(None, None, '{"user_id":0}')),
        ({"user_id": 7.0}, Entry(None, None, '{"user_id":7.0}')),
        ({"user_id": True}, Entry(None, None, '{"user_id":true}')),
        ({"user_id": "NIL"}, Entry(None, None, '{"user_id":"NIL"}')),
        ({"user_id": "a" * 4096}, Entry("a" * 4096, None)),
        ({"user_id": "a" * 5000}, Entry(None, None, '{"user_id":"%s"}' % ("a" * 5000))),
        ("user", Entry(None, None, '"user"')),
        (None, Entry(None, None, "null")),
    ],
)
def test_an_entry_names_a_user_or_is_kept_as_it_is(user: object, entry: Entry) -> None:
    assert [one for _, one in cohorts.entries(encode(cohort(users=[user])), ARRIVAL)] == [entry]


def test_users_wait_in_groups_without_those_who_have_no_id() -> None:
    named = [{"user_id": f"user-{at}"} for at in range(2 * cohorts.GROUP + 1)]
    payload = encode(cohort(users=[{"user_id": None}, *named[:30], {}, *named[30:]]))
    found = list(cohorts.groups(payload, ARRIVAL))
    assert [len(ids) for _, ids in found] == [cohorts.GROUP, cohorts.GROUP, 1]
    assert [user_id for _, ids in found for user_id in ids] == [user["user_id"] for user in named]
    assert {message.cohort_id for message, _ in found} == {cohort()["cohort_id"]}
    assert list(cohorts.groups(encode(cohort(users=[])), ARRIVAL)) == []


def test_a_message_that_is_none_has_no_entries() -> None:
    assert list(cohorts.entries(b"[]", ARRIVAL)) == []
