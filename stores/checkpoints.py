"""Flink's checkpoints and savepoints, each known by its path: which job has left it, and the id that it has."""

import re
import struct
from typing import Final

from pyiceberg.io import load_file_io

from stores.errors import StoreError
from stores.lake import Lake

# as Flink names them: checkpoints under the job's id, savepoints with its first six digits
_JOB: Final = re.compile(r"/([0-9a-f]{32})/chk-\d+/*$|/savepoint-([0-9a-f]{6})-[0-9a-f]+/*$")
_MAGIC: Final = bytes.fromhex("4960672d")
_HEAD: Final = struct.Struct(">4siq")
"""How Flink's `_metadata` begins: the magic number, the format's version, the checkpoint's id."""


def job_of(path: str) -> str:
    """The id of the job that has left a checkpoint or savepoint, or how it begins; empty where it was renamed."""
    found = _JOB.search(path)
    return "" if found is None else found[1] or found[2]


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
