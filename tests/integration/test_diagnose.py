"""Why only some events arrive: the answer out of a real Iceberg table."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobs.sinks import COLUMNS
from ops.cli.diagnose import diagnose
from stores.errors import StoreError
from stores.lake import DEAD_LETTERS, EVENT_COUNTS, EVENT_STORE
from stores.project import linked
from stores.replays import Replay
from stores.usage import Usage
from tests.builders import OTHER_PROJECT, PROJECT
from tests.lake import lake_of

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SINCE = NOW - timedelta(days=7)
HOUR = timedelta(hours=1)
Row = dict[str, Any]


def event(name: str, arrival: datetime, delay: float | None = 3.25, **overrides: object) -> Row:
    uploaded = None if delay is None else arrival - timedelta(seconds=delay)
    row = {"project_id": PROJECT, "name": f"amplitude__{name}", "arrival": arrival, "server_upload_time": uploaded}
    return dict.fromkeys(COLUMNS[EVENT_STORE]) | row | overrides


def letter(kind: str, reason: str, arrival: datetime, project_id: int | None = PROJECT) -> Row:
    row = {"kind": kind, "reason": reason, "arrival": arrival, "project_id": project_id}
    return dict.fromkeys(COLUMNS[DEAD_LETTERS]) | row


MENDED = {
    0: "timestamp_unreadable:event_time timestamp_unreadable:server_upload_time",
    1: "timestamp_unreadable:server_upload_time",
    2: "timestamp_unreadable",  # of an older version
    3: "timestamp_implausible:server_upload_time wrong_type:city",
    4: "timestamp_unreadable:event_time",
}
UPLOADS = (
    "10 of 50 events count in the month of their arrival, for their server_upload_time cannot be used (absent 6, "
    "timestamp_unreadable 3, timestamp_implausible 1); what to do: `extra` in the event store shows what was "
    "sent; Amplitude itself writes UTC like 2026-03-15 09:30:28.583000, so find out what rewrites it on the way"
)
PAGE = [event("page", NOW - n * HOUR - HOUR, delay=n + 0.25) for n in range(40)]
EVENTS = [
    *PAGE,
    *(
        event("\x1b[31mpay", NOW - timedelta(days=3, minutes=n), delay=None, repairs=MENDED.get(n))
        for n in range(10)
    ),
    event("page", SINCE - timedelta(microseconds=1)),
    event("page", NOW),
    event("page", NOW - HOUR, project_id=OTHER_PROJECT),
]
LETTERS = [
    letter("control", "own_event", NOW - HOUR),
    letter("control", "own_event", NOW - 2 * HOUR),
    letter("control", "test_record", NOW - HOUR, None),
    letter("rejected", "invalid_json", NOW - HOUR, None),
    letter("rejected", "invalid_json", SINCE - HOUR, None),
    letter("not_linked", "before_link", SINCE - HOUR),
    letter("not_linked", "before_link", NOW - HOUR, OTHER_PROJECT),
    *(letter("quarantined", "unknown_project", NOW - HOUR) | {"shard": "s", "sequence": n} for n in ("1", "2")),
    letter("quarantined", "unknown_cohort", NOW - HOUR, None) | {"shard": "s", "sequence": "3"},
]
REPLAYS = [
    Replay(f"s:1::{PROJECT}:unknown_project d", "", PROJECT, "unknown_project", "amplitude__page", "s", "11", ""),
    Replay(f"s:2::{PROJECT}:unknown_project d", "", PROJECT, "unknown_project", "$identify", "s", "12", ""),
    Replay("s:3:::unknown_cohort d", "", None, "unknown_cohort", None, "s", "13", ""),
]
"""What was replayed is told of nowhere: what has become of it is counted by itself."""


def count(name: str, hour: datetime, records: int, first_copies: int, **overrides: object) -> Row:
    row = {"project_id": PROJECT, "name": f"amplitude__{name}", "hour": hour, "kind": "event"}
    return (
        dict.fromkeys(COLUMNS[EVENT_COUNTS]) | row | {"records": records, "first_copies": first_copies} | overrides
    )


COUNTS = [
    count("page", NOW - HOUR, 40, 36),
    count("page", NOW - 2 * HOUR, 5, 4),
    count("page", NOW - HOUR, 3, 0, kind="not_linked", reason="unlinked"),
    count("page", SINCE - HOUR, 7, 7),
    count("page", NOW - HOUR, 7, 7, project_id=OTHER_PROJECT),
    count("\x1b[31mpay", NOW - timedelta(days=3), 10, 10),
    count("[Notifly] sent", NOW - HOUR, 1, 0, kind="control", reason="own_event"),
    count("[Notifly] sent", NOW - 2 * HOUR, 1, 0, kind="control", reason="own_event"),
    count("$identify", NOW - HOUR, 4, 3, kind="user_update"),
    count("page", NOW - HOUR, 1, 0, kind="quarantined", reason="unknown_project"),
    count("$identify", NOW - HOUR, 1, 0, kind="quarantined", reason="unknown_project") | {"name": "$identify"},
]
TOTALS = [
    Usage(PROJECT, "2026-02", 1_700, 1_625),
    Usage(PROJECT, "2026-03", 60, 52, 4, 3),
    Usage(OTHER_PROJECT, "2026-03", 3, 2),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    rows = {
        EVENT_STORE: (EVENTS[:15], EVENTS[15:]),
        DEAD_LETTERS: (LETTERS[:1], LETTERS[1:]),
        EVENT_COUNTS: (COUNTS[:4], COUNTS[4:]),
    }
    with lake_of(tmp_path_factory.mktemp("lake"), rows) as path:
        yield path


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB's tables as lists, the lake a file at a time, and noon of a day in March."""
    monkeypatch.setattr("ops.answers.diagnosis.UsageTable", lambda _: SimpleNamespace(list=lambda: TOTALS))
    registry = SimpleNamespace(list=lambda: [linked(PROJECT, "acme")], get=unregistered)
    for user in ("ops.answers.diagnosis", "ops.cli.diagnose"):
        monkeypatch.setattr(f"{user}.Projects", lambda _: registry)
    noted = SimpleNamespace(of_arrivals=lambda *_: REPLAYS, letters=lambda *_: [one.letter for one in REPLAYS])
    monkeypatch.setattr("ops.answers.replayed.Replays", lambda _: noted)
    monkeypatch.setattr("ops.answers.diagnosis.Replays", lambda _: noted)
    monkeypatch.setattr("ops.cli.diagnose._now", lambda: NOW)
    monkeypatch.setattr("stores.lake._FILES_AT_ONCE", 1)


