"""Users and cohorts through the real graph: profiles and memberships are the oracle's, whatever the order."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from lab.proofs import report
from lab.sample import users
from settings import Settings
from stores.cohorts import CohortMembers, Cohorts
from stores.lake import COHORT_CHANGES, USER_UPDATES, Lake
from stores.profiles import Profiles
from stores.project import linked
from tests import oracle_users
from tests.builders import MISSING, OTHER_PROJECT, PROJECT, cohort, encode, event, user_update
from tests.integration import cluster
from tests.integration.cluster import Arrival

NOW = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
DAY = datetime(2026, 3, 14, tzinfo=UTC)
TENANTS = [linked(PROJECT, "acme"), linked(OTHER_PROJECT, "globex")]
COHORTS = {"gs72ns": PROJECT, "k3w9ab": OTHER_PROJECT}
USERS = [f"user-{n}@example.com" for n in range(40)]


def arrivals(payloads: list[bytes]) -> list[Arrival]:
    return [
        Arrival(data, NOW + timedelta(milliseconds=n), f"shardId-{n % 3:012d}", str(10**50 + n))
        for n, data in enumerate(payloads)
    ]


def profiles(settings: Settings, keys: list[tuple[int, str]]) -> oracle_users.Profiles:
    found = Profiles(settings.tables_address).of_users(keys)
    return {key: oracle_users.read(one.properties) for key, one in found.items() if one.version}


def present(settings: Settings, cohort_id: str) -> set[str]:
    members = CohortMembers(settings.tables_address).members(COHORTS[cohort_id], cohort_id)
    return {member.user_id for member in members}


def test_profiles_and_members_are_the_fold_of_all_updates(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, TENANTS, COHORTS)
    rng = Random(5)
    updates = users.updates(rng, 1500, USERS, [PROJECT, OTHER_PROJECT], DAY)
    syncs = [data for cohort_id in COHORTS for data in users.cohort_sync(rng, cohort_id, 1200, 100, DAY)]
    fed = updates + syncs
    rng.shuffle(fed)
    env = cluster.build(where, 2, timedelta(days=40))
    for start in range(0, len(fed), 300):
        cluster.write(where.records, f"{start}.json", arrivals(fed)[start : start + 300])
    expected = oracle_users.profiles(updates)
    with cluster.running(env) as job:
        found = cluster.at_rest(where, job, len(fed))
        written = cluster.until(lambda: profiles(where.settings, list(expected)), lambda one: one == expected, job)
        members = oracle_users.members(syncs)
        for cohort_id in COHORTS:
            entered = {user for (one, user), (_, enters) in members.items() if one == cohort_id and enters}
            cluster.until(lambda c=cohort_id: present(where.settings, c), lambda one, e=entered: one == e, job)
    assert len(written) > 70
    assert (sum(u.update_records for u in found.usage), sum(u.updates for u in found.usage)) == (1650, 1500)
    lake = Lake(where.settings.lake_address)
    assert lake.rows(USER_UPDATES, ("identity",)).num_rows == len(set(updates))
    changes = lake.rows(COHORT_CHANGES).to_pylist()
    entries = {
        (message["cohort_id"], user["user_id"], message["in_cohort"], message["message_id"])
        for message in map(oracle_users.read, set(syncs))
        for user in message["users"]
    }
    assert len(changes) == len(entries)
    names = ("cohort_id", "user_id", "in_cohort", "message_id")
    assert {tuple(change[name] for name in names) for change in changes} == entries
    assert {one.name for one in Cohorts(where.settings.tables_address).list()} == {"VIP 🧶 재구매"}


ODD: list[dict[str, Any]] = [
    user_update(uuid="device", user_id=None),
    user_update(uuid="sentinel", user_id="unknown"),
    user_update(uuid="long", user_id="u" * 5000),
    user_update(uuid="group", event_type="$groupidentify"),
    user_update(uuid="list", user_id="odd", user_properties=["a"]),
    user_update(uuid="operands", user_id="odd", user_properties={"$add": "1", "$set": None, "$append": {"x": 1}}),
    user_update(uuid="unknown operator", user_id="odd", user_properties={"$max": {"x": 9}, "": 1, "a.b": "😀"}),
    user_update(uuid="nothing", user_id="new", user_properties={}),
    user_update(uuid="many", user_id="many", user_properties={f"p{n}": n for n in range(1000)}),
    user_update(uuid="large", user_id="large", user_properties={"text": "밤" * 350_000}),
    {"app": PROJECT, "user_id": "api", "user_properties": {"plan": "pro", "logins": "17"}, "paying": "true"},
    cohort(users=[]),
    cohort(
        message_id="odd", users=[{"user_id": "in"}, {"user_id": ""}, {"user_id": 7}, "x", {"user_id": "u" * 5000}]
    ),
    cohort(message_id="ahead", computed_time="99999999999", users=[{"user_id": "ahead"}]),
    cohort(message_id="left", computed_time="1773565200", in_cohort=False, users=[{"user_id": "ahead"}]),
    cohort(message_id="number", computed_time=MISSING, compute_time=1685748246, users=[{"user_id": "later"}]),
    event(uuid="snapshot", user_id="seen", user_properties={"$set": 1, "grade": "VIP"}),
    event(uuid="backfill", user_id="seen", event_time="2026-01-01 00:00:00", user_properties={"grade": "old"}),
]
"""What is odd about users and cohorts; the project asks for properties on events."""


def test_odd_users_have_their_outcomes_and_stop_nothing(tmp_path: Path, dynamodb_endpoint: str) -> None:
    asks = linked(PROJECT, "acme")._replace(snapshot_hours=24)
    where = cluster.place(tmp_path, dynamodb_endpoint, [asks], {"gs72ns": PROJECT})
    env = cluster.build(where, 1, timedelta(days=40))
    cluster.write(where.records, "odd.json", arrivals([encode(record) for record in ODD]))
    users = ["odd", "new", "many", "large", "api", "seen", "unknown", "u" * 5000]
    expected = {
        "odd": {"x": [1], "$max": {"x": 9}, "": 1, "a.b": "😀"},
        "new": {},
        "many": {f"p{n}": n for n in range(1000)},
        "large": {"text": "밤" * 350_000},
        "api": {"plan": "pro", "logins": "17"},
        "seen": {"$set": 1, "grade": "VIP"},
    }
    with cluster.running(env) as job:
        cluster.at_rest(where, job, len(ODD))
        cluster.until(
            lambda: profiles(where.settings, [(PROJECT, user) for user in users]),
            lambda found: found == {(PROJECT, user): properties for user, properties in expected.items()},
            job,
        )
        cluster.until(lambda: present(where.settings, "gs72ns"), lambda found: found == {"in", "7", "later"}, job)
    lake = Lake(where.settings.lake_address)
    history = {row["uuid"]: row["to_profile"] for row in lake.rows(USER_UPDATES).to_pylist()}
    assert {uuid for uuid, merged in history.items() if not merged} == {"device", "sentinel", "long", "group"}
    changes = lake.rows(COHORT_CHANGES).to_pylist()
    entries = [row["entry"] for row in changes if row["user_id"] is None]
    assert sorted(map(len, entries)) == [3, 14, len('{"user_id":""}') + 5000]
    (ahead,) = [row for row in changes if row["message_id"] == "ahead"]
    assert ahead["computed_time"] == ahead["arrival"] - timedelta(days=1)
    assert report.gather(where.settings).records == len(ODD)
