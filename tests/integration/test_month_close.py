"""The close of a month over a real stream, lake and DynamoDB: what is stated, when, and what comes later."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.sinks import COLUMNS
from ops.answers.doctor.beside import months
from ops.answers.month import Adjustment, adjustments, closes_at
from ops.answers.steps import Step
from ops.cli.main import commands
from ops.metering.month_close import Closer
from settings import Settings, load
from stores.lake import EVENT_STORE, LEDGER, Lake
from stores.leases import Leases
from stores.project import linked
from stores.projects import Projects
from stores.statements import Statement, Statements
from stores.stream import Stream
from stores.usage import Usage, UsageTable

ACME = linked(1, "acme", monthly_limit=6)
MONTH, CLOSE = "2026-01", datetime(2026, 2, 2, 4, tzinfo=UTC)
NO_TIME = timedelta()
MILLISECOND = timedelta(milliseconds=1)


class Books(NamedTuple):
    """The books of an installation, and how the job writes to them."""

    path: Path
    settings: Settings
    shards: list[str]

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_address)

    def count(
        self, *counts: tuple[datetime, int, int], shard: int = 0, project_id: int = 1, month: str = MONTH
    ) -> None:
        """Let the job count (arrival, records, first copies) and commit them."""
        row = {"part": False, "project_id": project_id, "month": month, "kind": "event", "reason": None}
        rows = [
            {
                **row,
                "hour": hour.replace(minute=0),
                "shard": self.shards[shard],
                "records": n,
                "first_copies": first,
            }
            for hour, n, first in counts
        ]
        table = self.lake.table(LEDGER)
        table.append(
            pa.Table.from_pylist(rows, schema=table.schema().as_arrow()), snapshot_properties={"flink.job-id": "j"}
        )
        totals = {u[:2]: u for u in UsageTable(self.settings.tables_address).list()}
        known = totals.get((project_id, month), Usage(project_id, month, 0, 0))
        UsageTable(self.settings.tables_address).raise_totals(
            [
                known._replace(
                    records=known.records + sum(n for _, n, _ in counts),
                    events=known.events + sum(first for *_, first in counts),
                )
            ]
        )

    def pass_close(self, close: datetime = CLOSE) -> None:
        """Let the job read every shard past the close; what it reads there is of another month."""
        for shard in range(len(self.shards)):
            self.count((close, 1, 1), shard=shard, project_id=2, month=f"{close:%Y-%m}")

    def statements(self) -> dict[tuple[int, str], Statement]:
        return {one[:2]: one for one in Statements(self.settings.tables_address).list()}


@pytest.fixture
def books(tmp_path: Path, dynamodb_endpoint: str, kinesis_endpoint: str) -> Books:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"\n'
        f'[kinesis]\nendpoint = "{kinesis_endpoint}"\nstream = "{tmp_path.name}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )
    found = load(path)
    for table in (Projects, UsageTable, Statements):
        table(found.tables_address).create()
    Projects(found.tables_address).add(ACME)
    lake = Lake(found.lake_address)
    for name in (LEDGER, EVENT_STORE):
        lake.create(name, COLUMNS[name], [])
    stream = Stream(found.stream_address)
    stream.create(2)
    return Books(path, found, stream.open_shards())


def asked(books: Books, *arguments: str) -> Any:
    config = ["--config", str(books.path)]
    found = CliRunner().invoke(commands, [arguments[0], *config, *arguments[1:], "--json"])
    return json.loads(found.stdout)


def test_a_statement_counts_what_arrived_before_the_close_and_never_changes(books: Books) -> None:
    books.count((datetime(2026, 1, 15, 10, tzinfo=UTC), 9, 5), (CLOSE - timedelta(hours=1), 2, 2))
    books.count((CLOSE, 4, 3), (CLOSE + timedelta(hours=2), 1, 0), (CLOSE + timedelta(days=3), 1, 1), shard=1)
    books.count((CLOSE, 1, 1), project_id=2)
    closer = Closer(books.settings, NO_TIME)
    closed = closer.look()
    assert [one[:2] for one in closed.statements] == [(1, MONTH), (2, MONTH)]
    stated = books.statements()
    first = stated[1, MONTH]
    assert first == Statement(
        *(1, MONTH, 11, 7, 0, 0),
        closes_at="2026-02-02T04:00:00+00:00",
        monthly_limit=6,
        billable=1,
        closed_at=first.closed_at,
    )
    assert (stated[2, MONTH].events, stated[2, MONTH].monthly_limit, stated[2, MONTH].billable) == (0, None, None)
    assert adjustments(books.lake, first) == [Adjustment("2026-02-02", 3, 0), Adjustment("2026-02-05", 1, 0)]

    books.count((CLOSE + timedelta(days=3), 12, 10))
    assert closer.look().statements == []
    assert Closer(books.settings, NO_TIME).look().statements == []
    Statements(books.settings.tables_address).add([first._replace(events=99)])
    assert books.statements() == stated
    assert adjustments(books.lake, first) == [Adjustment("2026-02-02", 3, 0), Adjustment("2026-02-05", 11, 0)]

    (row,) = asked(books, "usage", "show", "--project", "1")
    assert (row["events"], row["statement_events"], row["adjustment"], row["billable"]) == (21, 7, 14, 15)
    account = asked(books, "usage", "explain", "1", MONTH)
    assert account["statement"]["events"] == 7
    assert account["adjustments"] == [
        {"day": "2026-02-02", "events": 3, "updates": 0},
        {"day": "2026-02-05", "events": 11, "updates": 0},
    ]


def test_what_should_have_been_in_a_statement_is_shown_and_not_added_in_silence(books: Books) -> None:
    books.count((datetime(2026, 1, 15, tzinfo=UTC), 1, 1))
    books.pass_close()
    Closer(books.settings, NO_TIME).look()
    books.count((datetime(2026, 1, 15, tzinfo=UTC), 2, 2))
    statement = books.statements()[1, MONTH]
    assert statement.events == 1
    assert adjustments(books.lake, statement) == [Adjustment("before the close", 2, 0)]


def test_a_month_closes_not_a_second_before_its_time_by_the_clock_of_dynamodb(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.count((datetime(2026, 1, 15, tzinfo=UTC), 1, 1))
    books.pass_close()
    closer = Closer(books.settings, NO_TIME)
    assert abs(closer.statements.now() - datetime.now(UTC)) < timedelta(seconds=5)
    monkeypatch.setattr(closer.statements, "now", lambda: CLOSE - timedelta(seconds=1))
    assert closer.look() == ([], {})
    monkeypatch.setattr(closer.statements, "now", lambda: CLOSE)
    assert [one[:2] for one in closer.look().statements] == [(1, MONTH)]


def test_a_month_waits_until_every_shard_is_read_past_its_close(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is down across the end of this month, and one of two shards is silent when it is back."""
    stream = Stream(books.settings.stream_address)
    now = datetime.now(UTC)
    month = f"{now:%Y-%m}"
    close = closes_at(month, timedelta(hours=28))
    assert list(stream.put([("a", b"x")] * 3)) == [3]
    lying = {shard for shard in books.shards for _ in stream.of_shard(shard)}
    (busy,) = lying
    at = books.shards.index(busy)
    closer = Closer(books.settings, NO_TIME)
    monkeypatch.setattr(closer.statements, "now", lambda: close + timedelta(days=2))

    books.count((now, 2, 1), shard=at, month=month)
    assert closer.look() == ([], {month: f"the job to read {busy} up to the close"})
    books.count((now, 1, 1), shard=at, month=month)
    assert [one[:4] for one in closer.look().statements] == [(1, month, 3, 2)]


