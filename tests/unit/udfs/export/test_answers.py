"""Amplitude's documented answers, and what becomes of each event; samples are those of its pages, shortened."""

from typing import Any

import msgspec

from tests.cases import each
from udfs.export.answers import (
    Refusal,
    Refused,
    State,
    Verdict,
    Waits,
    judge,
)

EVENTS = [msgspec.json.encode({"user_id": f"u{at}", "device_id": f"d{at}"}) for at in range(6)]
INVALID = Refusal(Refused.INVALID_FIELD, "events_with_invalid_fields: time")
MISSING = Refusal(Refused.MISSING_FIELD, "events_with_missing_fields: event_type")


def judged(status: int | None, named: int = 0, count: int = 6, **said: Any) -> Verdict:
    return judge(status, msgspec.json.encode(said), EVENTS[:count], named)


def test_all_are_accepted() -> None:
    assert judged(200, code=200, events_ingested=6) == Verdict(accepted=(0, 1, 2, 3, 4, 5))


@each("said", [{}, {"code": 200}, {"events_ingested": None}, {"events_ingested": "0"}, {"events_ingested": 7}])
def test_a_success_that_counts_no_fewer_is_one(said: dict[str, Any]) -> None:
    assert judged(200, **said) == Verdict(accepted=(0, 1, 2, 3, 4, 5))


def test_where_fewer_are_counted_nothing_is_known_of_any_and_they_go_again_in_halves() -> None:
    words = "HTTP 200, but events_ingested is 5 of 6"
    assert judged(200, events_ingested=5) == Verdict(again=((0, 1, 2), (3, 4, 5)), words=words)


@each(("count", "ingested"), [(1, 0), (6, 0), (6, -1)])
def test_where_none_is_counted_they_wait(count: int, ingested: int) -> None:
    found = judged(200, count=count, events_ingested=ingested)
    assert (found.accepted, found.again) == ((), ())
    assert found.later == dict.fromkeys(range(count), Waits.NOT_INGESTED)
    assert found.words == f"HTTP 200, but events_ingested is {ingested} of {count}"


@each("body", [b"", b"<html></html>", b"[]", b'{"code":200'])
def test_a_success_in_other_words_than_amplitudes_is_none(body: bytes) -> None:
    assert judge(200, body, EVENTS[:2]).later == dict.fromkeys((0, 1), Waits.FAILED)


@each("status", [400, 401])
def test_a_wrong_key_keeps_all_and_stops_the_project(status: int) -> None:
    verdict = judged(status, count=2, code=status, error=f"Invalid API key: {'0a1b' * 8}")
    assert "0a1b" not in verdict.words
    assert (verdict.later, verdict.state) == ({0: Waits.AUTH_ERROR, 1: Waits.AUTH_ERROR}, State.AUTH_ERROR)


def test_bad_events_are_refused_by_name_and_the_others_go_at_once() -> None:
    verdict = judged(
        400,
        error="Request missing required field",
        events_with_invalid_fields={"time": [1]},
        events_with_missing_fields={"event_type": [3]},
    )
    assert verdict.refused == {1: INVALID, 3: MISSING}
    assert (verdict.again, verdict.later) == (((0, 2, 4, 5),), {})


def test_where_only_the_first_bad_event_is_named_the_rest_is_halved_after_two_rounds() -> None:
    verdict = judged(400, named=1, events_with_invalid_fields={"time": [1]})
    assert (verdict.refused, verdict.again) == ({1: INVALID}, ((0, 2), (3, 4, 5)))


def test_the_last_one_named_leaves_nothing_to_send() -> None:
    assert judged(400, count=1, silenced_events=[0]) == Verdict(
        refused={0: Refusal(Refused.SILENCED, "silenced_events")}
    )


@each(("status", "reason"), [(400, Refused.REFUSED), (403, Refused.BLOCKED), (413, Refused.TOO_LARGE)])
def test_an_event_that_is_not_named_is_found_by_halves(status: int, reason: Refused) -> None:
    assert judged(status, count=5).again == ((0, 1), (2, 3, 4))
    assert judged(status, count=1).refused == {0: Refusal(reason, f"HTTP {status}")}


