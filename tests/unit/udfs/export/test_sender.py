"""Many projects at once under one deadline: who is posted to, who waits and why, and who is told."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import pytest

from tests.cases import each
from udfs.export import sender
from udfs.export.answers import FAILED_SECONDS, QUOTA_SECONDS, Refused, State, Waits
from udfs.export.sender import PER_PROJECT, Answer, Due, Limits, Outcome, Sender

SHOP, OTHER = 434735, 203138
OK = (200, b"{}")
WRONG_KEY = (400, b'{"error":"Invalid API key: 1"}')
TOO_MUCH = (429, b'{"error":"Too many requests"}')


class Project:
    """A target that answers what it is told to, one answer after the other, the last one for ever."""

    def __init__(self, *answers: tuple[int | None, bytes], state: State = State.OK) -> None:
        self.answers, self.state, self.words = list(answers or [OK]), state, "so it is"
        self.posted: list[list[bytes]] = []
        self.told: list[tuple[str, str]] = []

    def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
        assert seconds > 0
        self.posted.append(list(events))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def become(self, state: State, words: str) -> None:
        self.state, self.words = state, words
        self.told.append((state, words))


class Counting(Project):
    """A target that counts how many requests are with it at a time; each waits for others, for a moment."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.barrier, self.lock, self.now, self.most = threading.Barrier(most), threading.Lock(), 0, 0

    def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.barrier.wait(10)
        with self.lock:
            self.now -= 1
        return super().post(events, seconds)


class Clock:
    """The monotonic clock, and what a test adds to it."""

    def __init__(self) -> None:
        self.more = 0.0

    def __call__(self) -> float:
        return time.perf_counter() + self.more


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(sender.time, "monotonic", made)
    monkeypatch.setattr(sender.random, "uniform", lambda *_: 1.0)
    return made


def event(name: str, **more: Any) -> bytes:
    return msgspec.json.encode({"insert_id": name, "user_id": name, **more})


def rows(count: int, project_id: int = SHOP, attempt: int = 0) -> list[Due]:
    return [Due(project_id, event(f"{project_id}-{at}"), attempt) for at in range(count)]


def outcomes(answers: Sequence[Answer]) -> list[str]:
    return [f"{one.outcome} {one.reason}".strip() for one in answers]


def test_rows_of_all_projects_are_posted_in_batches_and_answered_in_order() -> None:
    shop, other = Project(), Project((400, b'{"events_with_invalid_fields":{"time":[0]}}'), OK)
    mixed = [one for pair in zip(rows(5), rows(5, OTHER), strict=True) for one in pair]
    answers = Sender(lambda: {SHOP: shop, OTHER: other}, Limits(2, 10_000)).send(mixed)
    assert sorted(map(len, shop.posted)) == [1, 2, 2]
    assert sorted(chain.from_iterable(shop.posted)) == sorted(one.event for one in rows(5))
    assert outcomes(answers[::2]) == ["accepted"] * 5
    assert sorted(outcomes(answers[1::2])) == ["accepted"] * 4 + ["refused invalid_field"]
    assert {one.words for one in answers if one.reason == Refused.INVALID_FIELD} == {
        "events_with_invalid_fields: time"
    }


def test_a_batch_has_no_more_bytes_than_a_request_takes() -> None:
    shop, size = Project(), len(rows(1)[0].event) + 1
    Sender(lambda: {SHOP: shop}, Limits(1_000, 3 * size)).send(rows(7))
    assert sorted(map(len, shop.posted)) == [1, 3, 3]


def test_a_projects_requests_are_bounded_and_those_of_others_are_beside_them() -> None:
    shop, other = Counting(PER_PROJECT), Counting(2)
    sent = rows(3 * PER_PROJECT) + rows(2, OTHER)
    answers = Sender(lambda: {SHOP: shop, OTHER: other}, Limits(1, 10_000)).send(sent)
    assert outcomes(answers) == ["accepted"] * len(sent)
    assert (shop.most, other.most) == (PER_PROJECT, 2)


def test_a_paused_project_is_not_posted_to_and_waits_until_it_is_resumed() -> None:
    shop, other = Project(state=State.PAUSED), Project()
    answers = Sender(lambda: {SHOP: shop, OTHER: other}).send(rows(2) + rows(1, OTHER))
    assert answers[:2] == [Answer(Outcome.WAITING, Waits.PAUSED, "so it is")] * 2
    assert outcomes(answers[2:]) == ["accepted"]
    assert (shop.posted, shop.told) == ([], [])


