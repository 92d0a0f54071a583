"""Alerts in a real DynamoDB: a threshold is claimed once and told until acknowledged, whoever looks or fails."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.cli.projects import projects as projects_command
from ops.cli.usage import usage as usage_command
from ops.metering.metrics import Metrics
from ops.metering.watch import Watch
from settings import load
from stores.alerts import Alerts, Notification
from stores.destinations import Destination, Destinations
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.project import Terms, linked
from stores.projects import Projects
from stores.statements import Statements
from stores.usage import Usage, UsageTable

MONTH = f"{datetime.now(UTC):%Y-%m}"
ACME = linked(1, "acme", monthly_limit=100)


@pytest.fixture
def config(tmp_path: Path, dynamodb_endpoint: str) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )
    tables = load(path).tables_address
    for table in (Projects, UsageTable, Alerts, Statements):
        table(tables).create()
    Projects(tables).add(ACME)
    return path


@pytest.fixture
def address(config: Path) -> TablesAddress:
    return load(config).tables_address


class Channel:
    """Keeps what it is sent, and answers as it is told; at last it acknowledges."""

    def __init__(self, *errors: str) -> None:
        self.sent: list[Any] = []
        self.errors = list(errors)

    def __call__(self, one: Notification) -> str:
        self.sent.append(one)
        return self.errors.pop(0) if self.errors else ""


@pytest.fixture
def watch(config: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watch]:
    # months close elsewhere: that needs a stream and a lake
    monkeypatch.setattr("ops.metering.watch.Closer", lambda _: SimpleNamespace())
    return lambda channel: Watch(load(config), channel, Metrics())


def reach(address: TablesAddress, events: int, project_id: int = 1, month: str = MONTH) -> None:
    UsageTable(address).raise_totals([Usage(project_id, month, events, events)])


def test_thresholds_reached_at_once_are_told_together_and_never_again(
    address: TablesAddress, watch: Callable[..., Watch]
) -> None:
    told = Channel()
    for events in (49, 50, 50, 91, 150):
        reach(address, events)
        watch(told).tell()  # a new one each time, as after a crash
        watch(told).tell()
    assert [(one.notification_id, one.thresholds, one.events) for one in told.sent] == [
        (f"1/{MONTH}/50", (50,), 50),
        (f"1/{MONTH}/90", (80, 90), 91),
        (f"1/{MONTH}/100", (100,), 150),
    ]
    table = Alerts(address)
    assert [(one.threshold, one.events, one.notified_at is not None) for one in table.list()] == [
        (50, 50, True),
        (80, 91, True),
        (90, 91, True),
        (100, 150, True),
    ]
    assert table.pending() == []


def test_many_who_look_at_the_same_moment_claim_once(address: TablesAddress) -> None:
    barrier = threading.Barrier(8)
    total = Usage(1, MONTH, 85, 85)

    def claim(_: int) -> Notification | None:
        alerts = Alerts(address)
        barrier.wait(10)
        return alerts.claim(ACME, total)

    with ThreadPoolExecutor(8) as pool:
        claims = [one for one in pool.map(claim, range(8)) if one]
    assert [one.thresholds for one in claims] == [(50, 80)]
    assert [one.thresholds for one in Alerts(address).pending()] == [(50, 80)]


def test_what_is_not_acknowledged_is_told_again_with_the_same_id(
    address: TablesAddress, watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    monkeypatch.setattr("ops.metering.watch._now", lambda: now)
    channel, pauses = Channel(*["HTTP 503"] * 8), []
    reach(address, 50)
    while not pauses or Alerts(address).pending():
        watch(channel).tell()
        if pending := Alerts(address).pending():
            (left,) = pending
            assert (left.last_error, left.attempts) == ("HTTP 503", len(channel.sent))
            due = datetime.fromisoformat(left.retry_at)
            pauses.append((due - now).total_seconds())
            now = due - timedelta(milliseconds=1)
            watch(channel).tell()
            now = due
        else:
            pauses.append(0.0)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 0]
    assert {one.notification_id for one in channel.sent} == {f"1/{MONTH}/50"}
    assert len(channel.sent) == 9


def test_what_is_claimed_told_and_waiting_is_counted(
    address: TablesAddress, watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = watch(Channel("HTTP 503"))
    reach(address, 85)
    watching.tell()

    def counted() -> list[float | None]:
        names = ("thresholds_claimed_total", "failed_attempts_total", "notifications_delivered_total")
        registry = watching.metrics.registry
        return [registry.get_sample_value(f"usage_watch_{name}") for name in (*names, "notifications_waiting")]

    assert counted() == [2, 1, 0, 1]
    later = datetime.now(UTC) + timedelta(minutes=1)
    monkeypatch.setattr("ops.metering.watch._now", lambda: later)
    watching.tell()
    assert counted() == [2, 1, 1, 0]
    labels = {"project_id": "1", "notifly_project": "acme"}
    assert watching.metrics.registry.get_sample_value("usage_watch_project_limit", labels) == 100


def test_an_attempt_that_is_on_its_way_is_not_sent_by_another(
    address: TablesAddress, watch: Callable[..., Watch]
) -> None:
    reach(address, 50)
    others = Channel()

    def slow(_: Notification) -> str:
        watch(others).tell()
        return ""

    watch(slow).tell()
    assert others.sent == []
    assert Alerts(address).pending() == []


def test_one_who_dies_between_sending_and_noting_it_sends_again_with_the_same_id(
    address: TablesAddress, watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(address, 50)
    channel = Channel()
    dying = watch(channel)
    monkeypatch.setattr(dying.alerts, "acknowledge", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        dying.tell()
    later = datetime.now(UTC) + timedelta(minutes=1)
    monkeypatch.setattr("ops.metering.watch._now", lambda: later)
    watch(channel).tell()
    assert [one.notification_id for one in channel.sent] == [f"1/{MONTH}/50"] * 2
    assert Alerts(address).pending() == []


def command(config: Path, group: Any, *arguments: str) -> str:
    found = CliRunner(env={"COLUMNS": "120"}).invoke(group, ["--config", str(config), *arguments])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_a_limit_that_is_lowered_tells_what_is_reached_now_and_leaves_earlier_months_alone(
    config: Path, address: TablesAddress, watch: Callable[..., Watch]
) -> None:
    told = Channel()
    reach(address, 45)
    reach(address, 45, month="2026-01")
    watch(told).tell()
    assert told.sent == []
    said = command(config, projects_command, "limit", "1", "50")
    assert said == f"Amplitude project 1: 50 events a month, alerts at 50, 80, 90, 100 %, from {MONTH} on\n"
    watch(told).tell()
    assert [(one.month, one.thresholds, one.monthly_limit) for one in told.sent] == [(MONTH, (50, 80, 90), 50)]
    command(config, projects_command, "limit", "1", "1000")
    reach(address, 600)
    watch(told).tell()
    assert len(told.sent) == 1, "60 % of the new limit: 50 % was told of, under the old one"
    reach(address, 1_000)
    watch(told).tell()
    assert told.sent[1].thresholds == (100,)


def test_thresholds_that_are_removed_and_added(
    config: Path, address: TablesAddress, watch: Callable[..., Watch]
) -> None:
    told = Channel()
    assert "no alerts" in command(config, projects_command, "thresholds", "1")
    reach(address, 100)
    watch(told).tell()
    assert told.sent == []
    command(config, projects_command, "thresholds", "1", "120", "95", "95")
    watch(told).tell()
    assert [one.thresholds for one in told.sent] == [(95,)]
    shown = json.loads(command(config, projects_command, "show", "1", "--json"))
    assert (shown["monthly_limit"], shown["thresholds"]) == (100, [95, 120])
    assert [past["thresholds"] for past in shown["earlier_terms"]] == [[50, 80, 90, 100]]


def test_a_project_that_is_deleted_and_registered_again_is_not_told_of_twice(
    address: TablesAddress, watch: Callable[..., Watch]
) -> None:
    told, registry = Channel(), Projects(address)
    reach(address, 60)
    watch(told).tell()
    registry.client.delete_item(TableName=registry.projects.name, Key={"project_id": {"N": "1"}})
    reach(address, 85)
    watch(told).tell()
    assert [one.thresholds for one in told.sent] == [(50,)]
    registry.client.delete_item(TableName=registry.plans.name, Key={"notifly_project": {"S": "acme"}})
    registry.add(ACME)
    watch(told).tell()
    assert [one.thresholds for one in told.sent] == [(50,), (80,)]


def test_alerts_are_listed_with_what_is_left_to_do(
    config: Path, address: TablesAddress, watch: Callable[..., Watch]
) -> None:
    assert command(config, usage_command, "alerts") == "no alerts\n"
    reach(address, 50)
    assert "not yet: does usage watch run?" in command(config, usage_command, "alerts")
    watch(Channel("HTTP 503")).tell()
    (row,) = json.loads(command(config, usage_command, "alerts", "--json"))
    assert (row["threshold"], row["attempts"], row["last_error"], row["notified_at"]) == (50, 1, "HTTP 503", None)
    assert "not yet, attempt 1: HTTP 503" in command(config, usage_command, "alerts", "--project", "1")
    assert command(config, usage_command, "alerts", "--month", "2026-01") == "no alerts match\n"
    (left,) = Alerts(address).pending()
    Alerts(address).acknowledge(left)
    (row,) = json.loads(command(config, usage_command, "alerts", "--month", MONTH, "--json"))
    assert (row["attempts"], row["notified_at"][:4]) == (None, MONTH[:4])


def test_tables_that_are_away_end_no_watch(
    address: TablesAddress, watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(address, 50)
    told, stopped = Channel(), threading.Event()
    watching = watch(told)
    watching.interval = 0
    rounds = [StoreError("DynamoDB table usage cannot be used"), StoreError("DynamoDB table usage cannot be used")]

    def listed() -> list[Usage]:
        if rounds:
            raise rounds.pop()
        stopped.set()
        return [Usage(1, MONTH, 50, 50)]

    monkeypatch.setattr(watching.usage, "list", listed)
    monkeypatch.setattr(watching, "close", lambda: None)
    watching.run(stopped)
    assert [one.thresholds for one in told.sent] == [(50,)]


def test_what_no_other_claim_explains_is_an_error(address: TablesAddress) -> None:
    alerts = Alerts(TablesAddress(address.region, address.endpoint, "absent-"))
    alerts._claimed = set()
    with pytest.raises(
        StoreError, match=r"^DynamoDB table absent-alerts or absent-notifications at .* cannot be used"
    ):
        alerts.claim(ACME, Usage(1, MONTH, 50, 50))


class Job:
    """The ingest job as far as usage goes: it knows first copies, and a crash takes it back to a checkpoint."""

    def __init__(self, address: TablesAddress, project_id: int) -> None:
        self.address, self.project_id = address, project_id
        self.seen, self.position, self.stream = set[int](), 0, list[int]()
        self.checkpoint = (self.seen, 0)

    def read(self, records: list[int], written: int) -> None:
        """Take records in, and write the total after this many of them, as an interval ends when it likes."""
        self.stream += records
        for number, record in enumerate(self.stream[self.position :], 1):
            self.seen = self.seen | {record}
            self.position += 1
            if number % written == 0:
                reach(self.address, len(self.seen), self.project_id)

    def complete_checkpoint(self) -> None:
        reach(self.address, len(self.seen), self.project_id)
        self.checkpoint = (self.seen, self.position)

    def crash(self) -> None:
        self.seen, self.position = self.checkpoint


steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.lists(st.integers(0, 60), max_size=40)),
        st.tuples(st.sampled_from(["checkpoint", "job crash", "watch crash"]), st.none()),
        st.tuples(st.just("errors"), st.integers(0, 3)),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, written=st.integers(1, 9), thresholds=st.sets(st.integers(1, 120), max_size=6))
def test_usage_is_what_is_distinct_and_alerts_are_the_thresholds_it_crossed_each_once(
    address: TablesAddress,
    watch: Callable[..., Watch],
    steps: list[tuple[str, Any]],
    written: int,
    thresholds: set[int],
) -> None:
    registry, number = Projects(address), len(Projects(address).list()) + 1
    registry.add(linked(number, f"shop-{number}")._replace(terms=Terms(50, tuple(sorted(thresholds)))))
    job, channel = Job(address, number), Channel()
    watching = watch(channel)
    for step, amount in steps:
        match step:
            case "read":
                job.read(amount, written)
            case "checkpoint":
                job.complete_checkpoint()
            case "job crash":
                job.crash()
            case "watch crash":
                watching = watch(channel)
            case _:
                channel.errors = ["HTTP 500"] * amount
        watching.tell()
    job.read([], written)
    job.complete_checkpoint()
    channel.errors = []
    for one in Alerts(address).pending():
        Alerts(address).failed(one, "", datetime.min.replace(tzinfo=UTC))
    watching.tell()

    events = len(set(job.stream))
    assert [u.events for u in UsageTable(address).list() if u.project_id == number] == [events]
    own = [one for one in Alerts(address).list() if one.project_id == number]
    assert [one.threshold for one in own if one.notified_at] == sorted(t for t in thresholds if events * 2 >= t)
    assert len(own) == len({one.threshold for one in own})
    assert {one.notification_id for one in channel.sent if one.project_id == number} == {
        one.notification_id for one in own
    }


def test_each_change_of_a_destination_is_told_until_it_is_acknowledged(
    address: TablesAddress, watch: Callable[..., Watch], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "usage watch")
    table, told = Destinations(address), Channel("HTTP 503", "HTTP 503")
    watching = watch(told)
    watching.tell_states()  # there is no table yet
    table.create()
    table.set(Destination(1, "us", b"sealed", "cdef"))
    watching.tell_states()
    assert told.sent == []

    refused = table.change_state(table.get(1), "auth_error", "Invalid API key")
    assert refused
    for _ in range(4):
        watching.tell_states()
    assert [one.notification_id for one in told.sent] == [refused.notification_id] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "not told that the destination of project 1 is auth_error: HTTP 503",
        "told that the destination of project 1 is auth_error: Invalid API key",
    ]
    table.set(Destination(1, "us", b"sealed anew", "4567"))  # with the right key
    watching.tell_states()
    watching.tell_states()
    assert [one.state for one in told.sent[3:]] == ["ok"]
