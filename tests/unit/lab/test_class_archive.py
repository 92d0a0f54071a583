"""The archive of the client's classes: written by a run that succeeds, mapped by those after it."""

from pathlib import Path

import pytest

from lab.stack.class_archive import OPTIONS, shared
from ops.release.flink_cli import FlinkError

ENV = {"PATH": "/bin", OPTIONS: "-XX:+UseSerialGC"}


def test_the_first_run_writes_what_later_ones_map(tmp_path: Path) -> None:
    with shared(tmp_path, ENV) as env:
        before, _, written = env[OPTIONS].partition(" -XX:ArchiveClassesAtExit=")
        Path(written).write_text("classes")
    assert (before, env["PATH"]) == ("-XX:+UseSerialGC -Xlog:disable", "/bin")
    archive = tmp_path / "client.jsa"
    assert {file: file.read_text() for file in tmp_path.iterdir()} == {archive: "classes"}
    with shared(tmp_path, ENV) as env:
        assert env[OPTIONS] == f"-XX:+UseSerialGC -Xlog:disable -XX:SharedArchiveFile={archive}"
    assert archive.read_text() == "classes"


def test_what_a_refused_run_has_written_goes(tmp_path: Path) -> None:
    def refused() -> None:
        with shared(tmp_path, ENV) as env:
            Path(env[OPTIONS].partition(" -XX:ArchiveClassesAtExit=")[2]).write_text("few classes")
            raise FlinkError

    with pytest.raises(FlinkError):
        refused()
    assert [*tmp_path.iterdir()] == []
