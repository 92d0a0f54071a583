"""What `amplitude-bridge submit` types for a person, and which Flink it takes."""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ops.cli import submit
from ops.cli.main import commands
from ops.release import flink_home
from ops.release.flink_cli import FlinkError

JOB = "0123456789abcdef" * 2
SAID = (
    f"jobs.ingest: job {JOB}, Flink UI: http://localhost:8081\n"
    f"Job has been submitted with JobID {JOB}\nSLF4J: a line of Flink's\n"
)


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """A folder that looks like Flink's."""
    flink = tmp_path / "flink-1.20" / "bin" / "flink"
    flink.parent.mkdir(parents=True)
    flink.touch(0o755)
    return flink.parent.parent


def test_flink_home_comes_before_the_path(distribution: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLINK_HOME", str(distribution))
    monkeypatch.setenv("PATH", "/none")
    assert submit.flink() == distribution


def test_flink_on_the_path_may_be_a_link(
    distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "flink").symlink_to(distribution / "bin" / "flink")
    monkeypatch.delenv("FLINK_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert submit.flink() == distribution


def test_else_it_is_the_one_that_is_built_here(distribution: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLINK_HOME", raising=False)
    monkeypatch.setenv("PATH", "/none")
    monkeypatch.setattr(submit.flink_home, "build", lambda: distribution)
    assert submit.flink() == distribution


def test_a_home_without_flink_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLINK_HOME", str(tmp_path))
    with pytest.raises(FlinkError, match=r"holds no bin/flink: set FLINK_HOME to a distribution of Flink 1\.20"):
        submit.flink()


def test_the_export_job_is_submitted_where_it_is_named(
    distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commanded: list[list[str]] = []
    said = SAID.replace("jobs.ingest", "jobs.export")
    monkeypatch.setenv("FLINK_HOME", str(distribution))
    monkeypatch.setattr(submit, "call", lambda command, *_: (commanded.append(command), said)[1])
    monkeypatch.setattr(submit, "check", lambda *_: None)
    config = tmp_path / "job.toml"
    config.write_text('[lake]\ncatalog_uri = "sqlite:////c.db"\nwarehouse = "file:///w"\n', "utf-8")
    done = CliRunner().invoke(commands, ["submit", "--config", str(config), "--job", "export"])
    assert (done.exit_code, done.output) == (0, f"job {JOB}, Flink UI: http://localhost:8081\n")
    assert commanded[0][-4:] == ["-pym", "jobs.export", "--config", str(config)]


def test_options_of_flink_stand_before_the_job_and_its_own_behind(
    distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def call(command: list[str], *others: object) -> str:
        calls.append((command, *others))
        return SAID

    monkeypatch.setenv("FLINK_HOME", str(distribution))
    monkeypatch.setattr(submit, "call", call)
    monkeypatch.setattr(submit, "check", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    Path("job.toml").write_text('[lake]\ncatalog_uri = "sqlite:////c.db"\nwarehouse = "file:///w"\n', "utf-8")
    options = ["--config", "job.toml", "--set", "kinesis.on_gap=continue", "--take-over", "--python", "/w/python"]
    done = CliRunner().invoke(commands, ["submit", *options, "--", "-m", "host:8081", "-s", "s3://b/chk-1"])
    assert (done.exit_code, done.output) == (0, f"job {JOB}, Flink UI: http://localhost:8081\n")
    ((command, _, home, _),) = calls
    assert home == distribution
    assert command == [
        *(f"{distribution}/bin/flink", "run", "-d", "-pyexec", "/w/python", "-pyclientexec", sys.executable),
        *(
            "-pyfs",
            f"{flink_home.ROOT}/build/job.zip",
            "-m",
            "host:8081",
            "-s",
            "s3://b/chk-1",
            "-pym",
            "jobs.ingest",
        ),
        *("--config", f"{tmp_path}/job.toml", "--set", "kinesis.on_gap=continue", "--take-over"),
    ]
