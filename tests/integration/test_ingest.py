"""The real topology against the oracle: what is stored, dead-lettered and counted, row by row."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.expressions import EqualTo

from lab.proofs import report
from lab.sample import generator
from ops.answers import ledger
from settings import Settings
from stores.lake import COHORT_MESSAGES, DEAD_LETTERS, EVENT_COUNTS, EVENT_STORE, USER_UPDATES, Lake
from tests.compare import assert_as_expected, link_times
from tests.integration import cluster
from tests.integration.cluster import Arrival
from tests.oracle import expect

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PROJECTS = list(generator.PROJECTS)
RECORDS = 1600


MADE = generator.generate(RECORDS, seed=3, now=NOW)


def arrivals() -> list[Arrival]:
    return [
        Arrival(put.data, NOW + timedelta(milliseconds=i), f"shardId-{i % 3:012d}", str(10**50 + i))
        for i, put in enumerate(MADE.puts)
    ]


def first_event() -> Arrival:
    """A record that is one event of the first project, linked since ever."""
    ever = {PROJECTS[0].project_id: [(datetime.min, None)]}  # noqa: DTZ901  naive UTC, as the registry has it
    return next(a for a in arrivals() if expect([a[:2]], ever).records.total() == 1)


@pytest.mark.parametrize("parallelism", [1, 2])
def test_every_record_ends_where_the_oracle_says(parallelism: int, tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, PROJECTS, generator.COHORTS)
    fed = arrivals()
    env = cluster.build(where, parallelism, timedelta(days=40))
    for start in range(0, RECORDS, 200):
        cluster.write(where.records, f"{start}.json", fed[start : start + 200])
    with cluster.running(env) as job:
        found = cluster.at_rest(where, job, MADE.truth.outcomes)
        assert cluster.until(lambda: ledger.unbalanced(where.settings), lambda some: some == [], job) == []
    lake = Lake(where.settings.lake_address)
    events, dead, users, cohorts = (
        lake.rows(table).to_pylist() for table in (EVENT_STORE, DEAD_LETTERS, USER_UPDATES, COHORT_MESSAGES)
    )
    expected = expect([(one.payload, one.arrival) for one in fed], link_times(PROJECTS, generator.COHORTS))

    assert_as_expected(events, dead, found.usage, expected, user_updates=users, cohorts=cohorts)
    by_sequence = {one.sequence: one for one in fed}
    for row in (*events, *dead, *users, *cohorts):
        origin = by_sequence[row["sequence"]]
        assert (row["shard"], row["arrival"]) == (origin.shard, origin.arrival)
    for row in (*dead, *cohorts):
        alone = row["sub_index"] is None and row.get("kind") != "not_linked" and not row.get("payload_sha256")
        assert not alone or row["payload"] == by_sequence[row["sequence"]].payload
    parts = [(row["sequence"], row["sub_index"]) for row in (*events, *dead) if row["sub_index"] is not None]
    assert len(parts) == len(set(parts)) > RECORDS // 100
    assert {row["popup_trigger"] for row in events} == {False}
    counted = ledger.summed(lake, ("project_id", "name", "kind"), table=EVENT_COUNTS)
    stored = Counter((event["project_id"], event["name"]) for event in events)
    assert {(c["project_id"], c["name"]): c["first_copies"] for c in counted if c["kind"] == "event"} == stored
    received = Counter[int]()
    for one in counted:
        received[one["project_id"]] += one["records"] if one["kind"] == "event" else 0
    assert received == expected.records
    assert_ledger_finds_what_is_lost(where.settings)


def assert_ledger_finds_what_is_lost(settings: Settings) -> None:
    """Behind all else: the events of one project are deleted."""
    table, project_id = Lake(settings.lake_address).table(EVENT_STORE), PROJECTS[1].project_id
    lost = table.scan(EqualTo("project_id", project_id)).count()
    table.delete(EqualTo("project_id", project_id))
    found = ledger.unbalanced(settings)
    assert {(one.account.what, one.account.project, one.found) for one in found} == {
        ("events", str(project_id), 0)
    }
    assert sum(one.counted for one in found) == lost > 100


def test_a_copy_after_the_window_is_an_event_again_and_totals_go_on(
    tmp_path: Path, dynamodb_endpoint: str
) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, PROJECTS)
    origin = first_event()
    env = cluster.build(where, 1, window=timedelta(seconds=3))
    cluster.write(where.records, "first.json", [origin])
    with cluster.running(env) as job:
        cluster.at_rest(where, job, records=1)
        time.sleep(4)
        cluster.write(where.records, "again.json", [origin])
        found = cluster.until(
            lambda: report.gather(where.settings),
            lambda r: r.stored.total() == r.records == sum(u.events for u in r.usage) == 2,
            job,
        )
    # the totals' own state is kept for ever, whatever the window of the dedupe is
    assert [(u.records, u.events) for u in found.usage] == [(2, 2)]


def test_a_project_registered_while_the_job_runs_is_known_soon(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [])
    one = first_event()
    env = cluster.build(where, 1, timedelta(days=40))
    cluster.write(where.records, "before.json", [one])
    with cluster.running(env) as job:
        before = cluster.at_rest(where, job, records=1)
        cluster.register(where, PROJECTS[0])
        cluster.write(where.records, "after.json", [one])
        after = cluster.at_rest(where, job, records=2)
    assert (before.quarantined.total(), before.usage) == (1, [])
    assert [(u.project_id, u.records, u.events) for u in after.usage] == [(PROJECTS[0].project_id, 1, 1)]
