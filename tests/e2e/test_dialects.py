"""Braze's traffic and a cohort's sync through a real intake and a real job, into tables, profiles and usage."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from urllib3 import HTTPConnectionPool, Retry

from lab.sample.others import PROJECTS
from lab.sample.registry import create
from lab.stack import intake
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import scaled
from lab.stack.patience import wait_until as wait
from lab.stack.process import free_port
from ops.answers.ledger import unbalanced
from settings import Settings, load
from stores.access_keys import AccessKeys
from stores.cohorts import CohortMembers
from stores.lake import COHORT_CHANGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Condition, Lake
from stores.profiles import Profiles
from stores.usage import UsageTable
from tests.e2e.crash import OPTIONS

PROJECT, OTHER = (one.project_id for one in PROJECTS)
REQUESTS, USERS = 30, 15
COHORTS = "/amplitude/v1/cohorts"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-dialects", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    keys = stack.folder / "mac-keys"
    keys.write_bytes(b64encode(b"m" * 32) + b"\n")
    own = {"mac_keys_file": str(keys), "port": free_port(), "workers": 1}
    found = load(stack.write_settings(intake=own))
    create(found, shards=2)
    return found


class Door(NamedTuple):
    """The intake as a sender of a project sees it."""

    pool: HTTPConnectionPool
    key: str

    def post(self, path: str, body: object, request_id: str | None = None) -> Any:
        """Its answer; asked again while Kinesis is slow, as senders do."""
        headers = {"Authorization": f"Bearer {self.key}"} | ({"Request-Id": request_id} if request_id else {})
        again = Retry(10, backoff_factor=0.1, allowed_methods=None, status_forcelist={503})
        got = self.pool.urlopen(
            "POST", path, json.dumps(body).encode(), headers, retries=again, timeout=scaled(20)
        )
        assert got.status in {200, 201}, got.data
        return got.json()


@pytest.fixture(scope="module")
def door(stack: Stack, settings: Settings, job: str) -> Iterator[Door]:
    table = AccessKeys(settings.tables_address)
    table.create()
    key = table.add(PROJECT, ["events", "cohorts"], "a test", app_ids=["shop-app"]).text
    process = intake.start(stack.settings_path, stack.folder / "log" / "intake.log")
    try:
        yield Door(HTTPConnectionPool("127.0.0.1", settings.intake.port, maxsize=4), key)
    finally:
        process.stop(patience=15)


def until(stack: Stack, job: str, look: Callable[[], Any], wanted: Any) -> None:
    """Return when the tables say what is wanted."""
    wait(
        lambda: look() == wanted,
        120,
        lambda: f"{look()} instead of {wanted}, the job is {stack.flink.job_state(job)}",
    )


def request(number: int) -> dict[str, Any]:
    """A back end's request: each user has an event, a purchase and one point more; an object is wrong."""
    users = [f"user-{n}" for n in range(USERS)]
    at = f"2026-03-15T18:{number:02}:00+09:00"
    return {
        "attributes": [{"external_id": user, "points": {"inc": 1}, "seen": number} for user in users],
        "events": [
            *({"external_id": user, "app_id": "shop-app", "name": "opened", "time": at} for user in users),
            {"external_id": "user-1", "app_id": "another-app", "name": "opened", "time": at},
        ],
        "purchases": [
            {"external_id": user, "product_id": "pen", "currency": "KRW", "price": 900, "quantity": 2, "time": at}
            for user in users
        ],
    }


