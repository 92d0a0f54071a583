"""Which events that wait are put now: due ones, fairly, and nothing of projects that are stopped."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from ops.maintenance.due import AGAIN, Key, Memory, chosen, shares
from tests.cases import each

NOW = datetime(2026, 11, 27, 20, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("project_id", pa.int64()),
        ("event_id", pa.string()),
        ("attempt", pa.int64()),
        ("due", pa.timestamp("us", "UTC")),
        ("arrival", pa.timestamp("us", "UTC")),
    ]
)
OK = {1: "ok", 2: "ok", 3: "ok"}


def waits(*rows: tuple[int, str, int, int]) -> pa.Table:
    """Rows of project, event, attempt and seconds until due, the oldest first."""
    named = [
        dict(zip(SCHEMA.names, (*row[:3], NOW + timedelta(seconds=row[3]), NOW), strict=True)) for row in rows
    ]
    return pa.Table.from_pylist(named, schema=SCHEMA)


def many(project_id: int, count: int, due: int = -1) -> list[tuple[int, str, int, int]]:
    return [(project_id, f"{project_id}-{at}", 0, due) for at in range(count)]


def test_what_is_due_goes_and_what_is_not_waits() -> None:
    table = waits((1, "a", 0, -1), (1, "b", 3, 0), (1, "c", 0, 1))
    assert chosen(table, OK, Memory(), NOW, 10) == [Key(1, "a", 0), Key(1, "b", 3)]


def test_a_project_that_is_stopped_or_has_no_destination_gets_nothing() -> None:
    table = waits(*many(1, 2), *many(2, 2), *many(3, 2))
    assert {key.project_id for key in chosen(table, {1: "paused", 2: "ok"}, Memory(), NOW, 10)} == {2}


@each("state", ["auth_error", "blocked"])
def test_a_project_that_is_stopped_is_tried_with_its_oldest_event_every_few_minutes_due_or_not(state: str) -> None:
    table, memory, states = waits(*many(1, 5, due=9_999)), Memory(), {1: state}
    assert chosen(table, states, memory, NOW, 10) == [Key(1, "1-0", 0)]
    memory.note([Key(1, "1-0", 0)], NOW)
    assert chosen(table, states, memory, NOW + timedelta(seconds=299), 10) == []
    assert chosen(table, states, memory, NOW + timedelta(seconds=300), 10) == [Key(1, "1-0", 0)]


def test_a_throttled_project_goes_a_batch_at_a_time() -> None:
    table, memory, states = waits(*many(1, 1_500)), Memory(), {1: "throttled"}
    first = chosen(table, states, memory, NOW, 5_000)
    assert len(first) == 1_000
    memory.note(first, NOW)
    assert chosen(table, states, memory, NOW + timedelta(seconds=29), 5_000) == []
    assert len(chosen(table, states, memory, NOW + timedelta(seconds=30), 5_000)) == 500


def test_what_was_put_is_put_again_after_an_hour_or_when_it_waits_for_another_attempt() -> None:
    table, memory, key = waits((1, "a", 0, -1)), Memory(), Key(1, "a", 0)
    memory.note([key], NOW)
    assert chosen(table, OK, memory, NOW + AGAIN, 10) == []
    assert chosen(table, OK, memory, NOW + AGAIN + timedelta(seconds=1), 10) == [key]
    assert chosen(waits((1, "a", 1, -1)), OK, memory, NOW, 10) == [Key(1, "a", 1)]


def test_memory_keeps_only_what_still_waits_for_the_attempt_that_was_put() -> None:
    memory = Memory()
    memory.note([Key(1, "a", 0), Key(1, "b", 0), Key(2, "a", 0)], NOW)
    assert (memory.unsettled(NOW), memory.unsettled(NOW + 2 * AGAIN)) == (3, 0)
    memory.forget(waits((1, "a", 0, -1), (1, "b", 1, -1)))
    assert list(memory.put) == [(1, "a")]


def test_a_blast_leaves_room_for_the_others() -> None:
    table = waits(*many(1, 5_000), *many(2, 3), *many(3, 400))
    found = chosen(table, OK, Memory(), NOW, 1_000)
    assert Counter(key.project_id for key in found) == {1: 597, 2: 3, 3: 400}
    assert [key.event_id for key in found if key.project_id == 1] == [f"1-{at}" for at in range(597)]


@each(
    ("counts", "most", "given"),
    [
        ({}, 10, {}),
        ({1: 5}, 10, {1: 5}),
        ({1: 5, 2: 5}, 4, {1: 2, 2: 2}),
        ({1: 1, 2: 9, 3: 9}, 9, {1: 1, 2: 4, 3: 4}),
        ({1: 9, 2: 9, 3: 9}, 2, {1: 1, 2: 1, 3: 0}),
        ({1: 9}, 0, {1: 0}),
    ],
)
def test_shares(counts: dict[int, int], most: int, given: dict[int, int]) -> None:
    assert shares(counts, most) == given
