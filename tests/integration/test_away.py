"""What test-connection and doctor say with everything away: each back end is told of once, in bounded time."""

import json
import time
from pathlib import Path

from click.testing import CliRunner

from lab.stack.patience import scaled
from ops.answers.connection import Place, awaited, checked
from ops.cli.main import commands
from settings import parse
from tests.builders import ARRIVAL


def test_with_everything_away_each_step_says_so_in_bounded_time(tmp_path: Path) -> None:
    away = "http://127.0.0.1:9"
    lake = {"catalog_uri": f"sqlite:///{tmp_path}/none/catalog.db", "warehouse": f"file://{tmp_path}/none"}
    settings = parse({"kinesis": {"endpoint": away}, "dynamodb": {"endpoint": away}, "lake": lake}, "t")
    begun = time.monotonic()
    found = checked(settings, 434735, Place(away))
    last = awaited(settings, found, ARRIVAL, 60)
    assert time.monotonic() - begun < scaled(20)
    assert [(step.name, step.state) for step in (*found.steps, last)] == [
        *(("stream", "failed"), ("role", "not checked"), ("registry", "failed")),
        *(("job", "not checked"), ("lag", "not checked"), ("arrival", "failed")),
    ]
    assert all(step.fix for step in found.steps if step.state == "failed")
    assert found.steps[0].words.startswith(
        f"cannot be looked at: Kinesis cannot be reached: nothing answers at {away}"
    )
    assert last.words.startswith("cannot be looked at: Iceberg catalog sqlite:")


def test_with_everything_away_each_back_end_is_told_once_in_bounded_time(tmp_path: Path) -> None:
    away, config = "http://127.0.0.1:9", tmp_path / "job.toml"
    config.write_text(
        f'[kinesis]\nendpoint = "{away}"\n[dynamodb]\nendpoint = "{away}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/none/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )
    begun = time.monotonic()
    options = ["--config", str(config), "--flink", away, "--watch", away, "--json"]
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