def test_a_back_ends_traffic_becomes_events_user_updates_and_usage(
    stack: Stack, settings: Settings, job: str, door: Door
) -> None:
    for number in range(REQUESTS):
        for _ in range(2):  # its answer was lost: it is sent again
            got = door.post("/users/track", request(number), f"request-{number}")
            assert {got[f"{array}_processed"] for array in ("attributes", "events", "purchases")} == {USERS}
            assert [(one["input_array"], one["index"]) for one in got["errors"]] == [("events", USERS)]

    lake, each = Lake(settings.lake_address), REQUESTS * USERS
    until(stack, job, lambda: lake.rows(EVENT_STORE, ("uuid",)).num_rows, 2 * each)
    until(stack, job, lambda: lake.rows(USER_UPDATES, ("uuid",)).num_rows, each)
    rows = lake.rows(
        EVENT_STORE, ("project_id", "notifly_project", "name", "user_id", "identity_rung")
    ).to_pylist()
    assert {(row["project_id"], row["notifly_project"], row["identity_rung"]) for row in rows} == {
        (PROJECT, PROJECTS[0].notifly_project, 1)
    }
    assert Counter(row["name"] for row in rows) == {"amplitude__opened": each, "amplitude__purchase": each}
    assert Counter(row["user_id"] for row in rows) == {f"user-{n}": 2 * REQUESTS for n in range(USERS)}
    profiles = Profiles(settings.tables_address)
    wanted = {(PROJECT, f"user-{n}"): {"points": REQUESTS, "seen": REQUESTS - 1} for n in range(USERS)}

    def known() -> dict[tuple[int, str], Any]:
        return {key: json.loads(one.properties) for key, one in profiles.of_users(wanted).items()}

    until(stack, job, known, wanted)
    table = UsageTable(settings.tables_address)
    until(
        stack,
        job,
        lambda: [(one.project_id, one.events, one.updates) for one in table.list()],
        [(PROJECT, 2 * each, each)],
    )
    (total,) = table.list()
    assert total.records >= 4 * each  # the intake puts once more what Kinesis is slow to acknowledge
    assert total.update_records >= 2 * each
    assert lake.rows(DEAD_LETTERS, ("reason",)).num_rows == 0
    until(stack, job, lambda: unbalanced(settings), [])


def test_a_cohort_enters_leaves_and_is_created_anew(
    stack: Stack, settings: Settings, job: str, door: Door
) -> None:
    users = [f"user-{n:05}@example.com" for n in range(4_000)]
    table, cohort = CohortMembers(settings.tables_address), {"cohort_id": "gs72ns", "cohort_name": "Carts"}
    first = door.post(COHORTS, cohort)["listId"]
    with ThreadPoolExecutor(4) as pool:  # as Amplitude does
        batches = [users[at : at + 1_000] for at in range(0, len(users), 1_000)]
        list(pool.map(lambda batch: door.post(f"{COHORTS}/{first}/add", {"users": batch}), batches))
    until(stack, job, lambda: table.count(PROJECT, "gs72ns"), len(users))
    door.post(f"{COHORTS}/{first}/remove", {"users": users[:3_000]})
    until(stack, job, lambda: table.count(PROJECT, "gs72ns"), 1_000)
    door.post(f"{COHORTS}/{first}/add", {"users": users[:1_000]})  # a call that was there before, and is no copy
    until(stack, job, lambda: table.count(PROJECT, "gs72ns"), 2_000)

    second = door.post(COHORTS, cohort)["listId"]
    until(stack, job, lambda: table.count(PROJECT, "gs72ns"), 0)
    door.post(f"{COHORTS}/{second}/add", {"users": ["ann-17", users[0]]})
    until(stack, job, lambda: {one.user_id for one in table.members(PROJECT, "gs72ns")}, {"ann-17", users[0]})
    assert table.count(OTHER, "gs72ns") == 0
    changes = [Condition("cohort_id", "=", "gs72ns")]
    lake = Lake(settings.lake_address)
    until(stack, job, lambda: lake.rows(COHORT_CHANGES, ("user_id",), changes).num_rows, 8_004)
    resets = lake.rows(COHORT_CHANGES, ("user_id", "entry", "in_cohort"), changes).to_pylist()
    assert [(one["user_id"], one["in_cohort"]) for one in resets if one["entry"]] == [(None, False)] * 2
    until(stack, job, lambda: unbalanced(settings), [])
