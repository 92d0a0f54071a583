"""The page of a project's usage, out of real tables: numbers, files, and what it shows where the lake is away."""

import csv
import html
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.sinks import COLUMNS
from ops.console.people import Role
from stores.alerts import Alerts
from stores.lake import EVENT_COUNTS, LEDGER
from stores.project import linked
from stores.projects import Projects
from stores.statements import Statement, Statements
from stores.usage import Usage, UsageTable
from tests.console import Console, away
from tests.lake import lake_of

SHOP, NOW = 434735, datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
MONTH, LAST = f"{NOW:%Y-%m}", f"{NOW.replace(day=1) - timedelta(days=1):%Y-%m}"
CORPUS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</code></th><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ settings }}{% raw %}",
    "<!--<script>",
    "\u202e<b>reversed</b>\x00",
    "&lt;b&gt;",
]
"""Names of events that would be markup, script or template, were they no texts."""
FORMULA = '=HYPERLINK("https://evil.example")'

Row = dict[str, Any]


def counted(table: str, **values: Any) -> Row:
    return dict.fromkeys(COLUMNS[table]) | {"project_id": SHOP, "kind": "event", "hour": NOW} | values


LEDGER_ROWS = [
    counted(LEDGER, month=MONTH, identity_rung=1, records=90, first_copies=80),
    counted(LEDGER, month=MONTH, identity_rung=4, records=10, first_copies=10),
    counted(LEDGER, month=MONTH, kind="user_update", records=5, first_copies=5),
    counted(LEDGER, month=LAST, identity_rung=1, records=8, first_copies=8),
    counted(LEDGER, month=MONTH, project_id=7, identity_rung=1, records=1_000, first_copies=1_000),
]
NAME_ROWS = [
    counted(EVENT_COUNTS, name="amplitude__view", records=70, first_copies=60),
    counted(EVENT_COUNTS, name=FORMULA, records=30, first_copies=30),
    *(counted(EVENT_COUNTS, name=name, records=1, first_copies=0) for name in CORPUS),
    counted(EVENT_COUNTS, name="amplitude__refused", kind="rejected", records=9, first_copies=0),
    counted(EVENT_COUNTS, name="amplitude__old", hour=NOW - timedelta(days=40), records=9, first_copies=9),
]


def console_of(folder: Path, endpoint: str, lake: dict[str, str]) -> Console:
    found = Console(
        folder,
        away(folder) | {"dynamodb": {"endpoint": endpoint, "table_prefix": f"{folder.name}-"}} | {"lake": lake},
    )
    address = found.settings.tables_address
    projects, usage, statements = Projects(address), UsageTable(address), Statements(address)
    for table in (projects, usage, statements, Alerts(address)):
        table.create()
    shop = linked(SHOP, "acme", monthly_limit=100)
    projects.add(shop)
    total = Usage(SHOP, MONTH, 100, 90)
    usage.raise_totals([total, Usage(SHOP, LAST, 40, 38)])
    statements.add([Statement(SHOP, LAST, 30, 30, 0, 0, f"{MONTH}-02T04:00:00+00:00", 100, 0)])
    Alerts(address).claim(shop, total)
    return found


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("usage")
    with lake_of(folder, {LEDGER: (LEDGER_ROWS,), EVENT_COUNTS: (NAME_ROWS,)}):
        lake = {"catalog_uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}
        yield console_of(folder, dynamodb_endpoint, lake)


def test_the_same_numbers_are_json(console: Console) -> None:
    answer = console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage.json")
    assert answer.headers["content-disposition"] == f'attachment; filename="usage-{SHOP}-{MONTH}.json"'
    found = answer.json()
    row = found["row"]
    assert (row["events"], row["duplicates"], row["used_percent"], row["billable"]) == (90, 10, 90.0, 0)
    assert found["days"] == [{"of": f"{NOW:%Y-%m-%d}", "records": 100, "events": 90}]
    assert found["rungs"] == [
        {"of": "content", "records": 10, "events": 10},
        {"of": "uuid", "records": 90, "events": 80},
    ]
    assert [(one["threshold"], one["notified_at"]) for one in found["alerts"]] == [
        (50, None),
        (80, None),
        (90, None),
    ]


def test_each_name_says_what_the_month_would_be_without_it(console: Console) -> None:
    found = console.browser(Role.SUPPORT).get(f"/projects/{SHOP}/usage.json").json()["names"]
    assert [one["name"] for one in found[2:]] == sorted(CORPUS)
    assert found[:2] == [
        {"name": "amplitude__view", "records": 70, "events": 60, "share_percent": 66.66}
        | {"left": 30, "left_percent": 30.0, "left_billable": 0},
        {"name": FORMULA, "records": 30, "events": 30, "share_percent": 33.33}
        | {"left": 60, "left_percent": 60.0, "left_billable": 0},
    ]


def test_names_of_events_are_texts(console: Console) -> None:
    page = console.browser(Role.OPERATOR).get(f"/projects/{SHOP}/usage").text
    shown = [html.unescape(one) for one in re.findall(r'<th scope="row"><code>([^<]*)</code>', page)]
    assert shown[2 : 2 + len(CORPUS)] == sorted(CORPUS)


def test_a_name_is_no_formula_in_a_spreadsheet(console: Console) -> None:
    answer = console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage.csv?by=name")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0] == ["name", "records", "events", "share_percent", "left", "left_percent", "left_billable"]
    assert [row[0] for row in rows[1:]] == ["amplitude__view", f"'{FORMULA}", *sorted(CORPUS)]
    days = console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage.csv?by=day")
    assert days.content.decode("utf-8-sig").splitlines()[1:] == [f"{NOW:%Y-%m-%d},100,90"]
    assert console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage.csv?by=user").status_code == 404


def test_a_closed_month_has_its_statement_and_adjustments(console: Console) -> None:
    page = console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage?month={LAST}")
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.text))
    assert f"{LAST} 38 30 8" in words
    assert f"Adjustments of {LAST}" in words
    assert console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage?month=2026-13").status_code == 404


def test_the_page_draws_the_month_and_says_how_far_it_is(console: Console) -> None:
    page = console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage").text
    assert "90% of 100" in page
    assert 'class="line" points="64.0,268.0' in page
    assert "A forecast needs events of 14 days." in page


def test_where_the_lake_is_away_the_totals_are_there(tmp_path: Path, dynamodb_endpoint: str) -> None:
    console = console_of(tmp_path, dynamodb_endpoint, away(tmp_path)["lake"])
    page = console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage")
    assert (page.status_code, "90% of 100" in page.text) == (200, True)
    assert "cannot be read at the moment" in page.text
    assert str(tmp_path) not in page.text
    assert console.browser(Role.CUSTOMER).get(f"/projects/{SHOP}/usage.csv").status_code == 503
