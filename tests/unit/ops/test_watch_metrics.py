"""What `usage watch` tells over HTTP: the metrics that docs/data.md names, and whether it is well."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from errors import OneLineError
from lab.stack.patience import scaled
from lab.stack.process import free_port
from ops.cli.watch import watch
from ops.metering import metrics as module
from ops.metering.looks import Look, go_round
from ops.metering.metrics import TOP, Metrics, serve
from stores.errors import StoreError
from stores.project import linked
from stores.usage import Usage
from tests.metrics import documented

MONTH = "2026-03"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """By name and values of the labels."""
    return {
        (one.name, *one.labels.values()): one.value
        for family in metrics.registry.collect()
        for one in family.samples
    }


def looks(metrics: Metrics, *, fails: bool) -> Callable[[], None]:
    def step() -> None:
        if fails:
            msg = "DynamoDB table usage cannot be used"
            raise StoreError(msg)

    return Look("alerts", step, 10, metrics).take


def answer(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=scaled(10)) as got:  # noqa: S310  our own http://127.0.0.1 address
            return got.status, got.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_the_metrics_are_those_of_the_page(metrics: Metrics) -> None:
    metrics.used([Usage(1, MONTH, 5, 4)], {1: linked(1, "acme")}, MONTH)
    looks(metrics, fails=True)()
    looks(metrics, fails=False)()
    served = {
        one.name: set(one.labels)
        for family in metrics.registry.collect()
        for one in family.samples
        if not one.name.endswith("_created")
    }
    assert served == {
        name: metric.labels for name, metric in documented().items() if name.startswith("usage_watch_")
    }


def test_metrics_and_health_are_served(metrics: Metrics) -> None:
    port = free_port()
    serve(metrics, "127.0.0.1", port)
    at = f"http://127.0.0.1:{port}"
    assert answer(f"{at}/health") == (503, "usage watch has not looked yet\n")
    looks(metrics, fails=False)()
    assert answer(f"{at}/health") == (200, "ok\n")
    looks(metrics, fails=True)()
    assert answer(f"{at}/health") == (503, "DynamoDB table usage cannot be used\n")
    text = answer(f"{at}/metrics")[1]
    found = {one.name: one.value for family in text_string_to_metric_families(text) for one in family.samples}
    assert found["usage_watch_failed_looks_total"] == 1
    with pytest.raises(OneLineError, match=rf"^127\.0\.0\.1:{port} cannot be listened at: .*--listen$"):
        serve(metrics, "127.0.0.1", port)


def test_a_watch_that_hangs_is_not_well(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    metrics.looked("alerts", "")
    metrics.looked("close", "the lake is away")
    now += 120
    assert metrics.health() == ""
    now += 1
    assert metrics.health() == "the last look at alerts was 121 s ago"


def test_only_its_own_machine_reads_it_unless_told_otherwise() -> None:
    (option,) = (one for one in watch.params if one.name == "listen")
    assert option.default == "127.0.0.1:9248"


def test_the_largest_projects_of_the_month_have_a_series_and_no_other(metrics: Metrics) -> None:
    projects = {n: linked(n, f"shop-{n}", monthly_limit=1_000) for n in range(1, 31)}
    past = [Usage(1, "2026-02", 10**6, 10**6)]
    metrics.used([*past, *(Usage(n, MONTH, n, n) for n in range(1, 41))], projects, MONTH)
    events = {key[1:]: value for key, value in samples(metrics).items() if key[0] == "usage_watch_project_events"}
    assert events == {(str(n), f"shop-{n}"): n for n in range(31 - TOP, 31)}
    metrics.used([Usage(3, MONTH, 7, 6)], projects, MONTH)
    found = {key: value for key, value in samples(metrics).items() if key[0].startswith("usage_watch_project_")}
    assert found == {
        ("usage_watch_project_events", "3", "shop-3"): 6,
        ("usage_watch_project_limit", "3", "shop-3"): 1_000,
    }


def test_the_oldest_notification_that_waits_is_told_of(metrics: Metrics) -> None:
    metrics.waits(
        ["2026-03-01T00:00:30.000+00:00", "2026-03-01T00:00:00.000+00:00"], datetime(2026, 3, 1, 0, 1, tzinfo=UTC)
    )
    assert samples(metrics)["usage_watch_notifications_waiting",] == 2
    assert samples(metrics)["usage_watch_longest_wait_seconds",] == 60
    metrics.waits([], datetime.now(UTC))
    assert samples(metrics)["usage_watch_longest_wait_seconds",] == 0


def test_each_look_is_taken_when_it_is_due_until_stopped(metrics: Metrics) -> None:
    taken: list[str] = []
    stopped = threading.Event()

    def often() -> None:
        taken.append("often")
        if len(taken) == 5:
            stopped.set()

    rare = Look("close", lambda: taken.append("rare"), 3_600, metrics)
    go_round([Look("alerts", often, 0.001, metrics), rare], stopped)
    assert (
        taken
        == [
            "often",
            "rare",
            "often",
            "often",
            "often",
        ][: len(taken)]
    )
