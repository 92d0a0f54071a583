"""The dead letters as support sees them, out of a real Iceberg table: counted, listed, explained, raw."""

import base64
import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobs.sinks import COLUMNS
from ops.cli.dead_letters import dead_letters
from ops.cli.main import main
from stores.errors import StoreError
from stores.lake import DEAD_LETTERS, Condition, Lake
from stores.lake_address import LakeAddress
from tests.lake import lake_of

NINE = datetime(2026, 3, 15, 9, 30, 33, 250000, tzinfo=UTC)
SHARD = "shardId-000000000000"
HOSTILE = b'{"app":5,"app":5.0,"x":"\xc2\x9b[red]","list":[1,2]}'
NO_TIME = "is neither a time such as 2026-03-01T12:00 nor an age such as 90m, 24h, 7d"
NO_COLUMNS = "is not made of kind, project, reason, hour, each at most once"

Row = dict[str, Any]


def letter(sequence: str, **overrides: object) -> Row:
    """A row of the table: a record that is cut off, at nine, unless said otherwise."""
    row = dict.fromkeys(COLUMNS[DEAD_LETTERS]) | {
        "kind": "rejected",
        "reason": "invalid_json",
        "detail": "Expecting value: line 1 column 6 (char 5)",
        "payload": b'{"a":',
        "payload_length": 5,
        "arrival": NINE,
        "shard": SHARD,
        "sequence": sequence,
    }
    return row | overrides


LETTERS = [
    letter("100"),
    letter("101", arrival=NINE + timedelta(hours=3)),
    letter(
        "102",
        kind="quarantined",
        reason="unknown_project",
        detail="no project has registered \x1b[31mapp 5",
        project_id=5,
        payload=HOSTILE,
        payload_length=len(HOSTILE),
        sub_index=3,
        arrival=NINE + timedelta(hours=2),
    ),
    letter("102", sub_index=4, project_id=5, arrival=NINE + timedelta(hours=2)),
    letter(
        "103", reason="gzip_invalid", payload=b"\x1f\x8b\xff", payload_length=2_000_000, payload_sha256="ab" * 32
    ),
    letter("104", kind="not_linked", reason="before_link", detail="uploaded …", project_id=5, payload=None),
    letter("105", reason="unsupported_kind", payload=b"", payload_length=0),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> Iterator[Path]:
    rows = {DEAD_LETTERS: (LETTERS[:3], LETTERS[3:])}
    with lake_of(tmp_path_factory.mktemp("lake"), rows) as path, path.open("a") as settings:
        settings.write(f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "nothing-replayed-"\n')
        settings.flush()
        yield path


def asked(config: Path, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "100"})
    return runner.invoke(dead_letters, ["--config", str(config), *arguments], prog_name="dead-letters")


def counts(config: Path, *arguments: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in json.loads(asked(config, "stats", "--json", *arguments).stdout)]


def handles(config: Path, *arguments: str) -> list[str]:
    rows = json.loads(asked(config, "list", "--json", *arguments).stdout)
    return [row["handle"].removeprefix(f"{SHARD}:") for row in rows]


def test_stats_say_how_many_of_each_reason_and_what_that_is(config: Path) -> None:
    shown = [line.rstrip() for line in asked(config, "stats").stdout.splitlines()]
    assert (
        shown
        == """\
7 waiting dead letters, by reason
┏━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ reason           ┃ records ┃ meaning                                                             ┃
┡━━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ invalid_json     │       3 │ not JSON; when it came in an envelope, the values that could be     │
│                  │         │ read were taken                                                     │
│ before_link      │       1 │ Amplitude uploaded it before the project was linked; the payload is │
│                  │         │ not kept                                                            │
│ gzip_invalid     │       1 │ a gzip that is cut off, damaged, or has other bytes behind its end; │
│                  │         │ what could be read was taken                                        │
│ unknown_project  │       1 │ no project has registered this `app`                                │
│ unsupported_kind │       1 │ not a reason of this version                                        │
└──────────────────┴─────────┴─────────────────────────────────────────────────────────────────────┘
""".splitlines()
    )


def test_stats_by_other_columns(config: Path) -> None:
    assert counts(config, "--by", "kind") == [("rejected", 5), ("not_linked", 1), ("quarantined", 1)]
    assert counts(config, "--by", "project,reason", "--project", "5") == [
        (5, "before_link", 1),
        (5, "invalid_json", 1),
        (5, "unknown_project", 1),
    ]
    assert counts(config, "--by", "hour,project") == [
        ("2026-03-15T12:00:00+00:00", None, 1),
        ("2026-03-15T11:00:00+00:00", 5, 2),
        ("2026-03-15T09:00:00+00:00", None, 3),
        ("2026-03-15T09:00:00+00:00", 5, 1),
    ]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["101", "102:3", "102:4", "105", "104", "103", "100"]),
        (["--limit", "2"], ["101", "102:3"]),
        (["--kind", "not_linked"], ["104"]),
        (["--reason", "invalid_json"], ["101", "102:4", "100"]),
        (["--project", "5"], ["102:3", "102:4", "104"]),
        (["--since", "2026-03-15T11:30:33.250"], ["101", "102:3", "102:4"]),
        (["--since", "2026-03-15T20:30:34+09:00"], ["101"]),
        (["--until", "2026-03-15T09:30:33.250001"], ["105", "104", "103", "100"]),
        (["--until", "2026-03-15"], []),
        (["--since", "90m"], []),
    ],
    ids=lambda value: " ".join(value) or "all",
)
def test_the_newest_first_as_filtered(config: Path, filters: list[str], expected: list[str]) -> None:
    assert handles(config, *filters) == expected


