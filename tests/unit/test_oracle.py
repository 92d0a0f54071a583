"""The oracle itself, case by case: what it must say is written out by hand here."""

from datetime import datetime, timedelta

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
    MONTH_START,
    OTHER_PROJECT,
    PROJECT,
    REDELIVERY,
    UNKNOWN_PROJECT,
    UUID,
    YEAR_END,
    cohort,
    encode,
    event,
    stamp,
    user_update,
)
from tests.cases import each
from tests.oracle import Cohort, DeadLetter, Event, Expected, UserUpdate, expect, judge

VALID = encode(event())
REGISTERED = {PROJECT, OTHER_PROJECT, UNKNOWN_PROJECT, 0, 1, 2**63 - 1}


def judged(data: bytes, arrival: datetime = ARRIVAL) -> Event:
    verdict = judge(data, arrival, REGISTERED)
    assert isinstance(verdict, Event)
    return verdict


def replay(*records: bytes) -> Expected:
    return expect(((data, ARRIVAL) for data in records), {PROJECT, OTHER_PROJECT})


def with_time(text: object) -> bytes:
    return encode(event(server_upload_time=text))


def test_a_plain_event() -> None:
    identity = (1, UUID, "Play Song")
    assert judge(VALID, ARRIVAL, REGISTERED) == Event(PROJECT, identity, "amplitude__Play Song", "2026-03")


def test_the_public_records() -> None:
    assert [judge(encode(record), ARRIVAL, REGISTERED) for record in (EVENT_A, EVENT_B, EVENT_C)] == [
        Event(
            100011471,
            (1, "3e702190-9dcb-483a-94d8-58e93ce10000", "session_start"),
            "amplitude__session_start",
            "2025-07",
        ),
        Event(
            203138,
            (1, "d0b5b3a6-2e3b-11eb-9a80-0a6213450000", "segment.definition.permission_paywall.load"),
            "amplitude__segment.definition.permission_paywall.load",
            "2020-11",
        ),
        Event(
            434735,
            (1, "37bcd2f0-2688-47d5-ba90-76b0bd130000", "Daily Ad Metrics"),
            "amplitude__Daily Ad Metrics",
            "2023-08",
        ),
    ]


