"""What support sees of a month: against its limit, and how the number arose out of a real Iceberg table."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobs.sinks import COLUMNS
from ops.answers.month import verdict
from ops.answers.usage import against
from ops.cli.main import commands
from stores.errors import StoreError
from stores.lake import EVENT_STORE, LEDGER
from stores.project import linked
from stores.statements import Statement
from stores.usage import Usage
from tests.builders import OTHER_PROJECT, PROJECT
from tests.lake import lake_of

NINE = datetime(2026, 3, 15, 9, 30, 30, tzinfo=UTC)
LAG = timedelta(seconds=3)

Row = dict[str, Any]


def event(identity: str, uploaded: datetime | None = NINE, **overrides: object) -> Row:
    """A row of the event store: uploaded in March and arrived 3 s later, unless said otherwise."""
    row = dict.fromkeys(COLUMNS[EVENT_STORE]) | {
        "project_id": PROJECT,
        "month": "2026-03",
        "name": "amplitude__page",
        "identity": identity,
        "identity_rung": int(identity[0]),
        "server_upload_time": uploaded,
        "arrival": (uploaded or NINE) + LAG,
    }
    return row | overrides


EVENTS = [
    event("1|b"),
    event("1|a"),
    event("2|c", NINE - timedelta(days=14), arrival=NINE),
    event("4|d", None, name="amplitude__\x1b[31mpay"),
    event("1|e", NINE + timedelta(hours=15)),
    event("1|f", NINE + timedelta(days=1), arrival=NINE + timedelta(days=2)),  # 24 h: not yet late
    event("1|g", NINE + timedelta(days=30), month="2026-04"),
    event("1|g", NINE + timedelta(days=30), month="2026-04"),
    event("1|a", project_id=OTHER_PROJECT),
]
TOTALS = [
    Usage(5, "2026-03", 10, 9, 2, 1),
    Usage(PROJECT, "2026-02", 1_700, 1_625),
    Usage(PROJECT, "2026-03", 8, 6, 4, 3),
    Usage(PROJECT, "2026-04", 2, 2),
    Usage(OTHER_PROJECT, "2026-03", 3, 2),
]
PROJECTS = [linked(PROJECT, "acme", monthly_limit=1_500), linked(OTHER_PROJECT, "globex")]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    counted = [
        dict.fromkeys(COLUMNS[LEDGER])
        | {"project_id": PROJECT, "month": month, "kind": kind, "identity_rung": 1, "hour": NINE}
        | {"records": records, "first_copies": 4}
        for month, kind, records in (
            *(("2026-03", "event", 6), ("2026-04", "event", 9)),
            *(("2026-03", "user_update", 7), ("2026-03", "rejected", 8)),
        )
    ]
    rows = {EVENT_STORE: (EVENTS[:3], EVENTS[3:]), LEDGER: (counted,)}
    with lake_of(tmp_path_factory.mktemp("lake"), rows) as path:
        yield path


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB's tables as lists, and the event store a file at a time."""
    rows = {"UsageTable": TOTALS, "Projects": PROJECTS, "Statements": []}
    for module in ("cli.usage", "answers.month"):
        for table, found in rows.items():
            fake = SimpleNamespace(list=lambda found=found: found, get=unregistered)
            monkeypatch.setattr(f"ops.{module}.{table}", lambda _, fake=fake: fake, raising=False)
    monkeypatch.setattr("ops.cli.usage.waits_for", lambda *_: "the job")
    monkeypatch.setattr("stores.lake._FILES_AT_ONCE", 1)


def unregistered(project_id: int) -> None:
    if project_id not in {one.project_id for one in PROJECTS}:
        msg = f"{project_id} is not registered"
        raise StoreError(msg)


def asked(config: Path, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "120"})
    return runner.invoke(commands, ["usage", "--config", str(config), *arguments])


def explained(config: Path, *arguments: str) -> tuple[int, Row]:
    found = asked(config, "explain", *arguments, "--json")
    return found.exit_code, json.loads(found.stdout)


def test_show_is_a_table_of_months(config: Path) -> None:
    shown = asked(config, "show")
    assert (shown.exit_code, [line.rstrip() for line in shown.stdout.splitlines()]) == (0, SHOWN.splitlines())


