"""What `ledger check` prints: what is counted, and where two counts differ, out of real Iceberg tables."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobs.sinks import COLUMNS
from ops.cli.main import commands
from settings import load
from stores import erased
from stores.lake import DEAD_LETTERS, EVENT_COUNTS, EVENT_STORE, LEDGER, TABLES, Lake
from stores.usage import Usage
from tests.builders import PROJECT
from tests.lake import lake_of

NINE = datetime(2026, 3, 15, 9, tzinfo=UTC)


def row(table: str, **values: object) -> dict[str, Any]:
    found = {"project_id": PROJECT, "shard": "s", "hour": NINE, "arrival": NINE} | values
    return {name: found.get(name) for name in COLUMNS[table]}


ROWS = {
    LEDGER: [
        row(LEDGER, kind="event", month="2026-03", records=1_503, first_copies=1_500, part=False),
        row(LEDGER, kind="user_update", month="2026-03", records=2, first_copies=0, part=False),
        row(LEDGER, kind="rejected", reason="invalid_json", records=2, project_id=None, part=False),
    ],
    EVENT_STORE: [row(EVENT_STORE)] * 1_500,
    EVENT_COUNTS: [row(EVENT_COUNTS, kind="event", records=1_503, first_copies=1_500)],
    DEAD_LETTERS: [row(DEAD_LETTERS, kind="rejected", reason="invalid_json", project_id=None)],
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    rows = {table: [ROWS[table]] if table in ROWS else [] for table in TABLES}
    with lake_of(tmp_path_factory.mktemp("lake"), rows) as path:
        yield path


def checked(config: Path, *options: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "80"})
    return runner.invoke(commands, ["ledger", "check", "--wait", "0", "--config", str(config), *options])


@pytest.fixture(autouse=True)
def usage(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = [Usage(PROJECT, "2026-03", 1_503, 1_499, 2, 0)]
    monkeypatch.setattr("ops.answers.ledger.UsageTable", lambda _: SimpleNamespace(list=lambda: totals))


def test_each_count_says_what_is_counted(config: Path) -> None:
    found = checked(config)
    assert (found.exit_code, [line.rstrip() for line in found.stdout.splitlines()]) == (1, SHOWN.splitlines())


SHOWN = """\
What the job counted, and what is found
┏━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━┓
┃ table                ┃ unit             ┃ counted ┃ found ┃ residuals ┃
┡━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━┩
│ events               │ distinct events  │   1,500 │ 1,500 │         0 │
│ user_updates         │ distinct updates │       0 │     0 │         0 │
│ cohort_messages      │ messages         │       0 │     0 │         0 │
│ dead_letters         │ dead letters     │       2 │     1 │         1 │
│ event_counts         │ distinct events  │   1,500 │ 1,500 │         0 │
│ usage.records        │ event records    │   1,503 │ 1,503 │         0 │
│ usage.events         │ distinct events  │   1,500 │ 1,499 │         1 │
│ usage.update_records │ update records   │       2 │     2 │         0 │
│ usage.updates        │ distinct updates │       0 │     0 │         0 │
└──────────────────────┴──────────────────┴─────────┴───────┴───────────┘
RESIDUAL invalid_json, 2026-03-15 09:00, shard s: counted 2 dead letters, found 1
RESIDUAL usage.events, 2026-03, project 434735: counted 1,500 distinct events, found 1,499
2 residuals
"""


def test_counts_that_differ_are_taken_again(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [[Usage(PROJECT, "2026-03", 1_503, events, 2, 0)] for events in (1_499, 1_500)]
    monkeypatch.setattr("ops.answers.ledger.UsageTable", lambda _: SimpleNamespace(list=lambda: looks.pop(0)))
    residuals = json.loads(checked(config, "--json", "--wait", "1s").stdout)["residuals"]
    assert ([one["what"] for one in residuals], looks) == (["invalid_json"], [])


def test_a_check_as_json(config: Path) -> None:
    found = json.loads(checked(config, "--json").stdout)
    assert found["counted"]["usage.events"] == 1_500
    assert [tuple(one.values()) for one in found["residuals"]] == [
        ("invalid_json", "2026-03-15 09:00", "s", "", 2, 1),
        ("usage.events", "2026-03", "", str(PROJECT), 1_500, 1_499),
    ]


def test_what_was_erased_counts_as_found_and_is_shown(tmp_path: Path) -> None:
    rows = {table: [ROWS[table]] if table in ROWS else [] for table in TABLES}
    rows[EVENT_STORE] = [[row(EVENT_STORE)] * 1_497]
    with lake_of(tmp_path, rows) as config:
        lake = Lake(load(config).lake_address)
        erased.create(lake)
        same = {"hour": NINE, "shard": "s", "change": "removed"}
        taken = [
            {**same, "table_name": EVENT_STORE, "project_id": PROJECT, "month": "2026-03", "records": 3},
            {**same, "table_name": DEAD_LETTERS, "project_id": None, "reason": "invalid_json", "records": 1},
            {**same, "table_name": DEAD_LETTERS, "reason": "invalid_json", "records": 9, "change": "cut"},
        ]
        erased.add(lake, taken)
        residuals = json.loads(checked(config, "--json").stdout)["residuals"]
        assert [one["what"] for one in residuals] == ["usage.events"]
        shown = CliRunner().invoke(commands, ["ledger", "show", "--json", "--config", str(config)])
        lake.catalog.close()
    assert [(one["kind"], one["erased"]) for one in json.loads(shown.stdout)] == [
        ("rejected", 1),
        ("event", 3),
        ("user_update", 0),
    ]
