"""What test-connection and doctor say with everything away: each back end is told of once, in bounded time."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.stack.patience import scaled
from ops.answers.connection import Place, awaited, checked
from ops.cli.main import commands
from settings import parse
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.replays import Replays
from stores.stream import Stream, StreamAddress
from tests.builders import ARRIVAL

AWAY = "http://127.0.0.1:9"
START = "start a local stack with `make run`, or name the settings of another with --config"


def test_with_everything_away_each_step_says_so_in_bounded_time(tmp_path: Path) -> None:
    lake = {"catalog_uri": f"sqlite:///{tmp_path}/none/catalog.db", "warehouse": f"file://{tmp_path}/none"}
    settings = parse({"kinesis": {"endpoint": AWAY}, "dynamodb": {"endpoint": AWAY}, "lake": lake}, "t")
    begun = time.monotonic()
    found = checked(settings, 434735, Place(AWAY))
    last = awaited(settings, found, ARRIVAL, 60)
    assert time.monotonic() - begun < scaled(20)
    assert [(step.name, step.state) for step in (*found.steps, last)] == [
        *(("stream", "failed"), ("role", "not checked"), ("registry", "failed")),
        *(("job", "not checked"), ("lag", "not checked"), ("arrival", "failed")),
    ]
    assert all(step.fix for step in found.steps if step.state == "failed")
    assert found.steps[0].words.startswith(
        f"cannot be looked at: Kinesis cannot be reached: nothing answers at {AWAY}"
    )
    assert last.words.startswith("cannot be looked at: Iceberg catalog sqlite:")


def test_with_everything_away_each_back_end_is_told_once_in_bounded_time(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text(
        f'[kinesis]\nendpoint = "{AWAY}"\n[dynamodb]\nendpoint = "{AWAY}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/none/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )
    begun = time.monotonic()
    options = ["--config", str(config), "--flink", AWAY, "--watch", AWAY, "--json"]
    done = CliRunner().invoke(commands, ["doctor", *options])
    assert time.monotonic() - begun < scaled(20)
    assert (done.exit_code, done.stderr) == (2, "")
    found = json.loads(done.stdout)
    assert found["worst"] == "failed"
    states = {one["name"]: one["state"] for one in found["findings"]}
    assert {name for name, state in states.items() if state == "failed"} == {
        *("stream", "tables", "lake", "flink", "usage watch"),
    }
    assert states["settings"] == states["python"] == "ok"
    words = {one["name"]: one["words"] for one in found["findings"]}
    assert (words["job"], words["jars"]) == ("cannot be looked at: see tables", "cannot be looked at: see flink")
    assert all(one["fix"] for one in found["findings"] if one["state"] == "failed")


def test_a_stopped_stack_is_told_of_by_every_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the pauses between attempts
    with pytest.raises(StoreError, match=f"^DynamoDB cannot be reached: nothing answers at {AWAY}: {START}$"):
        list(Replays(TablesAddress("ap-northeast-2", AWAY, "")).letters())
    with pytest.raises(StoreError, match=f"^Kinesis cannot be reached: nothing answers at {AWAY}: {START}$"):
        list(Stream(StreamAddress("s", "ap-northeast-2", AWAY)).records())