SHOWN = """\
Events against the limit
┏━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━┓
┃ project   ┃ month   ┃ events ┃ monthly limit ┃     used ┃ billable ┃
┡━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━┩
│ 5         │ 2026-03 │      9 │               │          │          │
│ 434735    │ 2026-02 │  1,625 │         1,500 │ 108.33 % │      125 │
│ 434735    │ 2026-03 │      6 │         1,500 │   0.40 % │        0 │
│ 434735    │ 2026-04 │      2 │         1,500 │   0.13 % │        0 │
│ 100011471 │ 2026-03 │      2 │    10,000,000 │   0.00 % │        0 │
└───────────┴─────────┴────────┴───────────────┴──────────┴──────────┘
Records and their copies
┏━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━┓
┃ project   ┃ month   ┃ records ┃ duplicates ┃ update records ┃ updates ┃
┡━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━┩
│ 5         │ 2026-03 │      10 │          1 │              2 │       1 │
│ 434735    │ 2026-02 │   1,700 │         75 │              0 │       0 │
│ 434735    │ 2026-03 │       8 │          2 │              4 │       3 │
│ 434735    │ 2026-04 │       2 │          0 │              0 │       0 │
│ 100011471 │ 2026-03 │       3 │          1 │              0 │       0 │
└───────────┴─────────┴─────────┴────────────┴────────────────┴─────────┘
Close of months
┏━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ project   ┃ month   ┃ statement events ┃ adjustment ┃ close                                         ┃
┡━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ 5         │ 2026-03 │                  │            │ due since 2026-04-02 04:00, waits for the job │
│ 434735    │ 2026-02 │                  │            │ due since 2026-03-02 04:00, waits for the job │
│ 434735    │ 2026-03 │                  │            │ due since 2026-04-02 04:00, waits for the job │
│ 434735    │ 2026-04 │                  │            │ due since 2026-05-02 04:00, waits for the job │
│ 100011471 │ 2026-03 │                  │            │ due since 2026-04-02 04:00, waits for the job │
└───────────┴─────────┴──────────────────┴────────────┴───────────────────────────────────────────────┘
"""


def test_a_month_that_was_empty_at_its_close_shows_what_came_later(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = Statement(PROJECT, "2026-04", 0, 0, 0, 0, "", closed_at="2026-05-02T04:12:30+00:00")
    monkeypatch.setattr("ops.cli.usage.Statements", lambda _: SimpleNamespace(list=lambda: [closed]))
    (row,) = [line for line in asked(config, "show", "--month", "2026-04").stdout.splitlines() if "04:12" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][:4] == [str(PROJECT), "2026-04", "0", "2"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], TOTALS),
        (["--project", "5"], TOTALS[:1]),
        (["--month", "2026-03"], [TOTALS[0], TOTALS[2], TOTALS[4]]),
        (["--project", str(PROJECT), "--month", "2026-03"], [TOTALS[2]]),
        (["--month", "2025-03"], []),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_show_as_filtered(config: Path, filters: list[str], expected: list[Usage]) -> None:
    known = {project.project_id: project for project in PROJECTS}
    found = json.loads(asked(config, "show", "--json", *filters).stdout)
    closes = {"2026-02": "2026-03-02", "2026-03": "2026-04-02", "2026-04": "2026-05-02"}
    assert found == [
        against(total, known.get(total.project_id), None)
        | {"closes_at": f"{closes[total.month]}T04:00:00+00:00", "waits_for": "the job"}
        for total in expected
    ]


def test_no_usage_is_one_line(config: Path) -> None:
    assert asked(config, "show", "--month", "2025-03").stdout == "no usage matches\n"


def test_explain_tells_how_a_number_arose(config: Path) -> None:
    at = {name: stamp.isoformat() for name, stamp in MOMENTS.items()}
    pay = "amplitude__\x1b[31mpay"
    ends = [
        {"at": at["c"], "name": "amplitude__page", "identity": "2|c"},
        {"at": at["a"], "name": "amplitude__page", "identity": "1|a"},
        {"at": at["a"], "name": "amplitude__page", "identity": "1|b"},
        {"at": at["d"], "name": pay, "identity": "4|d"},
        {"at": at["e"], "name": "amplitude__page", "identity": "1|e"},
        {"at": at["f"], "name": "amplitude__page", "identity": "1|f"},
    ]
    assert explained(config, str(PROJECT), "2026-03") == (
        0,
        {
            "project_id": PROJECT,
            "month": "2026-03",
            "records": 8,
            "duplicates": 2,
            "events": 6,
            "rows": 6,
            "distinct": 6,
            "erased": 0,
            "exact": True,
            "verdict": "exact: usage table, rows and distinct identities are all 6",
            "statement": None,
            "adjustments": [],
            "late": 1,
            "without_server_upload_time": 1,
            "days": [
                {"day": "2026-03-01", "rows": 1},
                {"day": "2026-03-15", "rows": 3},
                {"day": "2026-03-16", "rows": 2},
            ],
            "names": [{"name": "amplitude__page", "rows": 5}, {"name": pay, "rows": 1}],
            "rungs": [
                {"rung": 1, "by": "uuid", "rows": 4, "duplicates": 2},
                {"rung": 2, "by": "insert id", "rows": 1, "duplicates": 0},
                {"rung": 4, "by": "content", "rows": 1, "duplicates": 0},
            ],
            "first": ends[:5],
            "last": ends[:0:-1],
        },
    )


MOMENTS = {
    "a": NINE,
    "c": NINE - timedelta(days=14),
    "d": NINE + LAG,
    "e": NINE + timedelta(hours=15),
    "f": NINE + timedelta(days=1),
}


