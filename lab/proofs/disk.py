"""A small disk of its own for what a fault is to fill: a file system in memory, which takes the rights of root."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab.stack.process import StackError

_BLOCK: Final = bytes(1 << 20)


class Disk:
    """A mounted folder that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("ab", buffering=0) as file:
            for block in (_BLOCK, _BLOCK[:4096]):
                try:
                    while file.write(block) == len(block):
                        pass
                except OSError:
                    continue

    def mend(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Disk]:
    """A disk for as long as the block lasts. Raises StackError where mounting is not allowed."""
    unmount(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "amplitude", str(folder))
    try:
        yield Disk(folder)
    finally:
        unmount(folder)


def unmount(folder: Path) -> None:
    """Take away what is mounted there, if anything is, however busy."""
    if folder.is_mount():
        _run("umount", "--lazy", str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        msg = f"a disk that can be filled needs root: {done.stdout.strip()}"
        raise StackError(msg)
