"""Flink's checkpoints and savepoints, each known by its path: which job has left it, and the id that it has."""

import re
import struct
from collections.abc import Iterator
from typing import Final

from pyarrow.fs import FileInfo, FileSelector, FileType
from pyiceberg.io import load_file_io

from stores.errors import StoreError
from stores.lake import Lake

# as Flink names them: checkpoints under the job's id, savepoints with its first six digits
_JOB: Final = re.compile(r"/([0-9a-f]{32})/chk-\d+/*$|/savepoint-([0-9a-f]{6})-[0-9a-f]+/*$")
_JOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_MAGIC: Final = bytes.fromhex("4960672d")
_HEAD: Final = struct.Struct(">4siq")
"""How Flink's `_metadata` begins: the magic number, the format's version, the checkpoint's id."""


def job_of(path: str) -> str:
    """The id of the job that has left a checkpoint or savepoint, or how it begins; empty where it was renamed."""
    found = _JOB.search(path)
    return "" if found is None else found[1] or found[2]


def restore_points(lake: Lake, folder: str) -> list[str]:
    """The paths of all checkpoints and savepoints in a folder of Flink's.

    Raises StoreError.
    """
    files, path = lake.place(folder)

    def inside(place: str) -> Iterator[FileInfo]:
        # a job's folder may be gone meanwhile; that of all is named by a person
        selector = FileSelector(place, allow_not_found=place != path)
        yield from (one for one in files.get_file_info(selector) if one.type == FileType.Directory)

    try:
        outer = list(inside(path))
        inner = [one for job in outer if _JOB_ID.fullmatch(job.base_name) for one in inside(job.path)]
        paths = [one.path for one in (*outer, *inner) if _JOB.search(f"/{one.path}")]
        metadata = files.get_file_info([f"{one}/_metadata" for one in paths])
    except OSError as error:
        msg = f"{folder} cannot be read: {' '.join(str(error).split())}"
        raise StoreError(msg) from None
    complete = [one for one, file in zip(paths, metadata, strict=True) if file.type == FileType.File]
    return [folder + one.removeprefix(path) for one in complete]


def checkpoint_id(lake: Lake, path: str) -> int:
    """The id of a checkpoint or savepoint, from the head of its metadata, where the lake's files can be read.

    Raises StoreError.
    """
    file = f"{path.rstrip('/')}/_metadata"
    try:
        with load_file_io(dict(lake.catalog.properties), file).new_input(file).open() as opened:
            head = opened.read(_HEAD.size)
    except OSError as error:
        msg = f"{path} cannot be read: {' '.join(str(error).split())}"
        raise StoreError(msg) from None
    if len(head) < _HEAD.size or not head.startswith(_MAGIC):
        msg = f"{path} cannot be read: its _metadata does not begin like a checkpoint's"
        raise StoreError(msg)
    checkpoint: int
    _, _, checkpoint = _HEAD.unpack(head)
    return checkpoint
