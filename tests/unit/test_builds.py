"""What stacks that start at once build side by side: FLINK_HOME is built by one of them, job.zip by each."""

import resource
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from errors import OneLineError
from ops.release import flink_home, job_zip

STARTERS = 4


def test_of_many_that_find_flink_home_stale_one_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyflink, built, gate = tmp_path / "pyflink", [], Barrier(STARTERS)
    for folder in (*flink_home.COPIED, "lib"):
        (pyflink / folder).mkdir(parents=True)
    (pyflink / "bin" / "flink").touch()
    (pyflink / "lib" / "flink-dist.jar").touch()
    build = flink_home._build

    def noted(root: Path, package: Path, home: Path) -> None:
        built.append(home)
        build(root, package, home)

    def start(_: int) -> Path:
        gate.wait(10)
        return flink_home.build(tmp_path)

    monkeypatch.setattr(flink_home, "_pyflink", lambda: pyflink)
    monkeypatch.setattr(flink_home, "_build", noted)
    home = tmp_path / "build" / "flink"
    with ThreadPoolExecutor(STARTERS) as pool:
        assert set(pool.map(start, range(STARTERS))) == {home}
    assert built == [home]
    assert (home / "lib" / "flink-dist.jar").is_symlink()
    (pyflink / "lib" / "another.jar").touch()
    flink_home.build(tmp_path)
    assert built == [home, home]


def test_where_there_is_no_room_for_flinks_home_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyflink = tmp_path / "pyflink"
    for folder in (*flink_home.COPIED, "lib"):
        (pyflink / folder).mkdir(parents=True)
    (pyflink / "bin" / "flink").write_text("#" * 100, encoding="utf-8")
    monkeypatch.setattr(flink_home, "_pyflink", lambda: pyflink)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(
            OneLineError, match=r"bin/flink cannot be written: \[Errno 27\] File too large: .*: make room"
        ):
            flink_home.build(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert flink_home.build(tmp_path).is_dir()


def test_many_package_at_once_and_each_finds_a_whole_archive(tmp_path: Path) -> None:
    names = [name if name.endswith(".py") else f"{name}/a.py" for name in job_zip.CONTENTS]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#" * 100_000, encoding="utf-8")

    def start(_: int) -> list[str]:
        with zipfile.ZipFile(job_zip.build(tmp_path)) as archive:
            assert archive.testzip() is None
            return archive.namelist()

    with ThreadPoolExecutor(STARTERS) as pool:
        found = list(pool.map(start, range(5 * STARTERS)))
    assert found == [names] * len(found)
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["job.zip"]
