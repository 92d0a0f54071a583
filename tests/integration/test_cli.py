"""The command line against a real DynamoDB: what it prints, and how it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stores.dynamodb import TablesAddress
from stores.projects import Projects
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
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_project_is_added_once_and_listed(config: Path) -> None:
    added = bridge(config, "add", "434735", "acme-shop", "--monthly-limit", "500")
    again = bridge(config, "add", "434735", "other-shop")
    listed = json.loads(bridge(config, "list", "--json").stdout)

    assert (added.returncode, added.stdout) == (0, "Amplitude project 434735 is registered for acme-shop\n")
    assert (again.returncode, again.stderr) == (
        2,
        "amplitude-bridge: Amplitude project 434735 is registered already: see projects list\n",
    )
    assert [(p["project_id"], p["notifly_project"], p["monthly_limit"]) for p in listed] == [
        (434735, "acme-shop", 500)
    ]
    assert "acme-shop" in bridge(config, "list").stdout


def test_a_table_that_is_away_is_one_line(config: Path) -> None:
    config.write_text(config.read_text().replace("endpoint = ", 'endpoint = "http://127.0.0.1:9" #'))
    refused = bridge(config, "list")
    assert refused.returncode == 2
    assert refused.stderr.startswith("amplitude-bridge: DynamoDB table ")
    assert "at http://127.0.0.1:9 cannot be used: " in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ingest.dedupe_days=7", "ingest.dedupe_days = 7: Input should be greater than or equal to 40"),
        (
            "kinesis.endpoint=http://127.0.0.1:9",
            "Kinesis stream notifly-external-event-streaming at http://127.0.0.1:9 cannot be used: ",
        ),
    ],
    ids=["bad setting", "stream away"],
)
def test_the_job_refuses_to_start_in_one_line(config: Path, override: str, message: str) -> None:
    command = [sys.executable, "-m", "jobs.ingest", "--config", config, "--set", override]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
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


def test_the_registry_holds_what_was_added(tmp_path: Path, dynamodb_endpoint: str) -> None:
    registry = Projects(TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-"))
    registry.create()
    registry.create()
    assert registry.list() == []
