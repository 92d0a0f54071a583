"""What the repairing commands say, as typed, when a catalog is away or a disk is full; repeated, they finish."""

import json
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from lab.stack.amplitude.export_api import PATH
from lab.stack.amplitude.process import running
from lab.stack.patience import scaled
from stores.cohorts import CohortMembers, Cohorts
from stores.lake import EVENT_STORE
from stores.leases import Leases
from stores.profiles import Profiles
from stores.projects import Projects
from tests.archives import archive
from tests.builders import PROJECT, Record, event
from tests.integration.bridge import Bridge
from tests.integration.test_backfill import OWNER

HOUR = "2026-03-15T09"
SMALL = 100_000
"""Bytes of the largest file that a process may write: less than rewritten events, more than a catalog."""


def row(number: int, user: str) -> Record:
    """An event that no compression makes small."""
    more = {
        "event_properties": {"noise": os.urandom(2_000).hex()},
        "server_upload_time": f"{HOUR.replace('T', ' ')}:00:01",
    }
    return event(uuid=f"u{number}", event_type="page", user_id=user, **more)


@pytest.fixture
def stored(bridge: Bridge) -> Bridge:
    """100 events of mina and of jun each."""
    Projects(bridge.settings.tables_address).add(OWNER)
    for table in (Cohorts, CohortMembers, Leases, Profiles):
        table(bridge.settings.tables_address).create()
    bridge.put(*[json.dumps(row(n, "mina" if n % 2 else "jun")).encode() for n in range(200)])
    bridge.judge(OWNER)
    return bridge


def typed(config: Path, *words: str, largest: int | None = None) -> subprocess.CompletedProcess[str]:
    limit = None if largest is None else partial(resource.setrlimit, resource.RLIMIT_FSIZE, (largest, largest))
    command = [Path(sys.executable).parent / "amplitude-bridge", *words, "--config", config]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=scaled(120), preexec_fn=limit
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line, behind what a bar has told."""
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1].removeprefix("amplitude-bridge: ")


def test_a_catalog_that_is_away_is_told_in_one_line(stored: Bridge, tmp_path: Path) -> None:
    away = tmp_path / "away.toml"
    text = stored.config.read_text("utf-8")
    catalog = f"sqlite:///{tmp_path}/catalog.db"
    away.write_text(text.replace(catalog, "postgresql://notifly@127.0.0.1:9/iceberg"), encoding="utf-8")
    given = str(archive(tmp_path / "export.zip", [row(0, "jun")]))
    for words in (
        ("erase", str(PROJECT), "mina", "--yes"),
        ("maintain", "--yes"),
        ("backfill", str(PROJECT), given),
    ):
        line = refusal(typed(away, *words))
        assert line.startswith("Iceberg catalog postgresql:127.0.0.1:9/iceberg cannot be used: "), line
        assert line.endswith(": look at lake.catalog_uri"), line
    assert typed(stored.config, "erase", str(PROJECT), "mina", "--yes").returncode == 0


def test_a_full_disk_is_told_in_one_line_and_a_repeated_erase_finishes(stored: Bridge) -> None:
    words = ("erase", str(PROJECT), "mina", "--yes")
    line = refusal(typed(stored.config, *words, largest=SMALL))
    assert line.startswith(f"warehouse {stored.settings.lake.warehouse} cannot be written: "), line
    assert line.endswith("File too large: make room there, then repeat this"), line
    assert stored.lake.rows(EVENT_STORE).num_rows == 200
    done = typed(stored.config, *words)
    assert done.returncode == 0, done.stderr
    assert set(stored.lake.rows(EVENT_STORE)["user_id"].to_pylist()) == {"jun"}
    (receipt,) = json.loads(typed(stored.config, "erase", "show", str(PROJECT), "mina", "--json").stdout)
    assert (receipt["status"], len(receipt["continues"]), receipt["found"]) == (
        "done",
        1,
        {EVENT_STORE: {"removed": 100}},
    )


def test_a_full_disk_is_told_in_one_line_by_the_others(stored: Bridge, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a1b2:canary", encoding="utf-8")
    fetched, folder = tmp_path / "fetched", tmp_path / "amplitude"
    with running(folder) as url:
        (folder / "pairs").write_text("a1b2:canary", encoding="utf-8")
        archive(folder / f"{HOUR.replace('-', '')}.zip", [row(n, "jun") for n in range(200, 300)])
        endpoint = f"{url}{PATH}"
        asked = ("--from", HOUR, "--to", HOUR, "--keys", str(tmp_path / "keys"), "--endpoint", endpoint)
        words = ("backfill", str(PROJECT), *asked, "--folder", str(fetched), "--dry-run", "--json")
        line = refusal(typed(stored.config, *words, largest=SMALL))
        assert line == (
            f"{fetched} cannot be written: File too large: make room, or name another --folder, then repeat this"
        )
        done = typed(stored.config, *words)
    assert done.returncode == 0, done.stderr
    assert [one["missing"] for one in json.loads(done.stdout)["hours"]] == [100]