def test_a_list_shows_nothing_that_steers_a_terminal(config: Path) -> None:
    assert (
        asked(config, "list", "--limit", "2").stdout
        == """\
shardId-000000000000:101
  2026-03-15 12:30:33  rejected     invalid_json        no project  5 bytes  waiting
  Expecting value: line 1 column 6 (char 5)
shardId-000000000000:102:3
  2026-03-15 11:30:33  quarantined  unknown_project     project 5  46 bytes  waiting
  no project has registered \\x1b[31mapp 5

the newest 2 of 7; `amplitude-bridge dead-letters show HANDLE` explains one
"""
    )


def test_none_is_one_line(config: Path) -> None:
    for command in ("list", "stats"):
        found = asked(config, command, "--until", "2026-03-15")
        assert (found.exit_code, found.stdout) == (
            0,
            "no dead letters match that are waiting; --state all has all\n",
        )


def test_show_explains_json_as_it_was_sent(config: Path) -> None:
    assert (
        asked(config, "show", f"{SHARD}:102:3").stdout
        == """\
quarantined: unknown_project
  arrival  2026-03-15 11:30:33.250000 UTC
  record   shardId-000000000000:102:3 (a part of an envelope)
  project  5
  size     46 bytes
  detail   no project has registered \\x1b[31mapp 5
  state    waiting
  meaning  no project has registered this `app`
  cause    not registered yet, or a wrong id
  remedy   `amplitude-bridge projects add PROJECT_ID NOTIFLY_PROJECT --linked-at UPLOAD`, then \
`dead-letters replay`; its `--dry-run` names UPLOAD

{
  "app": 5,
  "app": 5.0,
  "x": "\\x9b[red]",
  "list": [
    1,
    2
  ]
}
"""
    )


def test_show_says_what_is_cut_and_where_the_rest_is(config: Path) -> None:
    assert (
        asked(config, "show", f"{SHARD}:103").stdout
        == f"""\
rejected: gzip_invalid
  arrival  2026-03-15 09:30:33.250000 UTC
  record   shardId-000000000000:103
  project  none
  size     2,000,000 bytes, cut; SHA-256 of all {"ab" * 32}
  detail   Expecting value: line 1 column 6 (char 5)
  state    waiting
  meaning  a gzip that is cut off, damaged, or has other bytes behind its end; what could be read was taken
  cause    an upload that broke off
  remedy   ask the sender for the whole file again: copies of what was taken are removed

\\x1f\\x8b\\xff

… cut here; --raw writes the 3 bytes that are kept
The whole record is on the stream at its shard and sequence while that retains it.
"""
    )


@pytest.mark.parametrize(
    ("sequence", "last"), [("104", "The payload is not kept."), ("105", "The payload is empty.")]
)
def test_show_says_why_there_is_no_payload(config: Path, sequence: str, last: str) -> None:
    assert asked(config, "show", f"{SHARD}:{sequence}").stdout.splitlines()[-1] == last


def test_show_knows_that_it_does_not_know_a_reason(config: Path) -> None:
    assert "  meaning  not a reason of this version\n" in asked(config, "show", f"{SHARD}:105").stdout


