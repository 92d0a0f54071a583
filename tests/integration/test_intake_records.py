"""What comes by the intake, through the real graph: all is the key's project's, and nobody else is believed."""

import gzip
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from ops.answers import ledger
from settings import Intake
from stores.cohorts import CohortMembers, Cohorts
from stores.lake import COHORT_CHANGES, COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Lake
from stores.profiles import Profiles
from stores.project import linked
from tests.builders import MISSING, OTHER_PROJECT, PROJECT, cohort, encode, event, user_update
from tests.intake import KEY, OTHER_KEY, SPOOFED, enclosed, keys_file, mac_keys, spoofs
from tests.integration import cluster
from tests.integration.cluster import Arrival

NOW = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
TENANTS = [linked(PROJECT, "acme"), linked(OTHER_PROJECT, "globex")]
BIG = linked(2**63 - 1, "initech")
THEIRS = "gs72ns"


def of_key(project_id: int, *records: Any, request_id: str = "r-1") -> bytes:
    return enclosed(project_id, b"\n".join(map(encode, records)), request_id=request_id)


def named(uuid: str, **fields: Any) -> dict[str, Any]:
    return event(uuid=uuid, **{"app": MISSING, **fields})


FED = {
    "alone": of_key(PROJECT, named("a", app=PROJECT)),
    "without app": of_key(PROJECT, named("b")),
    "packed": enclosed(PROJECT, gzip.compress(encode([named("c"), named("b")])), request_id="r-2"),
    "of a number that is no double": of_key(BIG.project_id, named("d")),
    "users": of_key(PROJECT, user_update(app=MISSING, uuid="u"), request_id="r-3"),
    "cohort": of_key(PROJECT, cohort(cohort_id="ours", users=[{"user_id": "x"}])),
    "their cohort": of_key(PROJECT, cohort(cohort_id=THEIRS, cohort_name="mine", users=[{"user_id": "y"}])),
    "theirs, by themselves": encode(cohort(cohort_id=THEIRS, cohort_name="theirs", users=[{"user_id": "z"}])),
    "mismatch": of_key(PROJECT, named("e", app=OTHER_PROJECT), request_id="r-4"),
    "beyond its scope": enclosed(
        PROJECT, encode([cohort(cohort_id="ours"), named("h")]), request_id="r-6", scopes=("events",)
    ),
    "broken": enclosed(PROJECT, b'{"app":100011471,', request_id="r-5"),
    "forged": enclosed(OTHER_PROJECT, encode(named("f")), mac_keys(OTHER_KEY)),
    "on the stream": encode(event(uuid="g", app=OTHER_PROJECT)),
}


def arrivals(payloads: list[bytes]) -> list[Arrival]:
    return [
        Arrival(data, NOW + timedelta(milliseconds=n), f"shardId-{n % 3:012d}", str(10**50 + n))
        for n, data in enumerate(payloads)
    ]


def with_keys(where: cluster.Place, folder: Path) -> cluster.Place:
    file = str(keys_file(KEY, folder=folder))
    return where._replace(settings=where.settings.model_copy(update={"intake": Intake(mac_keys_file=file)}))


def rows(lake: Lake, table: str, *columns: str) -> list[tuple[Any, ...]]:
    found: pa.Table = lake.rows(table, columns)
    return sorted(zip(*(found[name].to_pylist() for name in columns), strict=True), key=repr)