@each(
    ("reason", "data"),
    [
        ("empty", b""),
        ("empty", b" \r\n\t"),
        ("too_large", VALID + b" " * 10 * 2**20),
        ("invalid_utf8", b'{"app":1,"event_type":"\xff"}'),
        ("invalid_utf8", b'{"app":1,"event_type":"\xed\xa0\xbd"}'),
        ("invalid_utf8", VALID.decode().encode("utf-16")),
        ("invalid_json", VALID[:-1]),
        ("invalid_json", VALID + b"\n" + VALID),
        ("invalid_json", b'{"app":1,"event_type":"a\nb"}'),
        ("invalid_json", b"\xef\xbb\xbf\xef\xbb\xbf{}"),
        ("not_an_object", b"null"),
        ("not_an_object", b"[" + VALID + b"]"),
        ("duplicate_key", b'{"app":1,"app":1,"event_type":"a"}'),
        ("duplicate_key", b'{"\\u0061pp":1,"app":2,"event_type":"a"}'),
        ("duplicate_key", b'{"user_id":null,"user_id":null}'),
        ("duplicate_key", b'{"app":1,"event_type":"a","device_id":"d","device_id":"d"}'),
        ("duplicate_key", b'{"app":1,"event_type":"a","uuid":"null","event_id":1,"event_id":2}'),
        ("foreign", b"{}"),
        ("merged_ids", b'{"scope":1,"amplitude_id":1,"merged_amplitude_id":2}'),
        ("warehouse_row", b'{"EVENT_TYPE":"a","APP":1,"USER_ID":"u"}'),
        ("api_request", b'{"api_key":"k","events":[]}'),
        ("deletion", b'{"amplitude_ids":[1],"requester":"r"}'),
        ("foreign", encode(event(app=None, event_type=None, user_properties=MISSING))),
        ("foreign", b'{"user_id":"u","device_id":"d"}'),
        ("foreign", b'{"user_properties":{},"groups":{}}'),
        ("app_missing", encode(event(app=None))),
        ("app_invalid", encode(event(app=True))),
        ("app_invalid", encode(event(app=434735.0))),
        ("app_invalid", encode(event(app=-1))),
        ("app_invalid", encode(event(app=2**63))),
        ("app_invalid", encode(event(app=str(2**63)))),
        ("app_invalid", encode(event(app=""))),
        ("app_invalid", encode(event(app="1\n"))),
        ("app_invalid", encode(event(app="٤٣٤"))),
        ("app_invalid", encode(user_update(app=True))),
        ("app_invalid", b'{"event_type":"a","app":' + b"9" * 5000 + b"}"),
        ("event_type_missing", encode(event(event_type=MISSING, user_properties=MISSING))),
        ("event_type_missing", b'{"app":1,"event_type":NaN}'),
        ("event_type_invalid", encode(event(event_type=""))),
        ("event_type_invalid", encode(event(event_type=["a"]))),
        ("too_deep", b'{"app":1,"event_type":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ("too_deep", b'{"app":1,"event_type":"a","x":' + b"[" * 64 + b"]" * 64 + b"}"),
        ("test_record", b'{"event_type":"test_event_type","user_id":"some user id","app":1}'),
        ("test_record", b'{"event_type":"a","app":"some app id"}'),
        ("test_record", b'{"user_id":"some user id"}'),
        ("own_event", encode(event(event_type="[Notifly] push_delivered", app=None))),
        ("appboy_event", encode(event(event_type="[Appboy] [Custom Event] a"))),
        ("unattributed", encode(user_update(app=None))),
    ],
)
def test_records_that_are_not_taken(reason: str, data: bytes) -> None:
    verdict = judge(data, ARRIVAL, REGISTERED)
    assert isinstance(verdict, DeadLetter)
    assert verdict.reason == reason


GROUP = {"group_type": "org", "group_value": "a", "group_properties": {}}


@each(
    "changes",
    [
        {},
        {"event_type": "_identify"},
        {"event_type": "$groupidentify"},
        {"event_type": MISSING, "event_name": "$identify"},
        {"event_type": MISSING},
        {"event_type": None, "user_id": None, "user_properties": None},
        {"event_type": MISSING, "user_properties": MISSING} | GROUP,
    ],
)
def test_shapes_of_user_updates(changes: dict[str, object]) -> None:
    found = judge(encode(user_update(**changes)), ARRIVAL, REGISTERED)
    assert isinstance(found, UserUpdate)
    assert found.project_id == PROJECT


@each(
    "changes", [{}, {"computed_time": MISSING, "compute_time": 1685748245000}, {"app": True}, {"event_type": "a"}]
)
def test_a_cohort_message_is_one_whatever_else_it_says(changes: dict[str, object]) -> None:
    registered = {PROJECT: [(datetime.min, None)], "gs72ns": PROJECT}  # noqa: DTZ901
    assert judge(encode(cohort(**changes)), ARRIVAL, registered) == Cohort(PROJECT)


@each("app", [0, 2**63 - 1, "0", "434735", "0434735", str(2**63 - 1)])
def test_usable_apps(app: int | str) -> None:
    assert judged(encode(event(app=app))).project_id == int(app)


@each(
    "data",
    [
        b'{"app":1,"event_type":"a","x":[NaN,Infinity,-Infinity,1e400,' + b"9" * 5000 + b"]}",
        b'{"app":1,"event_type":"a","x":"\\u0000\\ud83d","\\udc00":1}',
        b'{"app":1,"event_type":"a","x":{"app":2,"app":3},"city":1,"city":2}',
        b' {"app":1,"event_type":"a"}\n',
        b'{"app":1,"event_type":"a","x":' + b"[" * 63 + b"]" * 63 + b',"y":"' + b"[" * 99 + b'"}',
        b'\xef\xbb\xbf{"app":1,"event_name":"a"}',
        b'{"app":1,"event_type":"a","uuid":"u","device_id":"d","device_id":"d"}',
        b'{"app":1,"event_type":"a","user_id":"some user id"}',
        b'{"app":1,"event_type":"\\u0000a","event_name":"b"}',
    ],
)
def test_oddities_that_are_events(data: bytes) -> None:
    verdict = judged(data)
    assert (verdict.project_id, verdict.name) == (1, "amplitude__a")
    str(verdict).encode()


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert judged(b'{"app":1,"event_type":"a\\ud83d"}').name == "amplitude__a\ufffd"


@each(
    ("overrides", "identity"),
    [
        ({}, (1, UUID, "Play Song")),
        ({"uuid": None}, (2, DEVICE, INSERT_ID, "Play Song")),
        ({"uuid": ""}, (2, DEVICE, INSERT_ID, "Play Song")),
        ({"uuid": "NULL"}, (2, DEVICE, INSERT_ID, "Play Song")),
        ({"uuid": 7}, (1, "7", "Play Song")),
        ({"uuid": 7.0}, (2, DEVICE, INSERT_ID, "Play Song")),
        ({"uuid": 0}, (2, DEVICE, INSERT_ID, "Play Song")),
        ({"uuid": MISSING, "$insert_id": None}, (3, DEVICE, 135, "2026-03-15 09:30:28.583000", "Play Song")),
        ({"uuid": MISSING, "$insert_id": "", "event_id": -(2**63)},
         (3, DEVICE, -(2**63), "2026-03-15 09:30:28.583000", "Play Song")),
    ],
)  # fmt: skip
def test_identity_ladder(overrides: dict[str, object], identity: tuple[object, ...]) -> None:
    assert judged(encode(event(**overrides))).identity == identity


@each(
    "overrides",
    [
        {"device_id": None},
        {"device_id": ""},
        {"device_id": "unknown"},
        {"event_id": None},
        {"event_id": "135"},
        {"event_id": 135.0},
        {"event_id": True},
        {"event_id": 2**63},
        {"client_event_time": None},
        {"client_event_time": 1773567028583},
    ],
)
def test_without_ids_the_content_is_the_identity(overrides: dict[str, object]) -> None:
    record = event(uuid=MISSING, **{"$insert_id": None} | overrides)
    identity = judged(encode(record)).identity
    assert identity[0] == 4
    again = dict(reversed(record.items())) | {"processed_time": "2026-03-15 13:02:10.000000"}
    assert judged(encode(again), REDELIVERY).identity == identity
    assert judged(encode(record | {"city": "Seoul"})).identity != identity


@each(
    ("text", "month"),
    [
        (stamp(MONTH_END), "2026-03"),
        (stamp(MONTH_END + timedelta(microseconds=1)), "2026-04"),
        (stamp(MONTH_START), "2026-03"),
        (stamp(LEAP_DAY_END), "2024-02"),
        ("2026-01-31 23:59:59.999999499", "2026-01"),
        ("2026-01-31 23:59:59.9999995", "2026-02"),
        ("2026-01-31T23:59:59.9Z", "2026-01"),
        ("2026-02-01 08:59:59.999999+09:00", "2026-01"),
        ("2026-01-31T20:00:00-0400", "2026-02"),
        ("2012-01-01 00:00:00", "2012-01"),
    ],
)
def test_month_of_the_upload(text: str, month: str) -> None:
    assert judged(with_time(text), MONTH_END).month == month


@each(
    "text",
    [
        None,
        1773567029753,
        "",
        "2025-07-17",
        "2025-02-29 00:00:00",
        "2025-07-17 10:36:28 UTC",
        "2025-07-17T10:36:28+00:99",
        "2025-07-17T10:36:28+24:00",
        "٢٠٢٥-07-17 10:36:28",
        "0000-01-01 00:00:00",
        "0001-01-01 00:00:00",
        "2011-12-31 23:59:59.999999",
        "0001-01-01 00:00:00+09:00",
        "9999-12-31T23:59:59-01:00",
        stamp(ARRIVAL + timedelta(days=1, microseconds=1)),
    ],
)
@each(("arrival", "month"), [(ARRIVAL, "2026-03"), (YEAR_END, "2025-12")])
def test_month_of_the_arrival_when_the_upload_has_none(text: object, arrival: datetime, month: str) -> None:
    assert judged(with_time(text), arrival).month == month


def test_a_repeat_counts_as_a_record_but_not_as_usage() -> None:
    found = replay(VALID, encode(event(processed_time="2026-03-15 13:02:10.000000")), VALID)
    assert found.records == {PROJECT: 3}
    assert found.usage == {(PROJECT, "2026-03"): 1}


def test_equal_ids_of_two_tenants_are_two_events() -> None:
    found = replay(VALID, encode(event(app=OTHER_PROJECT)))
    assert found.usage == {(PROJECT, "2026-03"): 1, (OTHER_PROJECT, "2026-03"): 1}


def test_an_app_in_digits_is_the_same_tenant() -> None:
    assert replay(VALID, encode(event(app=str(PROJECT)))).usage == {(PROJECT, "2026-03"): 1}


def test_a_merged_event_beside_its_raw_event_is_another_event() -> None:
    assert len(replay(VALID, encode(event(event_type="Any Song"))).events) == 2


def test_the_first_copy_decides_the_month() -> None:
    copies = [(with_time(None), MONTH_END), (with_time(None), MONTH_END + timedelta(hours=4))]
    assert expect(copies, {PROJECT}).usage == {(PROJECT, "2026-03"): 1}


def test_an_unregistered_project_is_quarantined_and_the_rest_goes_on() -> None:
    found = replay(encode(event(app=UNKNOWN_PROJECT)), b"", VALID, encode(user_update(app=None)))
    assert found.quarantined == {UNKNOWN_PROJECT: 1}
    assert found.unattributed == 1
    assert found.rejected == {"empty": 1}
    assert found.records == {PROJECT: 1}
    assert found.outcomes == 4


def test_a_broken_record_of_an_unregistered_project_is_rejected() -> None:
    found = replay(encode(event(app=UNKNOWN_PROJECT, event_type="")))
    assert (found.rejected, found.quarantined) == ({"event_type_invalid": 1}, {})


def test_users_cohorts_and_control_records_have_counts_of_their_own() -> None:
    own = encode(event(event_type="[Notifly] a"))
    found = replay(encode(user_update()), encode(user_update()), encode(cohort()), own)
    assert (found.update_records, found.user_updates, found.control) == (
        {PROJECT: 2},
        {PROJECT: 1},
        {"own_event": 1},
    )
    assert found.dead_letters["quarantined", "unknown_cohort"] == 1
    assert (found.events, found.outcomes) == ({}, 4)


FIRST, SECOND, THIRD = (datetime(2026, 3, day) for day in (1, 10, 20))  # noqa: DTZ001


@each(
    ("at", "reason"),
    [
        (FIRST - timedelta(microseconds=1), "before_link"),
        (FIRST, None),
        (SECOND - timedelta(microseconds=1), None),
        (SECOND, "unlinked"),
        (THIRD - timedelta(microseconds=1), "unlinked"),
        (THIRD, None),
    ],
)
def test_a_record_belongs_to_whom_it_was_linked_when_it_was_uploaded(at: datetime, reason: str | None) -> None:
    times = {PROJECT: [(FIRST, SECOND), (THIRD, None)]}
    for record in (event(), user_update()):
        found = expect([(encode(record | {"server_upload_time": f"{at}"}), MONTH_END)], times)
        assert found.not_linked == ({reason: 1} if reason else {})
        assert found.outcomes == 1
