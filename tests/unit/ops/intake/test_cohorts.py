"""The calls of Amplitude's cohort sync: what each is answered, and what becomes of its users in the job."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from ops.intake.cohorts import MOST_USERS, CohortList, access_key, change, create
from ops.intake.errors import IntakeError
from stores import cohorts as stored
from stores.project import linked
from tests.builders import PROJECT
from tests.cases import each
from udfs import cohorts
from udfs.cohorts import EVERYBODY
from udfs.decode import decode
from udfs.intake import Header
from udfs.model import Kind

NOW = datetime.fromisoformat("2026-03-15 09:30:00.000123")
HEADER = Header(PROJECT, NOW, "request-1", "cohorts")
NEW = {"cohort_id": "gs72ns", "cohort_name": "Carts"}
MADE = CohortList("gs72ns", 1773567000000123)
REGISTRY = {PROJECT: linked(PROJECT, "acme")}


def sent(users: object, *, list_id: str = str(MADE), header: Header = HEADER, enter: bool = True) -> list[bytes]:
    return change(list_id, json.dumps({"users": users}).encode(), header, enter)


def taken(message: bytes, at: datetime = NOW) -> list[tuple[Any, ...]]:
    """The rows of history that the job makes of a message: cohort, whether in it, when, who, else what it says."""
    row = decode(message, at, REGISTRY, part=True, key_project=PROJECT)
    assert (row[0], row[1]) == (Kind.COHORT, None), row
    return [
        (head.cohort_id, head.in_cohort, head.computed_time, user.user_id or user.entry)
        for head, user in cohorts.entries(message, at)
    ]


def refused(call: Callable[[], object]) -> IntakeError:
    with pytest.raises(IntakeError) as found:
        call()
    return found.value


def test_a_list_is_its_cohort_since_then() -> None:
    made, message = create(json.dumps(NEW).encode(), HEADER)
    assert (made, str(made)) == (MADE, "gs72ns.1773567000000123")
    assert taken(message) == [("gs72ns", False, NOW, '{"reset":true}')]
    ((head, users),) = cohorts.groups(message, NOW)
    assert (head.cohort_name, users) == ("Carts", [EVERYBODY])
    assert EVERYBODY == stored.EVERYBODY


def test_users_enter_and_leave() -> None:
    later = NOW + timedelta(hours=1)
    (entering,) = sent(["a", 7, {"user_id": "b", "user_properties": {"city": "Seoul"}}])
    (leaving,) = sent(["a"], header=HEADER._replace(received_at=later), enter=False)
    since = NOW + timedelta(microseconds=1)
    assert taken(entering) == [
        ("gs72ns", True, since, "a"),
        ("gs72ns", True, since, "7"),
        ("gs72ns", True, since, "b"),
    ]
    assert taken(leaving, later) == [("gs72ns", False, later, "a")]


def test_an_add_counts_whatever_the_clock_of_the_machine_that_takes_it() -> None:
    (message,) = sent(["a"], header=HEADER._replace(received_at=NOW - timedelta(seconds=5)))
    assert taken(message) == [("gs72ns", True, NOW + timedelta(microseconds=1), "a")]


def test_who_names_nobody_is_not_lost() -> None:
    (message,) = sent(["", None, 1.5, ["a"], {"id": "a"}, "null"])
    assert [who for *_, who in taken(message)] == [
        '{"user_id":""}',
        '{"user_id":null}',
        '{"user_id":1.5}',
        '{"user_id":["a"]}',
        '{"id":"a"}',
        '{"user_id":"null"}',
    ]


def test_a_user_who_comes_back_is_no_copy() -> None:
    """Two equal calls, of two syncs: a message id by content would keep the user out."""
    first, second = sent(["a"]), sent(["a"], header=HEADER._replace(request_id="request-2"))
    ids = {json.loads(message)["message_id"] for message in first + second + sent(["a"], enter=False)}
    assert len(ids) == 3


def test_a_large_call_becomes_several_messages() -> None:
    ids = [f"{number:0200}" for number in range(MOST_USERS)]
    messages = sent(ids)
    assert len(messages) == 5
    assert max(map(len, messages)) < 600_000
    assert len({json.loads(message)["message_id"] for message in messages}) == 5
    assert [user["user_id"] for message in messages for user in json.loads(message)["users"]] == ids


def test_the_payload_of_amplitudes_page_is_understood() -> None:
    body = {"userIds": ["a"], "context": {"integration": {"name": "Amplitude Cohort Sync", "version": "1.0.0"}}}
    (message,) = change(str(MADE), json.dumps(body).encode(), HEADER, True)
    assert [who for *_, who in taken(message)] == ["a"]
    assert sent([]) == []


@each(
    ("call", "status", "code", "message"),
    [
        (
            lambda: create(b"{}", HEADER),
            400,
            "cohort_id_invalid",
            "Give cohort_id: the id of the cohort in Amplitude, of at most 100 letters, digits, _ and -.",
        ),
        (
            lambda: create(b'{"cohort_id": "a/b"}', HEADER),
            400,
            "cohort_id_invalid",
            "Give cohort_id: the id of the cohort in Amplitude, of at most 100 letters, digits, _ and -.",
        ),
        (
            lambda: create(b'{"cohort_id": "a", "project_id": "7"}', HEADER),
            403,
            "project_mismatch",
            "The access key is one of project 434735, not of '7'.",
        ),
        (
            lambda: create(b'{"cohort_id": 7}', HEADER),
            400,
            "body_invalid",
            "The body is not the JSON object that is expected here: Expected `str`, got `int` - at `$.cohort_id`.",
        ),
        (
            lambda: create(b"\xff", HEADER),
            400,
            "body_invalid",
            "The body is not the JSON object that is expected here: invalid start byte at byte 0.",
        ),
        (
            lambda: change("gs72ns", b"{}", HEADER, True),
            404,
            "list_unknown",
            "There is no list 'gs72ns': use the listId that creating a list has answered.",
        ),
        (
            lambda: change(str(MADE), b"{}", HEADER, True),
            400,
            "users_missing",
            "Give users: an array of user ids.",
        ),
        (
            lambda: sent(["a"] * 10_001),
            413,
            "too_many_users",
            "The call has 10,001 users: set the batch size of the destination to 10,000.",
        ),
        (
            lambda: sent(["a", "b" * 500_000]),
            413,
            "user_too_large",
            "users[1] has 500,014 bytes: a user may have 500,000.",
        ),
    ],
    ids=["no cohort", "odd cohort", "project", "type", "text", "list", "users", "many", "long"],
)
def test_each_refusal_tells_the_customer_what_to_change(
    call: Callable[[], object], status: int, code: str, message: str
) -> None:
    error = refused(call)
    assert (error.status, error.code, str(error)) == (status, code, message)


@each(
    ("authorization", "body", "key"),
    [
        ("Bearer ntfy_a_b", b"", "ntfy_a_b"),
        ("Basic " + b64encode(b"ntfy_a:b").decode(), b"", "ntfy_a_b"),
        ("Basic " + b64encode(b"ntfy_a_b:").decode(), b"", "ntfy_a_b"),
        ("Basic %", b"", ""),
        ("", b'{"access_key": "ntfy_a", "secret_key": "b"}', "ntfy_a_b"),
        ("", b'{"access_key": "ntfy_a_b"}', "ntfy_a_b"),
        ("", b'{"access_key": 7}', ""),
        ("", b"\xff", ""),
        ("Digest x", b"{}", ""),
    ],
)
def test_the_access_key(authorization: str, body: bytes, key: str) -> None:
    assert access_key(authorization, body) == key
