"""Which rows are a user's, in each table, and what is left of those that name others too."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ops.maintenance.erasable import Hit, changed, counted
from ops.maintenance.erase_event import Event
from ops.maintenance.erase_users import Users
from stores.lake import COHORT_CHANGES, COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE
from tests.builders import ARRIVAL, OTHER_PROJECT, PROJECT, cohort, encode, event

MINA, JUN = "mina@example.com", "jun@example.com"
WANTED = Users(PROJECT, ARRIVAL, {MINA: "mina"}, {7: "mina"})
EMPTY = encode(cohort(users=[]))
BEFORE = ARRIVAL - timedelta(microseconds=1)
SCHEMA = pa.schema(
    {
        "project_id": pa.int64(),
        "arrival": pa.timestamp("us", "UTC"),
        "shard": pa.string(),
        "user_id": pa.string(),
        "amplitude_id": pa.int64(),
        "payload": pa.large_binary(),
        "reason": pa.string(),
    }
)


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"project_id": PROJECT, "arrival": BEFORE, **row} for row in rows], SCHEMA)


def hits(name: str, *rows: dict[str, Any]) -> list[Hit]:
    (part,) = (part for part in WANTED.parts() if part.table == name)
    return part.hits(table(*rows))


def test_rows_are_hers_by_user_id_or_by_amplitudes_id_where_there_is_no_user_id() -> None:
    rows = [
        {"user_id": MINA},
        {"user_id": JUN},
        {"user_id": None, "amplitude_id": 7},
        {"user_id": JUN, "amplitude_id": 7},
        {"user_id": None, "amplitude_id": 8},
        {"user_id": None},
        {"user_id": MINA, "project_id": OTHER_PROJECT},
        {"user_id": MINA, "arrival": ARRIVAL},
    ]
    assert hits(EVENT_STORE, *rows) == [Hit(0, "mina"), Hit(2, "mina")]
    assert hits(COHORT_CHANGES, *rows) == [Hit(0, "mina")]
    assert hits(EVENT_STORE) == []


def test_users_whom_amplitude_has_deleted_go_by_its_id_also_where_a_row_has_a_user_id() -> None:
    users = Users(PROJECT, ARRIVAL, {}, {}, {7: "seven"})
    (part, *_) = users.parts()
    rows = table({"user_id": JUN, "amplitude_id": 7}, {"user_id": JUN, "amplitude_id": 8}, {"amplitude_id": 7})
    assert part.hits(rows) == [Hit(0, "seven"), Hit(2, "seven")]
    assert users.subjects == ["seven"]


def test_an_event_goes_by_its_name_and_dead_letters_of_it_too() -> None:
    store, letters = Event(PROJECT, ARRIVAL, "Play Song").parts()
    rows = [{"name": "amplitude__Play Song"}, {"name": "amplitude__Play"}, {"name": None}]
    named = pa.Table.from_pylist([{"project_id": PROJECT, "arrival": BEFORE, **row} for row in rows])
    assert store.hits(named) == [Hit(0, "event Play Song")]
    payloads = [encode(event(app=PROJECT)), encode(event(event_type="Play")), b"{", None]
    assert letters.hits(table(*({"payload": one} for one in payloads))) == [Hit(0, "event Play Song")]


def test_of_a_message_only_her_entry_goes() -> None:
    jun = {"user_id": JUN, "user_properties": {"n": 1.50}}
    both = encode(cohort(users=[{"user_id": MINA}, jun, {"user_id": MINA}]))
    (hit,) = hits(COHORT_MESSAGES, {"payload": both}, {"payload": encode(cohort(users=[{"user_id": JUN}]))})
    assert (hit.row, hit.subject) == (0, "mina")
    assert hit.cut == {"payload": encode(cohort(users=[jun]))}


def test_dead_letters_are_hers_by_their_bytes_also_when_they_name_no_project() -> None:
    broken = b'{"user_id":"mina@example.com","app":'
    found = hits(
        DEAD_LETTERS,
        {"payload": broken},
        {"payload": broken, "project_id": None},
        {"payload": broken, "project_id": OTHER_PROJECT},
        {"payload": b'{"user_id":"not-mina@example.com",'},
        {"payload": b'{"amplitude_id":7,"app":'},
        {"payload": b'{"amplitude_id":77,"app":'},
        {"payload": None},
        {"payload": encode(cohort(users=[{"user_id": MINA}])), "project_id": None},
    )
    assert found == [
        Hit(0, "mina"),
        Hit(1, "mina"),
        Hit(4, "mina"),
        Hit(7, "mina", {"payload": EMPTY, "payload_length": len(EMPTY)}),
    ]


def test_rows_go_or_get_another_payload_and_the_rest_keeps_its_order() -> None:
    rows = table(*({"shard": str(n), "payload": b"%d" % n} for n in range(4)))
    left = changed(rows, [Hit(1, "mina"), Hit(2, "mina", {"payload": b"cut"})])
    assert left.schema == rows.schema
    assert [(row["shard"], row["payload"]) for row in left.to_pylist()] == [
        ("0", b"0"),
        ("2", b"cut"),
        ("3", b"3"),
    ]


def test_what_goes_is_counted_as_the_ledger_counts() -> None:
    rows = table({"shard": "a"}, {"shard": "a"}, {"shard": "b", "project_id": None, "reason": "invalid_json"})
    found = counted(rows, DEAD_LETTERS, "run", [Hit(0, "mina"), Hit(1, "mina"), Hit(2, "mina", {"payload": b""})])
    hour = datetime(2026, 3, 15, 9, tzinfo=UTC)
    same = {"erasure": "run", "table_name": DEAD_LETTERS, "subject": "mina", "hour": hour, "month": None}
    assert found == [
        {**same, "change": "removed", "project_id": PROJECT, "shard": "a", "reason": None, "records": 2},
        {**same, "change": "cut", "project_id": None, "shard": "b", "reason": "invalid_json", "records": 1},
    ]