def unregistered(project_id: int) -> None:
    msg = f"{project_id} is not registered"
    raise StoreError(msg)


def asked(config: Path, project_id: int, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "80"})
    return runner.invoke(diagnose, ["--config", str(config), str(project_id), *arguments])


def test_a_diagnosis_as_json(config: Path) -> None:
    found = json.loads(asked(config, PROJECT, "--since", "2026-03-08T12:00", "--json").stdout)
    assert found == {
        "project_id": PROJECT,
        "status": "linked",
        "since": "2026-03-08T12:00:00+00:00",
        "until": "2026-03-15T12:00:00+00:00",
        "newest_event_age_seconds": 3600.0,
        "delay_seconds": {"p50": 19.2, "p95": 37.2, "max": 39.2},
        "months_by_arrival": {"absent": 6, "timestamp_unreadable": 3, "timestamp_implausible": 1},
        "names": [
            {
                "name": "amplitude__page",
                "received": 48,
                "stored": 40,
                "duplicates": 5,
                "not_taken": {"unlinked": 3},
                "first_seen": "2026-03-13T20:00:00+00:00",
                "last_seen": "2026-03-15T11:00:00+00:00",
                "seen_exactly": True,
                "days_without_data": 1,
            },
            {
                "name": "amplitude__\x1b[31mpay",
                "received": 10,
                "stored": 10,
                "duplicates": 0,
                "not_taken": {},
                "first_seen": "2026-03-12T11:51:00+00:00",
                "last_seen": "2026-03-12T12:00:00+00:00",
                "seen_exactly": True,
                "days_without_data": 3,
            },
            {
                "name": "amplitude__[Notifly] sent",
                "received": 2,
                "stored": 0,
                "duplicates": 0,
                "not_taken": {"own_event": 2},
                "first_seen": "2026-03-15T10:00:00+00:00",
                "last_seen": "2026-03-15T11:00:00+00:00",
                "seen_exactly": False,
                "days_without_data": 3,
            },
        ],
        "months": [{"month": "2026-03", "records": 60, "duplicates": 8}],
        "dead_letters": [
            {
                "kind": "control",
                "reason": "own_event",
                "records": 2,
                "meaning": "its name begins with `[Notifly] `: Notifly itself has sent it to Amplitude",
            }
        ],
        "dead_letters_without_project": 2,
        "cause": {
            "code": "deselected",
            "words": "amplitude__\x1b[31mpay (2026-03-12 12:00 UTC) stopped while others go on: most likely not "
            'selected any more in Amplitude\'s "Send Events"',
        },
    }