def test_who_sends_too_much_waits_and_nobody_else() -> None:
    verdict = judged(
        429,
        error="Too many requests for some devices and users",
        throttled_users={"u0": 31},
        throttled_devices={"d4": 40},
        exceeded_daily_quota_users={"u2": 500_001},
        throttled_events=[0, 2],
    )
    assert verdict.later == {0: Waits.THROTTLED, 2: Waits.QUOTA, 4: Waits.THROTTLED}
    assert (verdict.again, verdict.state) == (((1, 3, 5),), State.OK)


def test_an_id_of_another_type_is_compared_as_text_and_none_is_nobody() -> None:
    events = [b'{"user_id":5}', b'{"user_id":[1]}', b'{"user_id":null}', b"{}"]
    verdict = judge(429, msgspec.json.encode({"throttled_users": {"5": 31, "None": 31}}), events)
    assert (verdict.later, verdict.again) == ({0: Waits.THROTTLED}, ((1, 2, 3),))


def test_a_project_that_sends_too_much_waits_as_a_whole() -> None:
    verdict = judged(429, count=2, code=429, error="Too many requests")
    assert verdict == Verdict(
        later=dict.fromkeys((0, 1), Waits.THROTTLED), state=State.THROTTLED, words="Too many requests"
    )


@each(("status", "words"), [(500, "HTTP 500"), (503, "HTTP 503"), (None, "no answer")])
def test_what_failed_at_amplitude_waits(status: int | None, words: str) -> None:
    assert judged(status, count=1) == Verdict(later={0: Waits.FAILED}, words=words)


@each("body", [b"", b"<html>", b"[]", b"\xff", b'{"throttled_events":5,"throttled_users":[1]}', b"[" * 5000])
def test_an_answer_of_another_form_names_nobody(body: bytes) -> None:
    assert judge(429, body, EVENTS[:1]).later == {0: Waits.THROTTLED}
    assert judge(400, body, EVENTS[:1]).refused == {0: Refusal(Refused.REFUSED, "HTTP 400")}


def test_places_that_are_none_are_passed_over() -> None:
    verdict = judged(400, count=2, events_with_invalid_fields={"time": [True, -1, 2, "0", 1]})
    assert (verdict.refused, verdict.again) == ({1: INVALID}, ((0,),))


SENT, KEPT, LOST = "sent", "kept", "lost"


@each(
    ("status", "said", "sdk"),
    [
        (200, {}, [SENT, SENT, SENT]),
        (408, {}, [KEPT, KEPT, KEPT]),
        (500, {}, [KEPT, KEPT, KEPT]),
        (503, {}, [KEPT, KEPT, KEPT]),
        (413, {}, [KEPT, KEPT, KEPT]),
        (403, {}, [LOST, LOST, LOST]),
        (302, {}, [LOST, LOST, LOST]),
        (400, {"error": "Invalid API key: 0a1b"}, [LOST, LOST, LOST]),
        (400, {"missing_field": "events"}, [LOST, LOST, LOST]),
        (400, {"events_with_invalid_fields": {"time": [0]}}, [LOST, KEPT, KEPT]),
        (400, {"events_with_missing_fields": {"user_id": [1]}}, [KEPT, LOST, KEPT]),
        (400, {"silenced_events": [2]}, [KEPT, KEPT, LOST]),
        (400, {}, [KEPT, KEPT, KEPT]),
        (429, {}, [KEPT, KEPT, KEPT]),
        (429, {"throttled_events": [0], "throttled_users": {"u0": 31}}, [KEPT, KEPT, KEPT]),
        (429, {"throttled_events": [0], "exceeded_daily_quota_users": {"u0": 9}}, [LOST, KEPT, KEPT]),
    ],
)
def test_nothing_is_lost_that_amplitudes_own_sdk_keeps(status: int, said: dict[str, Any], sdk: list[str]) -> None:
    """`sdk`: what Amplitude-Python at 0cd9732 (`processor.py`) makes of three events."""
    verdict = judged(status, count=3, **said)
    fates = dict.fromkeys(verdict.accepted, SENT) | dict.fromkeys(verdict.refused, LOST)
    fates |= dict.fromkeys([*verdict.later, *(at for some in verdict.again for at in some)], KEPT)
    assert len(fates) == 3
    for at, fate in enumerate(sdk):
        assert fate == fates[at] or (fate == LOST and fates[at] == KEPT)