def test_a_shard_that_was_split_is_not_read_because_its_children_are(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connector reads both at once: a parent may lag behind."""
    stream = Stream(books.settings.stream_address)
    now = datetime.now(UTC)
    month = f"{now:%Y-%m}"
    close = closes_at(month, timedelta(hours=28))
    assert list(stream.put([("a", b"x")] * 3)) == [3]
    busy = next(shard for shard in books.shards if next(stream.of_shard(shard), None))
    stream.split(busy)
    closer = Closer(books.settings, NO_TIME)
    monkeypatch.setattr(closer.statements, "now", lambda: close)
    Books(books.path, books.settings, stream.open_shards()).pass_close(close)
    books.count((now, 2, 2), shard=books.shards.index(busy), month=month)
    assert closer.look().waiting == {month: f"the job to read {busy} up to the close"}
    books.count((now, 1, 0), shard=books.shards.index(busy), month=month)
    assert [one[:4] for one in closer.look().statements if one.project_id == 1] == [(1, month, 3, 2)]


def test_a_month_waits_for_the_job_to_go_on_committing(books: Books) -> None:
    closer = Closer(books.settings, MILLISECOND)
    books.count((datetime(2026, 1, 15, tzinfo=UTC), 1, 1))
    books.pass_close()
    for _ in range(2):  # the job is down: what it had not written yet may be missing
        assert closer.look().waiting[MONTH] == "the job to commit for 0 s more"
    books.count((CLOSE - timedelta(hours=1), 1, 1))
    assert [one.events for one in closer.look().statements if one.month == MONTH] == [2]


def test_without_a_commit_of_the_job_nothing_closes(books: Books) -> None:
    UsageTable(books.settings.tables_address).raise_totals([Usage(1, MONTH, 1, 1)])
    assert Closer(books.settings, NO_TIME).look() == ([], {MONTH: "the job to read the stream up to the close"})
    (row,) = asked(books, "usage", "show")
    assert row["waits_for"] == "the job to read the stream up to the close"
    books.pass_close()
    row = next(row for row in asked(books, "usage", "show") if row["month"] == MONTH)
    words = "`amplitude-bridge usage watch`, which closes it once it has seen the job commit for 120 s"
    assert row["waits_for"] == words


hours = st.integers(-40, 40).map(lambda n: CLOSE + timedelta(hours=n))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(early=st.lists(hours, min_size=1, max_size=5), late=st.lists(hours, max_size=5))
def test_statement_and_adjustments_are_the_total(
    books: Books, early: list[datetime], late: list[datetime]
) -> None:
    number = len(books.statements()) + 10
    books.count(*((hour, 1, 1) for hour in early), project_id=number)
    books.pass_close()
    Closer(books.settings, NO_TIME).look()
    if late:
        books.count(*((hour, 1, 1) for hour in late), project_id=number)
    statement = books.statements()[number, MONTH]
    assert statement.events == sum(hour < CLOSE for hour in early)
    found = adjustments(books.lake, statement)
    assert statement.events + sum(one.events for one in found) == len(early) + len(late)


def test_a_forecast_needs_days_and_comes_of_what_the_ledger_has(books: Books) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    projects = Projects(books.settings.tables_address)
    projects.add(linked(3, "young", monthly_limit=10**6))
    projects.add(linked(4, "reached", monthly_limit=1))
    days = [today - timedelta(days=back) for back in range(1, 21)]
    books.count(*((day, 10**6, 10**6) for day in days), month="2025-12")
    books.count(*((day, 200, 100) for day in days[:13]), project_id=3, month="2025-12")
    books.count((today, 2, 2), project_id=4, month=f"{today:%Y-%m}")
    rows = {row["project_id"]: row for row in asked(books, "usage", "forecast")}
    assert [(row["reached"], row["forecast"] is None) for row in rows.values()] == [
        *((False, False), (False, True), (True, True))
    ]
    # a million a day, and a limit of 6: within today
    assert rows[1]["forecast"] == {
        "day": f"{today:%Y-%m-%d}",
        "earliest": f"{today:%Y-%m-%d}",
        "latest": f"{today:%Y-%m-%d}",
        "month_end": rows[1]["forecast"]["month_end"],
    }


def test_the_doctor_names_a_month_an_hour_after_its_first_record_arrived(books: Books) -> None:
    Leases(books.settings.tables_address).create()
    now = datetime.now(UTC)
    books.count((now, 2, 1))
    assert months(books.settings) == Step("months", "ok", "none is overdue")
    books.count((now - timedelta(hours=3), 1, 1), project_id=2)  # of a project whose statement is written
    stated = Statement(2, MONTH, 1, 1, 0, 0, closes_at="", monthly_limit=6, billable=1, closed_at="")
    Statements(books.settings.tables_address).add([stated])
    assert months(books.settings).state == "ok"
    books.count((now - timedelta(hours=3), 1, 1))
    fix = 'docs/operations.md, "An alert did not come, or a month does not close"'
    assert months(books.settings) == Step("months", "failed", "2026-01 should have closed, and has not", fix)
