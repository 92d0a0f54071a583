"""`projects export`, `diff` and `apply` on a real DynamoDB, as typed."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from lab.stack.patience import scaled
from ops.answers.registry_file import differences, parse
from ops.maintenance.apply import applied
from settings import load
from stores.errors import StoreError
from stores.project import linked
from stores.projects import Projects

FILE = """
plans = { acme = 2 }
[[projects]]
project_id = 1
links = [{ notifly_project = "acme", linked_at = 2026-01-01T00:00:00Z }]
[[projects]]
project_id = 2
monthly_limit = 500
thresholds = []
snapshot_hours = 24
links = [
  { notifly_project = "acme", linked_at = 2026-01-01T00:00:00Z, unlinked_at = 2026-02-01T00:00:00Z },
  { notifly_project = "acme", linked_at = 2026-02-01T00:00:00Z },
]
"""
MOVED = """
[[projects]]
project_id = 1
links = [
  { notifly_project = "acme", linked_at = 2026-01-01T00:00:00Z, unlinked_at = 2026-03-01T00:00:00Z },
  { notifly_project = "globex", linked_at = 2026-03-01T00:00:00Z },
]
[[projects]]
project_id = 3
links = [{ notifly_project = "acme", linked_at = 2026-03-01T00:00:00Z }]
"""


@pytest.fixture
def config(tmp_path: Path, dynamodb_endpoint: str) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"\n'
        '[lake]\ncatalog_uri = "sqlite:////nowhere/catalog.db"\nwarehouse = "file:///nowhere"\n'
    )
    return path


def typed(
    config: Path, *arguments: str, file: str | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "amplitude-bridge", "projects", "--config", config, *arguments]
    done = subprocess.run(
        command, input=file, capture_output=True, text=True, timeout=scaled(60), check=False, cwd=config.parent
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_registry_is_made_exported_changed_and_pruned(config: Path) -> None:
    made = typed(config, "apply", "-", file=FILE).stdout.splitlines()
    assert made[:2] == [
        "~ plan acme: 2 projects linked at a time (was 1)",
        "+ project 1: linked to acme from 2026-01-01T00:00:00Z on, 10,000,000 events a month, "
        "alerts at 50, 80, 90, 100 %",
    ]
    assert len(made) == 4
    assert typed(config, "apply", "-", file=FILE).stdout == "the registry is as the file says\n"
    exported = typed(config, "export").stdout
    assert typed(config, "diff", "-", "--prune", file=exported).stdout == ""
    registry = Projects(load(config).tables_address)
    assert [one.snapshot_hours for one in registry.list()] == [None, 24]
    assert registry.plan("acme").linked == (1, 2)

    changes = json.loads(typed(config, "diff", "-", "--json", file=MOVED, code=1).stdout)
    assert typed(config, "export").stdout == exported
    assert typed(config, "apply", "-", file=MOVED).stdout.splitlines() == changes
    assert changes == [
        "~ project 1: unlinked from acme as of 2026-03-01T00:00:00Z",
        "~ project 1: linked to globex from 2026-03-01T00:00:00Z on",
        "+ project 3: linked to acme from 2026-03-01T00:00:00Z on, 10,000,000 events a month, "
        "alerts at 50, 80, 90, 100 %",
    ]
    assert (registry.plan("acme").linked, registry.plan("globex").linked) == ((2, 3), (1,))

    pruned = typed(config, "apply", "-", "--prune", file=MOVED).stdout.splitlines()
    assert pruned[0].startswith("- project 2: unlinked from acme as of ")
    assert pruned[1:] == ["~ plan acme: 1 projects linked at a time (was 2)"]
    assert registry.get(2).status == "unlinked"


def test_a_file_that_is_wrong_anywhere_changes_nothing(config: Path) -> None:
    (config.parent / "bad.toml").write_text(f"{FILE}[[projects]]\nproject_id = -1\nlinks = []\n")
    done = typed(config, "apply", "bad.toml", code=2)
    assert (done.stdout, done.stderr) == (
        "",
        "amplitude-bridge: bad.toml, line 15: projects[2].project_id = -1: "
        "Input should be greater than or equal to 0\n",
    )
    assert typed(config, "export").stdout == ""


def test_what_was_stopped_halfway_is_finished_when_it_is_repeated(config: Path) -> None:
    typed(config, "apply", "-", file=FILE)
    registry = Projects(load(config).tables_address)
    changes = differences(parse(MOVED.encode(), "f"), registry.list(), registry.all_plans(), datetime(2026, 4, 1))  # noqa: DTZ001
    next(applied(registry, changes))
    assert registry.plan("acme").linked == (2,)
    registry.add(linked(9, "acme"))
    refused = typed(config, "apply", "-", file=MOVED, code=2)
    assert refused.stderr.startswith(
        "amplitude-bridge: -: acme would have 3 projects linked, and its plan allows 2: "
    )
    with pytest.raises(
        StoreError, match=r"^1 of 2 changes are made, then: acme has Amplitude projects 2, 9 linked, "
    ):
        list(applied(registry, changes[1:]))
    registry.unlink(9, datetime(2026, 4, 1))  # noqa: DTZ001
    assert typed(config, "apply", "-", file=MOVED).stdout.splitlines() == [changes[2].words]
    assert typed(config, "apply", "-", file=MOVED).stdout == "the registry is as the file says\n"