def test_a_wrong_key_stops_its_project_at_once_and_is_tried_with_one_event_every_few_minutes(
    clock: Clock,
) -> None:
    shop = Project(WRONG_KEY)
    sending = Sender(lambda: {SHOP: shop}, Limits(10, 10_000)).send
    assert set(outcomes(sending(rows(40)))) == {"waiting auth_error"}
    assert len(shop.posted) <= PER_PROJECT
    assert shop.told == [(State.AUTH_ERROR, "Invalid API key: 1")]
    posted = len(shop.posted)
    assert {one.seconds for one in sending(rows(40))} == {0.0}
    assert len(shop.posted) == posted
    clock.more += 300
    sending(rows(40))
    assert list(map(len, shop.posted[posted:])) == [1]
    shop.answers = [OK]
    clock.more += 300
    assert outcomes(sending(rows(40))) == ["accepted"] * 40
    assert list(map(len, shop.posted[posted + 1 :])) == [1, 10, 10, 10, 9]
    assert shop.told[1:] == [(State.OK, "")]


def test_a_throttled_project_waits_then_one_batch_goes_first(clock: Clock) -> None:
    shop = Project(TOO_MUCH)
    sending = Sender(lambda: {SHOP: shop}, Limits(10, 10_000)).send
    assert {(one.reason, one.seconds) for one in sending(rows(10))} == {(Waits.THROTTLED, 30.0)}
    assert shop.told == [(State.THROTTLED, "Too many requests")]
    assert {(one.reason, one.seconds) for one in sending(rows(10, attempt=2))} == {(Waits.THROTTLED, 30.0)}
    assert len(shop.posted) == 1
    clock.more += 31
    sending(rows(30))
    assert len(shop.posted) == 2
    shop.answers = [OK]
    clock.more += 31
    assert outcomes(sending(rows(30))) == ["accepted"] * 30
    assert shop.told == [(State.THROTTLED, "Too many requests")]  # other workers may still be
    clock.more += 61
    sending(rows(1))
    assert shop.told[1:] == [(State.OK, "")]


def test_no_answer_that_comes_at_once_closes_nothing() -> None:
    shop = Project((None, b""), (503, b""), OK)
    sending = Sender(lambda: {SHOP: shop})
    assert outcomes(sending.send(rows(1))) == ["waiting failed"]
    assert outcomes(sending.send(rows(1))) == ["waiting failed"]
    assert outcomes(sending.send(rows(1))) == ["accepted"]


@each(("attempt", "seconds"), [(0, 10), (1, 20), (5, 320), (9, 3_600), (5_000, 3_600)])
def test_what_fails_again_waits_twice_as_long(clock: Clock, attempt: int, seconds: float) -> None:
    (answer,) = Sender(lambda: {SHOP: Project((500, b""))}).send(rows(1, attempt=attempt))
    assert answer._replace(at=None) == Answer(Outcome.WAITING, Waits.FAILED, "HTTP 500", seconds)


def test_a_daily_quota_is_a_day_at_each_attempt(clock: Clock) -> None:
    shop = Project((429, b'{"exceeded_daily_quota_users":{"434735-0":500001}}'), OK)
    answers = Sender(lambda: {SHOP: shop}).send(rows(2, attempt=3))
    assert (answers[0].reason, answers[0].seconds) == (Waits.QUOTA, QUOTA_SECONDS)
    assert outcomes(answers[1:]) == ["accepted"]


TOO_FAST = 429, b'{"error":"Too many requests for some users","throttled_users":{"434735-0":31}}'
SILENCED = 400, b'{"silenced_events":[0]}'
OVER = 429, b'{"error":"Beyond the quota","exceeded_daily_quota_users":{"434735-0":500001}}'


@each(
    ("answers", "expected"),
    [
        ((TOO_FAST, (500, b"")), [("throttled", "Too many requests for some users"), ("failed", "HTTP 500")]),
        ((OVER, TOO_MUCH), [("quota", "Beyond the quota"), ("throttled", "Too many requests")]),
        ((OVER, WRONG_KEY), [("quota", "Beyond the quota"), ("auth_error", "Invalid API key: 1")]),
        ((TOO_FAST, OK), [("throttled", "Too many requests for some users"), ("", "")]),
        ((SILENCED, (None, b"")), [("silenced", "silenced_events"), ("failed", "no answer")]),
    ],
)
def test_each_event_of_a_batch_has_the_words_that_concern_it(
    clock: Clock, answers: Sequence[tuple[int, bytes]], expected: list[tuple[str, str]]
) -> None:
    found = Sender(lambda: {SHOP: Project(*answers)}).send(rows(2))
    assert [(one.reason, one.words) for one in found] == expected


class Firewall(Project):
    """A target that blocks who sends, or whatever has a text that it dislikes."""

    def __init__(self, dislikes: bytes) -> None:
        super().__init__()
        self.dislikes = dislikes

    def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
        self.posted.append(list(events))
        return (403, b"<html>") if self.dislikes in b"".join(events) else (OK[0], b"{}")


EVERYTHING, ALL_EVENTS = b"", b"insert_id"