def test_explain_shows_nothing_that_steers_a_terminal(config: Path) -> None:
    shown = asked(config, "explain", str(PROJECT), "2026-03")
    assert (shown.exit_code, [line.rstrip() for line in shown.stdout.splitlines()]) == (0, EXPLAINED.splitlines())


EXPLAINED = """\
  project     434735
  month       2026-03
  received    8 event records
  duplicates  2 removed
  metered     6 events
  stored      6 rows, 6 distinct identities
  closed      not yet
  late        1 arrived more than 24 h after Amplitude uploaded them
  undated     1 have no server_upload_time: their arrival counts
By UTC day
┏━━━━━━━━━━━━┳━━━━━━┓
┃ day        ┃ rows ┃
┡━━━━━━━━━━━━╇━━━━━━┩
│ 2026-03-01 │    1 │
│ 2026-03-15 │    3 │
│ 2026-03-16 │    2 │
└────────────┴──────┘
By event name
┏━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━┓
┃ name                   ┃ rows ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━┩
│ amplitude__page        │    5 │
│ amplitude__\\x1b[31mpay │    1 │
└────────────────────────┴──────┘
By identity
┏━━━━━━━━━━━━━┳━━━━━━┳━━━━━━━━━━━━━━━━━━━━┓
┃ identity    ┃ rows ┃ duplicates removed ┃
┡━━━━━━━━━━━━━╇━━━━━━╇━━━━━━━━━━━━━━━━━━━━┩
│ 1 uuid      │    4 │                  2 │
│ 2 insert id │    1 │                  0 │
│ 4 content   │    1 │                  0 │
└─────────────┴──────┴────────────────────┘
First and last events
┏━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┓
┃       ┃ time                ┃ name                   ┃ identity ┃
┡━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━┩
│ first │ 2026-03-01 09:30:30 │ amplitude__page        │ 2|c      │
│ first │ 2026-03-15 09:30:30 │ amplitude__page        │ 1|a      │
│ first │ 2026-03-15 09:30:30 │ amplitude__page        │ 1|b      │
│ first │ 2026-03-15 09:30:33 │ amplitude__\\x1b[31mpay │ 4|d      │
│ first │ 2026-03-16 00:30:30 │ amplitude__page        │ 1|e      │
│ last  │ 2026-03-16 09:30:30 │ amplitude__page        │ 1|f      │
│ last  │ 2026-03-16 00:30:30 │ amplitude__page        │ 1|e      │
│ last  │ 2026-03-15 09:30:33 │ amplitude__\\x1b[31mpay │ 4|d      │
│ last  │ 2026-03-15 09:30:30 │ amplitude__page        │ 1|b      │
│ last  │ 2026-03-15 09:30:30 │ amplitude__page        │ 1|a      │
└───────┴─────────────────────┴────────────────────────┴──────────┘
exact: usage table, rows and distinct identities are all 6
"""


def test_numbers_that_differ_are_said_and_exit_1(config: Path) -> None:
    code, repeated = explained(config, str(PROJECT), "2026-04")
    assert (code, repeated["exact"], repeated["verdict"]) == (1, False, verdict(2, 2, 1))
    code, behind = explained(config, str(OTHER_PROJECT), "2026-03")
    assert (code, behind["exact"], behind["verdict"]) == (1, False, verdict(2, 1, 1))
    code, absent = explained(config, "5", "2026-03")
    assert (code, absent["rows"], absent["first"], absent["verdict"]) == (1, 0, [], verdict(9, 0, 0))


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ((1_200, 1_200, 1_200), "exact: usage table, rows and distinct identities are all 1,200"),
        ((9, 7, 7, 2), "exact: usage table 9, 2 of them erased; rows and distinct identities 7"),
        (
            (1_200, 1_100, 1_100),
            "not equal: usage table 1,200, rows 1,100, distinct identities 1,100: a difference is expected until "
            "the next checkpoint, ask again then",
        ),
        (
            (1_200, 1_200, 1_199),
            "not equal: usage table 1,200, rows 1,200, distinct identities 1,199: copies are stored, which "
            "no checkpoint mends: they came more than ingest.dedupe_days after the first, or are a fault of "
            "this product",
        ),
    ],
)
def test_the_verdict_is_one_sentence(counts: tuple[int, int, int], sentence: str) -> None:
    assert verdict(*counts) == sentence


def test_a_month_without_an_event_is_one_line(config: Path) -> None:
    refused = asked(config, "explain", str(PROJECT), "2025-03")
    assert isinstance(refused.exception, StoreError)
    assert str(refused.exception) == (
        f"project {PROJECT} has no event in 2025-03: `usage show --project {PROJECT}` lists its months"
    )


def test_a_project_that_is_not_registered_is_said_to_be_unknown(config: Path) -> None:
    refused = asked(config, "explain", "7", "2026-03")
    assert (refused.exit_code, str(refused.exception)) == (1, "7 is not registered")