def test_what_comes_by_a_key_is_its_projects_and_what_is_forged_nobodys(
    tmp_path: Path, dynamodb_endpoint: str
) -> None:
    where = with_keys(
        cluster.place(tmp_path, dynamodb_endpoint, [*TENANTS, BIG], {THEIRS: OTHER_PROJECT}), tmp_path
    )
    env = cluster.build(where, 2, timedelta(days=40))
    cluster.write(where.records, "fed.json", arrivals([*FED.values()]))
    with cluster.running(env) as job:
        cluster.at_rest(where, job, records=len(FED) + 2)
        assert cluster.until(lambda: ledger.unbalanced(where.settings), lambda some: some == [], job) == []
        tables = where.settings.tables_address
        members = CohortMembers(tables)
        cluster.until(lambda: members.count(PROJECT, "ours"), lambda n: n == 1, job)
        cluster.until(lambda: members.count(OTHER_PROJECT, THEIRS), lambda n: n == 1, job)
        cluster.until(lambda: Cohorts(tables).get(THEIRS).name, lambda name: name is not None, job)
    lake = Lake(where.settings.lake_address)
    assert rows(lake, EVENT_STORE, "uuid", "project_id", "notifly_project") == [
        *(("a", PROJECT, "acme"), ("b", PROJECT, "acme"), ("c", PROJECT, "acme")),
        *(("d", BIG.project_id, "initech"), ("g", OTHER_PROJECT, "globex"), ("h", PROJECT, "acme")),
    ]
    assert rows(lake, USER_UPDATES, "uuid", "project_id") == [("u", PROJECT)]
    (key,) = Profiles(tables).users()
    assert key[0] == PROJECT
    assert Counter(rows(lake, COHORT_MESSAGES, "project_id")) == {(PROJECT,): 2, (OTHER_PROJECT,): 1}
    assert rows(lake, COHORT_CHANGES, "project_id", "cohort_id", "user_id") == [
        *((OTHER_PROJECT, THEIRS, "z"), (PROJECT, THEIRS, "y"), (PROJECT, "ours", "x")),
    ]
    assert [one.user_id for one in members.members(OTHER_PROJECT, THEIRS)] == ["z"]
    assert [one.user_id for one in members.members(PROJECT, THEIRS)] == ["y"]
    assert Cohorts(tables).get(THEIRS).name == "theirs"
    assert rows(lake, DEAD_LETTERS, "reason", "project_id", "request_id", "payload") == [
        ("app_mismatch", PROJECT, "r-4", encode(named("e", app=OTHER_PROJECT))),
        ("intake_mac_invalid", None, None, FED["forged"]),
        ("invalid_json", PROJECT, "r-5", b'{"app":100011471,'),
        ("scope_missing", PROJECT, "r-6", encode(cohort(cohort_id="ours"))),
    ]


def test_no_spoof_leaves_a_row_of_another_project(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = with_keys(cluster.place(tmp_path, dynamodb_endpoint, TENANTS, {THEIRS: OTHER_PROJECT}), tmp_path)
    records = (event(app=MISSING), user_update(app=MISSING), cohort())
    bodies = [body for record in records for body in spoofs(record, OTHER_PROJECT, SPOOFED)]
    payloads = [enclosed(PROJECT, body) for body in bodies] + [
        enclosed(OTHER_PROJECT, body, mac_keys(OTHER_KEY)) for body in bodies
    ]
    env = cluster.build(where, 2, timedelta(days=40))
    cluster.write(where.records, "fed.json", arrivals(payloads))
    with cluster.running(env) as job:
        found = cluster.at_rest(where, job, records=len(payloads))
    lake = Lake(where.settings.lake_address)
    for table in (EVENT_STORE, USER_UPDATES, COHORT_MESSAGES, COHORT_CHANGES):
        assert set(rows(lake, table, "project_id")) == {(PROJECT,)}
    assert {one.project_id for one in found.usage} == {PROJECT}
    dead = Counter((project_id, reason) for project_id, reason in rows(lake, DEAD_LETTERS, "project_id", "reason"))
    assert dead.pop((None, "intake_mac_invalid")) == len(bodies)
    assert {project_id for project_id, _ in dead} == {PROJECT}
    assert CohortMembers(where.settings.tables_address).count(OTHER_PROJECT, THEIRS) == 0


def test_without_the_keys_nothing_by_the_intake_is_taken(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, TENANTS)
    env = cluster.build(where, 1, timedelta(days=40))
    cluster.write(where.records, "fed.json", arrivals([FED["packed"]]))
    with cluster.running(env) as job:
        cluster.at_rest(where, job, records=1)
    ((reason, detail),) = rows(Lake(where.settings.lake_address), DEAD_LETTERS, "reason", "detail")
    assert reason == "intake_mac_invalid"
    assert detail.startswith("no key can check it: intake.mac_keys_file is not set")