def test_a_diagnosis_shows_nothing_that_steers_a_terminal(config: Path) -> None:
    shown = asked(config, PROJECT, "--since", "2026-03-08T12:00")
    assert (shown.exit_code, [line.rstrip() for line in shown.stdout.splitlines()]) == (
        0,
        SHOWN.replace("UPLOADS", UPLOADS).splitlines(),
    )


SHOWN = """\
  project       434735, linked
  arrived       2026-03-08 12:00 UTC to 2026-03-15 12:00 UTC
  newest event  1 h ago
  delay         p50 19.2 s, p95 37.2 s, max 39.2 s
  duplicates    8 of 60 event records in 2026-03
  no project    2 dead letters of all senders name none, and may be of this one
  upload times  UPLOADS
Events by name (amplitude__…)
┏━━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ name           ┃ received ┃ stored ┃ duplicates ┃ last seen                  ┃
┡━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ page           │       48 │     40 │          5 │ 03-15 11:00, no data on 1  │
│                │          │        │            │ day                        │
│ \\x1b[31mpay    │       10 │     10 │          0 │ 03-12 12:00, no data on 3  │
│                │          │        │            │ days                       │
│ [Notifly] sent │        2 │      0 │          0 │ 03-15 11:00 to 12:00, no   │
│                │          │        │            │ data on 3 days             │
└────────────────┴──────────┴────────┴────────────┴────────────────────────────┘
Not taken, by name
┏━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━┓
┃ name           ┃ reason    ┃ records ┃
┡━━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━┩
│ page           │ unlinked  │       3 │
│ [Notifly] sent │ own_event │       2 │
└────────────────┴───────────┴─────────┘
Dead letters
┏━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ kind    ┃ reason    ┃ records ┃ meaning                                      ┃
┡━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ control │ own_event │       2 │ its name begins with `[Notifly] `: Notifly   │
│         │           │         │ itself has sent it to Amplitude              │
└─────────┴───────────┴─────────┴──────────────────────────────────────────────┘
Likely cause: amplitude__\\x1b[31mpay (2026-03-12 12:00 UTC) stopped while others go on: most \
likely not selected any more in Amplitude's "Send Events"
"""


def test_nothing_known_is_said_shortly(config: Path) -> None:
    found = asked(config, 7, "--since", "2026-03-15")
    assert str(found.exception) == "7 is not registered"
    assert found.stdout == (
        "  project       7, unregistered\n"
        "  arrived       2026-03-15 00:00 UTC to 2026-03-15 12:00 UTC\n"
        "  newest event  none\n"
        "  delay         unknown\n"
        "  duplicates    unknown\n"
        "  no project    2 dead letters of all senders name none, and may be of this one\n"
        "Likely cause: no project has registered this id: what arrives waits as unknown_project; "
        "`amplitude-bridge projects add PROJECT_ID NOTIFLY_PROJECT --linked-at UPLOAD`, then "
        "`dead-letters replay`; its `--dry-run` names UPLOAD\n"
    )


def test_a_day_is_without_data_when_no_event_arrived_in_it(config: Path) -> None:
    found = json.loads(asked(config, PROJECT, "--since", "2026-03-12T12:30", "--json").stdout)
    assert [(one["name"][-4:], one["stored"], one["days_without_data"]) for one in found["names"]] == [
        ("page", 40, 1),
        ("mpay", 1, 3),
        ("sent", 0, 3),
    ]
    assert {row["arrival"].date() for row in PAGE} == {date(2026, 3, day) for day in (13, 14, 15)}


def test_the_window_is_the_last_seven_days_unless_said(config: Path) -> None:
    before = datetime.now(UTC) - timedelta(days=7)
    since = datetime.fromisoformat(json.loads(asked(config, PROJECT, "--json").stdout)["since"])
    assert (since.minute, since.second, since.microsecond) == (0, 0, 0)
    assert before - HOUR < since <= datetime.now(UTC) - timedelta(days=7)


def test_a_wrong_time_says_what_is_right(config: Path) -> None:
    refused = asked(config, PROJECT, "--since", "soon")
    assert refused.exit_code == 2
    assert refused.stderr.endswith(
        "Error: Invalid value for '--since': 'soon' is neither a time such as 2026-03-01T12:00 nor an age such as "
        "90m, 24h, 7d\n"
    )
