"""What the usage commands need no table for."""

from io import StringIO
from typing import Any

from click.testing import CliRunner
from rich.console import Console

from ops.answers.month import Distinct
from ops.answers.usage import against
from ops.cli.main import commands
from ops.cli.usage import alerts_table, close_of
from stores.project import linked
from stores.usage import Usage
from tests.builders import PROJECT
from tests.cases import each


def test_distinct_texts_are_counted_across_pieces() -> None:
    distinct = Distinct()
    for _ in range(2):
        distinct.add(f"1|{n}" for n in range(1_000))
    distinct.add(["é", "é", ""])
    assert distinct.count() == 1_002


@each("month", ["2026-13", "2026-3", "March", "\uff12026-03"])
def test_a_wrong_month_says_what_is_right(month: str) -> None:
    refused = CliRunner().invoke(commands, ["usage", "--config", "no such file", "explain", "434735", month])
    assert refused.exit_code == 2
    assert refused.stderr.endswith(
        f"Error: Invalid value for 'MONTH': '{month}' is no month: write it like 2026-03\n"
    )


def test_a_month_against_its_limit() -> None:
    project = linked(PROJECT, "acme", monthly_limit=1_500)
    assert against(Usage(PROJECT, "2026-02", 1_700, 1_625, 5, 4), project, None) == {
        "project_id": PROJECT,
        "month": "2026-02",
        "records": 1_700,
        "events": 1_625,
        "duplicates": 75,
        "update_records": 5,
        "updates": 4,
        "monthly_limit": 1_500,
        "used_percent": 108.33,
        "billable": 125,
        "statement_events": None,
        "adjustment": None,
        "closed_at": None,
    }


@each(
    ("events", "limit", "used", "billable"),
    [
        (0, 10_000_000, 0.0, 0),
        (9_999_999, 10_000_000, 99.99, 0),
        (10_000_000, 10_000_000, 100.0, 0),
        (10_000_001, 10_000_000, 100.0, 1),
        (7, None, None, None),
    ],
)
def test_only_a_limit_that_is_reached_is_used_up(
    events: int, limit: int | None, used: float | None, billable: int | None
) -> None:
    project = limit and linked(PROJECT, "acme", monthly_limit=limit)
    found = against(Usage(PROJECT, "2026-03", events, events), project or None, None)
    assert (found["used_percent"], found["billable"]) == (used, billable)


def test_numbers_of_an_alert_are_whole_on_80_columns() -> None:
    row = {
        "project_id": 100_011_471,
        "month": "2026-11",
        "threshold": 100,
        "events": 12_345_678,
        "monthly_limit": 10_000_000,
        "claimed_at": "2026-11-27T13:20:11.123+00:00",
        "notified_at": "2026-11-27T13:20:12.123+00:00",
    }
    console = Console(width=80, file=StringIO())
    with console.capture() as shown:
        console.print(alerts_table([row]))
    first = shown.get().splitlines()[4]
    assert [cell.strip() for cell in first.strip("│").split("│")] == [
        *("100011471", "2026-11", "100 %", "12,345,678", "10,000,000", "26-11-27", "26-11-27")
    ]


CLOSES = {"closes_at": "2026-04-02T04:00:00+00:00", "closed_at": None, "waits_for": None}
CLOSED = CLOSES | {"closed_at": "2026-04-02T04:12:30.123+00:00"}


@each(
    ("row", "shown"),
    [
        (CLOSES, {"close": "not before 2026-04-02 04:00"}),
        (CLOSES | {"waits_for": "the job"}, {"close": "due since 2026-04-02 04:00, waits for the job"}),
        (CLOSED | {"statement_events": 5, "adjustment": 2}, {"close": "2026-04-02 04:12"}),
        (CLOSED | {"statement_events": 0, "adjustment": 0}, {"close": "2026-04-02 04:12"}),
        (
            CLOSED | {"statement_events": 0, "adjustment": 790},
            {"close": "2026-04-02 04:12; no event had arrived before 2026-04-02 04:00, so all are an adjustment"},
        ),
    ],
    ids=["open", "due", "closed", "empty", "all later"],
)
def test_a_month_says_how_it_is_with_its_close(row: dict[str, Any], shown: dict[str, Any]) -> None:
    assert close_of(row) == shown
