"""What `usage watch` finds beside alerts: hours that do not balance, and projects that have stopped sending."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from jobs.sinks import COLUMNS
from ops.answers.ledger import of_hour
from ops.cli.diagnose import diagnose
from ops.metering.metrics import Metrics
from ops.metering.survey import Survey
from settings import load
from stores.lake import DEAD_LETTERS, EVENT_COUNTS, EVENT_STORE, LEDGER, TABLES, Lake
from stores.project import linked
from tests.builders import PROJECT
from tests.lake import lake_of

NOW = datetime(2026, 3, 15, 12, 20, tzinfo=UTC)
TEN = datetime(2026, 3, 15, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def row(table: str, **values: object) -> dict[str, Any]:
    found = {"project_id": PROJECT, "shard": "s", "hour": TEN, "arrival": TEN + 0.5 * HOUR} | values
    return {name: found.get(name) for name in COLUMNS[table]}


ROWS = {
    LEDGER: [
        row(LEDGER, kind="event", month="2026-03", records=4, first_copies=3, part=False),
        row(LEDGER, kind="rejected", reason="invalid_json", records=1, project_id=None, part=False),
        row(LEDGER, kind="event", month="2026-03", records=9, first_copies=9, part=False, hour=TEN - DAY),
    ],
    EVENT_STORE: [row(EVENT_STORE)] * 3,
    EVENT_COUNTS: [
        row(EVENT_COUNTS, kind="event", records=4, first_copies=3),
        *(row(EVENT_COUNTS, kind="event", records=1, first_copies=1, hour=TEN - n * DAY) for n in range(2, 12)),
    ],
    DEAD_LETTERS: [row(DEAD_LETTERS, kind="rejected", reason="invalid_json", project_id=None)],
}


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    rows = {table: [ROWS[table]] if table in ROWS else [] for table in TABLES}
    with lake_of(tmp_path, rows) as path:
        yield path


@pytest.fixture
def lake(config: Path) -> Lake:
    return Lake(load(config).lake_address)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def survey(config: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> Survey:
    monkeypatch.setattr("ops.metering.survey._now", lambda: NOW)
    return Survey(load(config), metrics)


def add(lake: Lake, table: str, *rows: dict[str, Any]) -> None:
    found = lake.table(table)
    found.append(pa.Table.from_pylist(list(rows), schema=found.schema().as_arrow()))


def ledger(metrics: Metrics) -> tuple[float | None, ...]:
    names = ("residuals", "hours_balanced")
    return tuple(metrics.registry.get_sample_value(f"usage_watch_{name}") for name in names)


def test_only_what_arrived_within_the_hour_is_compared(lake: Lake) -> None:
    assert of_hour(lake, TEN) == []
    assert of_hour(lake, TEN - HOUR) == []
    assert [str(one) for one in of_hour(lake, TEN - DAY)] == [
        f"events, 2026-03-14 10:00, shard s, project {PROJECT}: counted 9 distinct events, found 0",
        f"event_counts, 2026-03-14 10:00, project {PROJECT}: counted 9 distinct events, found 0",
    ]
    add(lake, EVENT_STORE, row(EVENT_STORE, arrival=TEN), row(EVENT_STORE, arrival=TEN + HOUR))
    assert [(one.counted, one.found) for one in of_hour(lake, TEN)] == [(3, 4)]


def test_each_hour_of_a_day_is_compared_once_it_is_over_for_an_hour(
    survey: Survey, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[datetime] = []
    monkeypatch.setattr("ops.metering.survey.of_hour", lambda _, hour: compared.append(hour) or [])
    for look in range(25):
        survey.check()
        assert ledger(metrics) == (0, min(look + 1, 24))
    assert compared == [TEN - n * HOUR for n in range(24)]


def test_a_residual_counts_when_two_looks_find_it_alike_and_until_it_is_gone(
    survey: Survey, metrics: Metrics, lake: Lake
) -> None:
    survey._balanced = {TEN - n * HOUR for n in range(1, 24)}
    extra = row(EVENT_STORE)
    add(lake, EVENT_STORE, extra)
    survey.check()
    assert ledger(metrics) == (0, 23), "rows may be there before their count"
    add(lake, EVENT_STORE, extra)
    survey.check()
    assert ledger(metrics) == (0, 23), "it changes still"
    survey.check()
    assert ledger(metrics) == (1, 23)
    count = {"kind": "event", "records": 2, "first_copies": 2}
    add(lake, LEDGER, row(LEDGER, month="2026-03", part=False, **count))
    add(lake, EVENT_COUNTS, row(EVENT_COUNTS, **count))
    survey.check()
    assert ledger(metrics) == (0, 24)


def test_a_residual_is_told_of_for_a_day(
    survey: Survey, metrics: Metrics, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(lake, EVENT_STORE, row(EVENT_STORE))
    survey._balanced = {TEN - n * HOUR for n in range(1, 24)}
    survey.check()
    survey.check()
    assert ledger(metrics) == (1, 23)
    monkeypatch.setattr("ops.metering.survey._now", lambda: NOW + 24 * HOUR)
    survey.check()
    assert ledger(metrics) == (0, 1)


@pytest.fixture
def _stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project that the lake knows has sent each day, and nothing for two days."""
    last, registered = {PROJECT: TEN - 2 * DAY, 5: NOW}, [linked(PROJECT, "acme-shop"), linked(5, "other")]
    for module in ("ops.metering.survey", "ops.cli.diagnose"):
        monkeypatch.setattr(f"{module}.UsageTable", lambda _: SimpleNamespace(last_raised=lambda: last))
        monkeypatch.setattr(f"{module}.Projects", lambda _: SimpleNamespace(list=lambda: registered))
        monkeypatch.setattr(f"{module}._now", lambda: NOW)


@pytest.mark.usefixtures("_stopped")
def test_the_number_of_projects_that_have_stopped_is_a_metric_and_the_log_names_them(
    config: Path, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    survey = Survey(load(config), metrics)
    caplog.set_level("INFO")
    survey.find_silent()
    survey.find_silent()
    assert metrics.registry.get_sample_value("usage_watch_silent_projects") == 1
    assert caplog.messages == [
        f"project {PROJECT} (acme-shop) has sent nothing since 2026-03-13 10:00; its longest silence before was "
        "1 day, 0:00:00"
    ]


@pytest.mark.usefixtures("_stopped")
def test_diagnose_without_a_project_names_those_that_have_stopped(config: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "100"})
    (found,) = json.loads(runner.invoke(diagnose, ["--config", str(config), "--json"]).stdout)
    assert found == {
        "project_id": PROJECT,
        "notifly_project": "acme-shop",
        "since": "2026-03-13T10:00:00+00:00",
        "usual": 86_400.0,
    }
    said = runner.invoke(diagnose, ["--config", str(config)]).stdout
    assert "acme-shop" in said
    assert "2 days" in said


def test_diagnose_says_so_when_none_has_stopped(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.cli.diagnose.UsageTable", lambda _: SimpleNamespace(last_raised=dict))
    monkeypatch.setattr("ops.cli.diagnose.Projects", lambda _: SimpleNamespace(list=list))
    said = CliRunner().invoke(diagnose, ["--config", str(config)])
    assert (said.exit_code, said.stdout) == (0, "no project that used to send has stopped\n")