def test_a_project_whose_sender_is_blocked_is_stopped_and_loses_no_event(clock: Clock) -> None:
    shop = Firewall(EVERYTHING)
    sending = Sender(lambda: {SHOP: shop}, Limits(100, 10_000)).send
    found = sending(rows(100))
    assert set(outcomes(found)) == {"waiting blocked"}
    words = "HTTP 403, also to a request without events"
    assert {(one.words, one.seconds) for one in found} == {(words, 0.0)}
    assert (list(map(len, shop.posted)), shop.told) == ([100, 0], [(State.BLOCKED, words)])
    assert set(outcomes(sending(rows(100)))) == {"waiting blocked"}
    assert len(shop.posted) == 2
    clock.more += 300
    assert set(outcomes(sending(rows(100)))) == {"waiting blocked"}
    assert list(map(len, shop.posted[2:])) == [1, 0]
    shop.dislikes = b"of nobody"
    clock.more += 300
    assert outcomes(sending(rows(100))) == ["accepted"] * 100
    assert shop.told[1:] == [(State.OK, "")]


def test_a_project_whose_every_event_is_disliked_is_stopped_after_100_requests(clock: Clock) -> None:
    shop = Firewall(ALL_EVENTS)
    sending = Sender(lambda: {SHOP: shop}, Limits(1, 10_000)).send
    found = Counter(outcomes(sending(rows(300))))
    assert found.keys() == {"refused blocked_by_amplitude", "waiting blocked"}
    assert 100 <= found["refused blocked_by_amplitude"] < 100 + PER_PROJECT
    ((state, words),) = shop.told
    assert (state, words.startswith("HTTP 403 to each of 10")) == (State.BLOCKED, True)
    posted = len(shop.posted)
    clock.more += 300
    tried = outcomes(sending(rows(50)))
    assert Counter(tried) == {"refused blocked_by_amplitude": 1, "waiting blocked": 49}
    assert list(map(len, shop.posted[posted:])) == [1, 0]
    shop.become(State.OK, "")  # somebody has mended it, he says
    assert "refused blocked_by_amplitude" in outcomes(sending(rows(1)))
    assert shop.state == State.OK


def test_one_disliked_event_stops_nobody() -> None:
    shop = Firewall(b"-7")
    found = outcomes(Sender(lambda: {SHOP: shop}).send(rows(10)))
    assert Counter(found) == {"accepted": 9, "refused blocked_by_amplitude": 1}
    assert shop.told == []


@each(("attempt", "outcome"), [(0, "waiting"), (8, "waiting"), (9, "refused"), (500, "refused")])
def test_what_amplitude_does_not_count_is_refused_at_its_tenth_attempt(attempt: int, outcome: str) -> None:
    shop = Project((200, b'{"events_ingested":0}'))
    (found,) = Sender(lambda: {SHOP: shop}).send(rows(1, attempt=attempt))
    words = "HTTP 200, but events_ingested is 0 of 1"
    assert (found.outcome, found.reason, found.words) == (outcome, "not_ingested", words)


@each(("status", "words"), [(413, "not sent in time"), (403, "HTTP 403")])
def test_what_no_time_was_left_for_waits(clock: Clock, status: int, words: str) -> None:
    class Slow(Project):
        def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
            clock.more += 2
            return super().post(events, seconds)

    found = Sender(lambda: {SHOP: Slow((status, b""), OK)}).send(rows(2))
    assert {one._replace(at=None) for one in found} == {
        Answer(Outcome.WAITING, Waits.FAILED, words, FAILED_SECONDS)
    }


def test_an_event_is_answered_when_its_own_project_is_and_not_at_the_end_of_the_call() -> None:
    class Late(Project):
        def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
            time.sleep(0.1)
            return super().post(events, seconds)

    shop, other = Sender(lambda: {SHOP: Late(), OTHER: Project()}).send(rows(1) + rows(1, OTHER))
    assert shop.at
    assert other.at
    assert (shop.at - other.at).total_seconds() > 0.05


def test_not_all_that_wait_are_due_at_the_same_time() -> None:
    seconds = [one.seconds for one in Sender(lambda: {SHOP: Project((500, b""))}).send(rows(50))]
    assert len(set(seconds)) == 50
    assert all(0.9 * FAILED_SECONDS <= one <= 1.1 * FAILED_SECONDS for one in seconds)


def test_a_project_without_a_destination_waits() -> None:
    assert outcomes(Sender(dict).send(rows(1))) == ["waiting no_destination"]


def test_a_bug_lets_its_batch_wait_and_says_nothing_of_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Project):
        def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
            raise ValueError(events, "the key")

    assert outcomes(Sender(lambda: {SHOP: Broken()}).send(rows(1))) == ["waiting failed"]
    assert [record.getMessage() for record in caplog.records] == ["a batch was not sent, it waits: ValueError"]


def test_what_a_command_has_paused_stays_paused() -> None:
    class Pausing(Project):
        def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
            self.state = State.PAUSED
            return super().post(events, seconds)

    shop = Pausing(WRONG_KEY)
    Sender(lambda: {SHOP: shop}).send(rows(1))
    assert shop.told == []