def test_a_long_payload_is_cut_on_the_terminal_only(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.cli.dead_letters._SHOWN", 4)
    shown = asked(config, "show", f"{SHARD}:100").stdout
    assert shown.endswith('\n\n{"a"\n\n… cut here; --raw writes all 5 bytes\n')


def test_raw_is_the_exact_bytes(config: Path) -> None:
    found = asked(config, "show", f"{SHARD}:102:3", "--raw")
    assert (found.stdout_bytes, found.stderr) == (HOSTILE, "")
    cut = asked(config, "show", f"{SHARD}:103", "--raw")
    assert (cut.stdout_bytes, cut.stderr) == (b"\x1f\x8b\xff", "only the first 3 of 2,000,000 bytes are kept\n")


def test_raw_never_goes_to_a_terminal(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.cli.dead_letters._at_a_terminal", lambda: True)
    refused = asked(config, "show", f"{SHARD}:102:3", "--raw")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.endswith(
        "Error: --raw is for a pipe or a file: bytes of strangers may steer a terminal\n"
    )


def test_json_holds_the_payload_in_base64(config: Path) -> None:
    found = json.loads(asked(config, "show", f"{SHARD}:102:3", "--json").stdout)
    assert base64.b64decode(found.pop("payload")) == HOSTILE
    assert found == {
        "handle": f"{SHARD}:102:3",
        "kind": "quarantined",
        "reason": "unknown_project",
        "detail": "no project has registered \x1b[31mapp 5",
        "project_id": 5,
        "payload_length": 46,
        "payload_sha256": None,
        "arrival": "2026-03-15T11:30:33.250000+00:00",
        "shard": SHARD,
        "sequence": "102",
        "sub_index": 3,
        "request_id": None,
        "state": "waiting",
        "meaning": "no project has registered this `app`",
        "cause": "not registered yet, or a wrong id",
        "remedy": "`amplitude-bridge projects add PROJECT_ID NOTIFLY_PROJECT --linked-at UPLOAD`, then "
        "`dead-letters replay`; its `--dry-run` names UPLOAD",
    }


@pytest.mark.parametrize("handle", ["102", "102:5", "100:0"])
def test_what_is_not_found_is_one_line(
    config: Path, handle: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["amplitude-bridge", "dead-letters", "--config", str(config), "show", f"{SHARD}:{handle}"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr() == (
        "",
        f"amplitude-bridge: no dead letter at {SHARD}:{handle}: `dead-letters list` prints the handles\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["show", "102"],
            "'HANDLE': '102' is not SHARD:SEQUENCE or SHARD:SEQUENCE:SUB_INDEX, as `list` prints it",
        ),
        (["list", "--since", "soon"], f"'--since': 'soon' {NO_TIME}"),
        (["list", "--since", "9999999999d"], f"'--since': '9999999999d' {NO_TIME}"),
        (["stats", "--by", "reason,day"], f"'--by': 'reason,day' {NO_COLUMNS}"),
        (["stats", "--by", "hour,hour"], f"'--by': 'hour,hour' {NO_COLUMNS}"),
    ],
)
def test_a_wrong_option_says_what_is_right(config: Path, arguments: list[str], message: str) -> None:
    refused = asked(config, *arguments)
    assert refused.exit_code == 2
    assert refused.stderr.endswith(f"Error: Invalid value for {message}\n")


def test_a_table_of_an_older_version_is_named(tmp_path: Path) -> None:
    lake = Lake(LakeAddress(f"sqlite:///{tmp_path}/c.db", f"file://{tmp_path}/w", "amplitude", None, "eu-west-1"))
    lake.create(DEAD_LETTERS, {"reason": str}, [])
    with pytest.raises(StoreError) as refused:
        list(lake.pieces(DEAD_LETTERS, ("reason", "sub_index"), [Condition("reason", "=", None)]))
    assert str(refused.value) == (
        "table amplitude.dead_letters has no sub_index: start the ingest job, which adds it"
    )
    lake.create(DEAD_LETTERS, {"reason": str, "sub_index": int}, [])
    assert lake.rows(DEAD_LETTERS).schema.names == ["reason", "sub_index"]


def test_a_warehouse_that_is_away_is_one_line(tmp_path: Path) -> None:
    lake = Lake(LakeAddress(f"sqlite:///{tmp_path}/c.db", f"file://{tmp_path}/w", "amplitude", None, "eu-west-1"))
    lake.create(DEAD_LETTERS, {"reason": str}, [])
    shutil.rmtree(tmp_path / "w")
    with pytest.raises(StoreError) as refused:
        lake.rows(DEAD_LETTERS)
    assert str(refused.value).startswith(f"warehouse file://{tmp_path}/w cannot be read: ")
    assert "\n" not in str(refused.value)
