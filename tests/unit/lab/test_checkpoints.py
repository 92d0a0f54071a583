"""Which checkpoint a job is restored from, by the files it has left."""

from pathlib import Path

from pyarrow.fs import LocalFileSystem

from lab.stack.checkpoints import Checkpoints


def test_the_newest_complete_one_by_number(tmp_path: Path) -> None:
    checkpoints = Checkpoints(LocalFileSystem(), f"file://{tmp_path}")
    assert checkpoints.latest("job") is None
    for number in (9, 10, 11):
        (tmp_path / "job" / f"chk-{number}").mkdir(parents=True)
    assert checkpoints.latest("job") is None
    for number in (9, 10):
        (tmp_path / "job" / f"chk-{number}" / "_metadata").touch()
    assert checkpoints.latest("job") == f"file://{tmp_path}/job/chk-10"
    assert checkpoints.latest("another") is None


def test_one_is_being_written_until_it_is_complete(tmp_path: Path) -> None:
    checkpoints, folder = Checkpoints(LocalFileSystem(), f"file://{tmp_path}"), tmp_path / "job" / "chk-3"
    assert not checkpoints.begun("job")
    folder.mkdir(parents=True)
    assert checkpoints.begun("job")
    (folder / "_metadata").touch()
    assert not checkpoints.begun("job")
