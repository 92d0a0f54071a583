"""Users and cohorts through real processes, the TaskManager killed in mid-stream: all equal the oracle's fold."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.sample import users
from lab.sample.envelopes import array, lines
from lab.sample.events import cohort_message, encode, uuid
from lab.sample.feed import Feed
from lab.sample.generator import Put
from lab.sample.others import COHORTS, PROJECTS
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline, scaled
from ops.answers.ledger import unbalanced
from ops.cli.main import commands
from settings import Settings
from stores.cohorts import CohortMembers
from stores.lake import COHORT_CHANGES, DEAD_LETTERS, USER_UPDATES, Condition, Lake
from stores.profiles import Profiles
from stores.stream import Stream
from stores.usage import UsageTable
from tests import oracle_users
from tests.builders import UNKNOWN_PROJECT, event
from tests.e2e.crash import OPTIONS, crash

UPDATES, USERS, MEMBERS = 20_000, 500, 50_000
IN_ONE_PUT = 25
"""Updates in one record: the emulator of Kinesis gets slow as its stream fills."""
PUTS_PER_SECOND = 30
DAY = datetime(2026, 3, 14, tzinfo=UTC)
COHORT, OWNER = next(iter(COHORTS.items()))


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-users", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


def puts(rng: Random, updates: list[bytes], syncs: list[bytes]) -> list[Put]:
    """Updates some to a record, messages one by one, shuffled."""
    groups = [updates[at : at + IN_ONE_PUT] for at in range(0, len(updates), IN_ONE_PUT)]
    made = [rng.choice((array, lines))(group) for group in groups] + syncs
    rng.shuffle(made)
    return [Put(uuid(rng), data) for data in made]


def test_a_kill_in_the_middle_leaves_profiles_and_members_exact(
    stack: Stack, settings: Settings, job: str
) -> None:
    rng = Random(9)
    names = [f"user-{n}@example.com" for n in range(USERS)]
    updates = users.updates(rng, UPDATES, names, [one.project_id for one in PROJECTS], DAY)
    syncs = users.cohort_sync(rng, COHORT, MEMBERS, 1000, DAY)
    feed = Feed(Stream(settings.stream_address), puts(rng, updates, syncs), PUTS_PER_SECOND)
    feed.start()
    feed.wait_for(0.3)
    crash(stack, job)
    feed.wait_for(0.7)
    crash(stack, job)
    feed.finish(seconds=120)

    lake = Lake(settings.lake_address)
    entries = sum(len(oracle_users.read(message)["users"]) for message in set(syncs))
    wait_until(stack, job, lambda: lake.rows(USER_UPDATES, ("uuid",)).num_rows, UPDATES)
    wait_until(stack, job, lambda: lake.rows(COHORT_CHANGES, ("sequence",)).num_rows, entries)
    assert_profiles(stack, job, settings, oracle_users.profiles(updates))
    members = oracle_users.members(syncs)
    present = {user for (_, user), (_, enters) in members.items() if enters}
    table = CohortMembers(settings.tables_address)
    wait_until(stack, job, lambda: table.count(OWNER, COHORT), len(present))
    assert {member.user_id for member in table.members(OWNER, COHORT)} == present

    uuids = lake.rows(USER_UPDATES, ("uuid",))["uuid"].to_pylist()
    assert len(uuids) == len(set(uuids)) == UPDATES
    changes = lake.rows(COHORT_CHANGES, ("message_id", "user_id")).to_pylist()
    assert len({(row["message_id"], row["user_id"]) for row in changes}) == len(changes) == entries
    usage = UsageTable(settings.tables_address).list()
    assert sum(one.updates for one in usage) == UPDATES
    assert sum(one.update_records for one in usage) == len(updates)


def test_what_waits_for_a_registration_is_applied_by_a_replay(stack: Stack, settings: Settings, job: str) -> None:
    message = encode(cohort_message(Random(3), "late01", DAY, 40) | {"in_cohort": True})
    for acknowledged in Stream(settings.stream_address).put([("a", message)]):
        assert acknowledged == 1
    waiting = [Condition("reason", "=", "unknown_cohort")]
    lake = Lake(settings.lake_address)
    wait_until(stack, job, lambda: lake.rows(DEAD_LETTERS, ("sequence",), waiting).num_rows, 1)
    bridge(stack, "cohorts", "add", "late01", str(OWNER))
    time.sleep(scaled(settings.ingest.projects_refresh_seconds + 1))
    replay = ("dead-letters", "replay", "--reason", "unknown_cohort")
    assert bridge(stack, *replay) == "put on the stream again: 1\n"
    assert bridge(stack, *replay) == (
        "put on the stream again: 0\nleft out, replayed before (--state all takes them too): 1\n"
    )
    table = CohortMembers(settings.tables_address)
    wait_until(stack, job, lambda: table.count(OWNER, "late01"), 40)
    changes = [Condition("cohort_id", "=", "late01")]
    wait_until(stack, job, lambda: lake.rows(COHORT_CHANGES, ("user_id",), changes).num_rows, 40)
    assert bridge(stack, "dead-letters", "stats", "--reason", "unknown_cohort").startswith("no dead letters match")
    listed = ("dead-letters", "list", "--state", "replayed", "--json")
    wait_until(stack, job, lambda: [one["outcome"] for one in json.loads(bridge(stack, *listed))], ["cohort"])
    wait_until(stack, job, lambda: unbalanced(settings), [])


def test_events_that_wait_are_counted_once_however_often_they_are_replayed(
    stack: Stack, settings: Settings, job: str
) -> None:
    late, never = UNKNOWN_PROJECT, 7
    waiting = [encode(event(app=late, event_type="page", uuid=f"late-{n}")) for n in range(32)]
    unknown = [encode(event(app=never, event_type="page", uuid=f"never-{n}")) for n in range(2)]
    assert sum(Stream(settings.stream_address).put((str(n), one) for n, one in enumerate(waiting + unknown))) == 34
    refused = {"received": 32, "stored": 0, "duplicates": 0, "not_taken": {"unknown_project": 32}}
    wait_until(stack, job, lambda: page(stack, late), refused)
    assert stats(stack, late) == [32]

    bridge(stack, "projects", "add", str(late), "late-shop", "--linked-at", "2020-01-01T00:00:00Z")
    time.sleep(scaled(settings.ingest.projects_refresh_seconds + 1))
    replay = ("dead-letters", "replay", "--project")
    assert bridge(stack, *replay, str(late)) == "put on the stream again: 32\n"
    assert stats(stack, late) == []
    taken = {"received": 32, "stored": 32, "duplicates": 0, "not_taken": {}}
    wait_until(stack, job, lambda: page(stack, late), taken)
    assert bridge(stack, *replay, str(late)).startswith("put on the stream again: 0\n")

    letters = [Condition("project_id", "=", never)]
    for times in (2, 3, 4):
        wait_until(stack, job, lambda: stats(stack, never), [2])
        assert bridge(stack, *replay, str(never), "--anyway").startswith("put on the stream again: 2\n")
        rows = partial(Lake(settings.lake_address).rows, DEAD_LETTERS, ("sequence",), letters)
        wait_until(stack, job, lambda rows=rows: rows().num_rows, 2 * times)
    assert stats(stack, never) == [2]
    refused = {"received": 2, "stored": 0, "duplicates": 0, "not_taken": {"unknown_project": 2}}
    wait_until(stack, job, lambda: page(stack, never), refused)
    wait_until(stack, job, lambda: unbalanced(settings), [])


def page(stack: Stack, project_id: int) -> dict[str, Any]:
    """What `diagnose` says of the events of one name; behind that it complains of a project that nobody has."""
    done = command(stack, "diagnose", str(project_id), "--json")
    assert done.exit_code == 0 or f"{project_id} is not registered" in str(done.exception), done.output
    found = json.loads(done.stdout)["names"]
    columns = ("received", "stored", "duplicates", "not_taken")
    return {name: one[name] for one in found if one["name"] == "amplitude__page" for name in columns}


def stats(stack: Stack, project_id: int) -> list[int]:
    found = json.loads(bridge(stack, "dead-letters", "stats", "--project", str(project_id), "--json"))
    return [row["records"] for row in found]


def bridge(stack: Stack, group: str, *arguments: str) -> str:
    """What a command says that is to succeed."""
    done = command(stack, group, *arguments)
    assert done.exit_code == 0, done.output or done.exception
    return done.stdout


def command(stack: Stack, group: str, *arguments: str) -> Result:
    """In this process: a start takes seconds of a core, and loops here ask each second."""
    return CliRunner().invoke(commands, [group, "--config", str(stack.settings_path), *arguments])


def assert_profiles(stack: Stack, job: str, settings: Settings, expected: oracle_users.Profiles) -> None:
    table = Profiles(settings.tables_address)

    def right() -> int:
        found = table.of_users(expected)
        return sum(oracle_users.read(found[key].properties) == properties for key, properties in expected.items())

    wait_until(stack, job, right, len(expected))


def wait_until(stack: Stack, job: str, count: Callable[[], Any], wanted: Any) -> None:
    """Return when there are as many as wanted."""
    deadline = Deadline(180)
    while (found := count()) != wanted:
        assert stack.flink.job_state(job) in {"RUNNING", "RESTARTING"}, stack.flink.root_cause(job)
        assert not deadline.over, f"{found} instead of {wanted}"
        deadline.pause(1)
