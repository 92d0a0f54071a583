"""The command line against a real DynamoDB: what it prints, and how it refuses."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.stack.patience import scaled
from ops.cli.main import commands
from stores.dynamodb import TablesAddress
from stores.usage import Usage, UsageTable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path, dynamodb_endpoint: str) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}/warehouse"\n'
    )
    return path


def bridge(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "amplitude-bridge", "projects", "--config", config, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), check=False)


def printed(config: Path, *arguments: str) -> str:
    """What a command prints that succeeds; run here, for a new Python takes a second to get ready."""
    done = CliRunner().invoke(commands, ["projects", "--config", str(config), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def refusal(config: Path, *arguments: str) -> str:
    """What a command says on stderr that is refused."""
    done = bridge(config, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_a_project_is_added_once_and_listed(config: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    added = bridge(config, "add", "434735", "acme-shop", "--monthly-limit", "500")
    again = refusal(config, "add", "434735", "other-shop")
    (listed,) = json.loads(printed(config, "list", "--json"))

    linked_at = listed["links"][0]["linked_at"]
    assert before <= datetime.fromisoformat(linked_at) <= datetime.now(UTC)
    assert linked_at.endswith("Z")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == (
        f"Amplitude project 434735 is linked to acme-shop: uploads from {linked_at} on are taken\n"
    )
    assert again == (
        "amplitude-bridge: Amplitude project 434735 is registered already, linked to acme-shop since "
        f"{linked_at}: to begin earlier, projects extend-link 434735\n"
    )
    assert listed == {
        "project_id": 434735,
        "notifly_project": "acme-shop",
        "status": "linked",
        "monthly_limit": 500,
        "thresholds": [50, 80, 90, 100],
        "earlier_terms": [],
        "snapshot_hours": None,
        "field_rules": {},
        "event_filters": [],
        "links": [{"notifly_project": "acme-shop", "linked_at": linked_at, "unlinked_at": None}],
    }
    (row,) = [line for line in printed(config, "list").splitlines() if "434735" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("434735", "acme-shop", "linked", linked_at, "500")
    ]


def test_a_project_moves_to_another_notifly_project(config: Path) -> None:
    printed(config, "add", "434735", "acme-shop", "--linked-at", "2026-01-01T09:00+09:00")
    assert printed(config, "unlink", "434735", "--at", "2026-02-01T00:00Z") == (
        "Amplitude project 434735 is unlinked: only uploads from before 2026-02-01T00:00:00Z are taken\n"
    )
    assert printed(config, "link", "434735", "--at", "2026-02-02T00:00Z") == (
        "Amplitude project 434735 is linked to acme-shop: uploads from 2026-02-02T00:00:00Z on are taken\n"
    )
    printed(config, "unlink", "434735", "--at", "2026-02-03T00:00Z")
    printed(config, "link", "434735", "other-shop", "--at", "2026-03-01T12:30:15.25Z")
    assert json.loads(printed(config, "show", "434735", "--json")) == {
        "project_id": 434735,
        "notifly_project": "other-shop",
        "status": "linked",
        "monthly_limit": 10_000_000,
        "thresholds": [50, 80, 90, 100],
        "earlier_terms": [],
        "snapshot_hours": None,
        "field_rules": {},
        "event_filters": [],
        "links": [
            {
                "notifly_project": "acme-shop",
                "linked_at": "2026-01-01T00:00:00Z",
                "unlinked_at": "2026-02-01T00:00:00Z",
            },
            {
                "notifly_project": "acme-shop",
                "linked_at": "2026-02-02T00:00:00Z",
                "unlinked_at": "2026-02-03T00:00:00Z",
            },
            {"notifly_project": "other-shop", "linked_at": "2026-03-01T12:30:15.250000Z", "unlinked_at": None},
        ],
        "plan": {"max_projects": 1, "linked": [434735]},
    }
    assert printed(config, "show", "434735") == (
        "  project          434735\n"
        "  status           linked, other-shop\n"
        "  terms            10,000,000 events a month, alerts at 50, 80, 90, 100 %\n"
        "  user properties  on events do not change profiles\n"
        "  field rules      none\n"
        "  filters          none\n"
        "  plan             1 of 1 Amplitude projects linked: 434735\n"
        "┏━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┓\n"
        "┃ Notifly project ┃ linked                      ┃ unlinked             ┃\n"
        "┡━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━┩\n"
        "│ acme-shop       │ 2026-01-01T00:00:00Z        │ 2026-02-01T00:00:00Z │\n"
        "│ acme-shop       │ 2026-02-02T00:00:00Z        │ 2026-02-03T00:00:00Z │\n"
        "│ other-shop      │ 2026-03-01T12:30:15.250000Z │                      │\n"
        "└─────────────────┴─────────────────────────────┴──────────────────────┘\n"
    )


def test_user_properties_on_events_are_taken_when_asked_for(config: Path) -> None:
    printed(config, "add", "434735", "acme-shop")
    assert printed(config, "snapshots", "434735", "24") == (
        "Amplitude project 434735: user properties on events change profiles, "
        "unless uploaded more than 24 h after the event\n"
    )
    assert json.loads(printed(config, "show", "434735", "--json"))["snapshot_hours"] == 24
    printed(config, "unlink", "434735")
    assert json.loads(printed(config, "show", "434735", "--json"))["snapshot_hours"] == 24
    printed(config, "snapshots", "434735", "off")
    assert json.loads(printed(config, "show", "434735", "--json"))["snapshot_hours"] is None
    assert "neither `off` nor a number of hours" in refusal(config, "snapshots", "434735", "0")


def test_a_second_project_is_added_when_its_plan_allows_it(config: Path) -> None:
    printed(config, "add", "434735", "acme-shop")
    assert refusal(config, "add", "203138", "acme-shop") == (
        "amplitude-bridge: acme-shop has Amplitude project 434735 linked, and its plan allows 1: more need a plan "
        "that allows them, contact contact@notifly.tech, then: projects allow acme-shop 2\n"
    )
    assert printed(config, "allow", "acme-shop", "2") == (
        "acme-shop may have 2 Amplitude projects linked at a time\n"
    )
    printed(config, "add", "203138", "acme-shop")
    assert [project["project_id"] for project in json.loads(printed(config, "list", "--json"))] == [203138, 434735]


def test_a_table_that_is_away_is_one_line(config: Path) -> None:
    config.write_text(config.read_text().replace("endpoint = ", 'endpoint = "http://127.0.0.1:9" #'))
    said = refusal(config, "list")
    assert said == (
        "amplitude-bridge: DynamoDB cannot be reached: nothing answers at http://127.0.0.1:9: start a local stack "
        "with `make run`, or name the settings of another with --config\n"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ingest.dedupe_days=7", "ingest.dedupe_days = 7: Input should be greater than or equal to 40"),
        (
            "kinesis.endpoint=http://127.0.0.1:9",
            "Kinesis cannot be reached: nothing answers at http://127.0.0.1:9: start a local stack with ",
        ),
    ],
    ids=["bad setting", "stream away"],
)
def test_the_job_refuses_to_start_in_one_line(config: Path, override: str, message: str) -> None:
    command = [sys.executable, "-m", "jobs.ingest", "--config", config, "--set", override]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=scaled(120), check=False, cwd=ROOT)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert message in refused.stderr
    assert refused.stderr.startswith("jobs.ingest: ")
    assert refused.stderr.count("\n") == 1


def test_totals_never_go_backwards(tmp_path: Path, dynamodb_endpoint: str) -> None:
    table = UsageTable(TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-"))
    table.create()
    table.raise_totals([Usage(1, "2026-01", 10, 8), Usage(1, "2026-02", 1, 1), Usage(1, "2026-01", 12, 9)])
    table.raise_totals([Usage(1, "2026-01", 11, 9), Usage(1, "2026-02", 2, 1), Usage(2, "2026-01", 1, 1)])
    assert table.list() == [
        Usage(1, "2026-01", 12, 9),
        Usage(1, "2026-02", 2, 1),
        Usage(2, "2026-01", 1, 1),
    ]


def test_the_shell_completes_commands() -> None:
    asked = {"_AMPLITUDE_BRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": "amplitude-bridge projects ap"}
    env = os.environ | asked | {"COMP_CWORD": "2"}
    program = Path(sys.executable).parent / "amplitude-bridge"
    done = subprocess.run([program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,apply\n"


def test_a_wheel_turns_on_a_terminal_and_nowhere_else() -> None:
    program = ("from ops.cli.terminal import waiting", "with waiting('examining'): pass", "print('done')")
    command = [sys.executable, "-c", "\n".join(program)]
    master, terminal = pty.openpty()
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=True)
    os.close(terminal)
    assert shown.stdout == b"done\n"
    assert b"examining" in os.read(master, 1000)
    os.close(master)
    quiet = subprocess.run(command, capture_output=True, check=True)
    assert (quiet.stdout, quiet.stderr) == (b"done\n", b"")
