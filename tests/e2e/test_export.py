"""Message events to Amplitude through real processes: faults of every kind, kills, and a key that was revoked."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab.proofs import export
from lab.sample import messages
from lab.sample.feed import Feed
from lab.sample.messages import EAGER, Message
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import wait_until
from lab.stack.prometheus import reporter_port
from ops.answers.export_ledger import summed, unbalanced
from ops.answers.refused import Refusal, conditions, refused
from ops.maintenance.replay_refused import put
from ops.maintenance.settled import remove_settled
from ops.release.flink_cli import FlinkError
from settings import Settings, load
from stores.destinations import Destination, Destinations
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, OUTBOX, Lake
from stores.project import linked
from stores.projects import Projects
from stores.seal import Seal
from stores.stream import Stream
from tests.e2e.crash import OPTIONS, crash
from tests.metrics import of_the_way_back

EVENTS, PER_SECOND = 5_000, 250
PROJECTS = {1_001 + n: f"shop-{n}" for n in range(20)}
REVOKED = 1_007
FAULTS = ("500 0.05", "503 0.05", "408 0.05", "429 0.02", "413 0.05", "cut 0.07", "slow=6 0.005")
"""Of the requests, 30 % do not go well, beside those that hold an event that Amplitude does not take."""


def key(project_id: int) -> str:
    return f"{project_id:032x}"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-export", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    """20 projects with a destination each; the stand-in knows their keys, and fails as often as told."""
    found = load(stack.write_settings(**stack.start_amplitude()))
    Stream(found.export_stream_address).create(2)
    projects, destinations = Projects(found.tables_address), Destinations(found.tables_address)
    projects.create()
    destinations.create()
    seal = Seal(found.seal_keys)
    for project_id, shop in PROJECTS.items():
        projects.add(linked(project_id, shop))
        sealed = seal.seal(project_id, key(project_id))
        destinations.set(Destination(project_id, "us", sealed, key(project_id)[-4:]))
    export.tell(stack, "keys", *map(key, PROJECTS))
    export.tell(stack, "throttled", EAGER)
    export.tell(stack, "faults", *FAULTS)
    return found


@pytest.fixture(scope="module")
def job(stack: Stack, settings: Settings) -> str:
    submitted = stack.submit(stack.settings_path, job="export")
    stack.flink.wait_until_running(submitted)
    return submitted


def test_amplitude_has_each_event_once_and_each_other_has_its_reason(
    stack: Stack, settings: Settings, job: str
) -> None:
    with pytest.raises(FlinkError, match=f"jobs.export: job {job} holds these tables"):
        stack.submit(stack.settings_path, job="export")
    rng = Random(22)
    made = messages.messages(rng, EVENTS, list(PROJECTS.values()), datetime.now(UTC))
    feed = Feed(Stream(settings.export_stream_address), messages.puts(rng, made), PER_SECOND)
    feed.start()
    stack.start_redeliver()
    feed.wait_for(0.25)
    crash(stack, job)
    feed.wait_for(0.5)
    export.tell(stack, "keys", *(key(one) for one in PROJECTS if one != REVOKED))
    feed.wait_for(0.7)
    stack.kill_redeliver()
    crash(stack, job)
    stack.start_redeliver()
    feed.finish(seconds=120)

    lake, expected = Lake(settings.lake_address), wanted(made)
    wait_until(lambda: first(lake) == expected and not unbalanced(lake), 120, lambda: residual(lake, expected), 1)
    state = Destinations(settings.tables_address).get(REVOKED)
    assert (state.state, state.words.partition(":")[0]) == ("auth_error", "Invalid API key")
    assert key(REVOKED) not in repr(state) + (stack.folder / "log" / "taskmanager-3.log").read_text("utf-8")
    assert any(row["project_id"] == REVOKED and row["reason"] == "auth_error" for row in rows(lake, DELIVERIES))

    # a 413 for a request that holds one event is Amplitude's last word on it, even where the event is fine
    export.tell(stack, "faults", "413 1.0")
    export.tell(stack, "keys", *map(key, PROJECTS))
    Destinations(settings.tables_address).change_state(state, "ok", "")
    blocked = {one.event_id for one in made if one.fate == "blocked"}
    wait_until(lambda: still_refused(lake).keys() - blocked, 120, lambda: still_refused(lake), 1)
    export.tell(stack, "faults")
    eager = {one.event_id for one in made if one.fate == "eager"}
    wait_until(lambda: waits(lake).keys() <= eager, 300, lambda: waits(lake).keys() - eager, 3)
    stack.kill_redeliver()
    wait_until(lambda: not unbalanced(lake), 60, lambda: unbalanced(lake), 1)
    assert still_refused(lake).keys() > blocked
    replayed(stack, settings, lake)

    def blocked_again() -> bool:
        found = still_refused(lake)
        return found.keys() == blocked and all(one.attempt for one in found.values())

    wait_until(blocked_again, 60, lambda: still_refused(lake), 1)
    wait_until(lambda: waits(lake).keys() == eager, 60, lambda: eager - waits(lake).keys(), 1)
    wait_until(lambda: not unbalanced(lake), 60, lambda: unbalanced(lake), 1)
    settled(stack, lake, made)
    assert remove_settled(lake) > 0
    assert (unbalanced(lake), waits(lake).keys()) == ([], eager)


def test_the_export_job_has_the_metrics_that_are_documented(stack: Stack, job: str) -> None:
    """Behind the test above."""
    (alive,) = (name for name in stack.pids() if name.startswith("taskmanager"))

    def missing() -> set[str]:
        with urlopen(f"http://127.0.0.1:{reporter_port(stack.folder / 'log' / f'{alive}.log')}/metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return of_the_way_back() - {sample.name for family in families for sample in family.samples}

    assert len(of_the_way_back()) == 8
    wait_until(lambda: not missing(), 60, missing, pause=1)


def still_refused(lake: Lake) -> dict[str, Refusal]:
    found = (refused(lake, conditions(project_id, None, None)) for project_id in PROJECTS)
    return {event_id: why for one in found for event_id, why in one.items()}


def replayed(stack: Stack, settings: Settings, lake: Lake) -> None:
    """Put again what was refused: of one project by a command that is killed and repeated."""
    export.replay(stack, REVOKED)
    for project_id in PROJECTS.keys() - {REVOKED}:
        where = conditions(project_id, None, None)
        list(put(settings, where, refused(lake, where), rate=1_000))


def settled(stack: Stack, lake: Lake, made: list[Message]) -> None:
    """Amplitude has what is fine, each once, and no other; the rest has its reason."""
    by_fate = defaultdict(list)
    for one in made:
        by_fate[one.fate].append(one.event_id)
    answered = defaultdict(list)
    for row in rows(lake, DELIVERIES):
        answered[row["outcome"]].append(row["event_id"])
    assert sorted(answered["accepted"]) == sorted(by_fate["fine"])
    taken = Counter(one["insert_id"] for one in taken_by(stack.folder / "amplitude" / "taken.jsonl"))
    assert taken == Counter(by_fate["fine"])
    letters = Counter(row["kind"] for row in rows(lake, EXPORT_DEAD_LETTERS))
    assert letters == {"rejected": len(by_fate["broken"]), "refused": len(answered["refused"])}
    ignored = sum(len(one.puts) for one in made if one.fate == "elsewhere")
    assert counted(lake)["ignored", False] == ignored


def wanted(made: list[Message]) -> dict[str, int]:
    """What the ledger must say of first attempts."""
    due = [one for one in made if one.fate in {"fine", "blocked", "eager"}]
    return {"due": sum(len(one.puts) for one in due), "first": len(due)}


def counted(lake: Lake) -> Counter[tuple[str, bool]]:
    found: Counter[tuple[str, bool]] = Counter()
    for row in summed(lake, ("outcome", "redelivery")):
        found[row["outcome"], row["redelivery"]] += row["events"]
    return found


def first(lake: Lake) -> dict[str, int]:
    return {outcome: counted(lake)[outcome, False] for outcome in ("due", "first")}


def residual(lake: Lake, expected: dict[str, int]) -> str:
    return f"{first(lake)}, not {expected}; residuals: {[str(one) for one in unbalanced(lake)[:5]]}"


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    return lake.rows(table).to_pylist() if lake.exists(table) else []


def taken_by(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def waits(lake: Lake) -> dict[str, dict[str, Any]]:
    """By event the row of the outbox that nothing settles; each event has one project here."""
    newest: dict[str, dict[str, Any]] = {}
    for row in rows(lake, OUTBOX):
        newest[row["event_id"]] = max(newest.get(row["event_id"], row), row, key=lambda one: int(one["attempt"]))
    return {event_id: row for event_id, row in newest.items() if row["outcome"] == "waiting"}
