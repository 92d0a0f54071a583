"""Copies in a file that is explained: counted as the job counts them, whatever kind of message they are."""

from lab.sample.envelopes import lines
from ops.answers.record import Everyone, summarise
from tests.builders import ARRIVAL, MISSING, PROJECT, Record, cohort, encode, event, user_update


def outcomes(*records: Record) -> dict[str, int]:
    summary = summarise(lines([encode(one) for one in records]), ARRIVAL.replace(tzinfo=None), Everyone())
    return {name: n for name, n in summary.outcomes.items() if n}


def test_copies_of_each_kind_are_taken_once() -> None:
    update, message = user_update(), cohort()
    unnamed = user_update(uuid=MISSING, user_properties={"plan": "pro"}) | {"insert_id": None, "$insert_id": None}
    later = {"processed_time": "2026-03-15 09:40:00.000000"}
    assert outcomes(event(), event() | later, event() | later) == {"accepted": 1, "duplicate": 2}
    assert outcomes(update, update | later, unnamed, unnamed | later) == {"user_update": 2, "duplicate": 2}
    assert outcomes(message, message, message | {"message_id": "another"}) == {"cohort": 2, "duplicate": 1}


def test_the_same_of_another_project_is_no_copy() -> None:
    other = {"app": PROJECT + 1}
    assert outcomes(event(), event() | other) == {"accepted": 2}
    assert outcomes(user_update(), user_update() | other) == {"user_update": 2}


def test_what_is_not_taken_is_no_copy() -> None:
    assert outcomes({"hello": "world"}, {"hello": "world"}) == {"rejected": 2}
