"""What the parts of the stand-in share: a request, an answer, and the folder in which it is told what to do."""

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request."""

    path: str
    query: Mapping[str, str]
    """the first value of each name"""
    authorization: str
    body: bytes = b""


class Reply(NamedTuple):
    """A status and what is said."""

    status: int
    content: bytes = b""


def said(status: int, content: Any) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(content).encode())


class Folder:
    """The folder of a stand-in."""

    def __init__(self, path: Path) -> None:
        self.path, self._random = path, Random(1)  # noqa: S311
        self._read: dict[str, tuple[int, Any]] = {}

    def lines(self, name: str) -> list[str]:
        """The lines of a file; none if it is not there."""
        try:
            return (self.path / name).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def json(self, name: str, default: Any) -> Any:
        """What a file holds, read when it has changed."""
        try:
            changed = (self.path / name).stat().st_mtime_ns
        except FileNotFoundError:
            return default
        if self._read.get(name, (0, None))[0] != changed:
            self._read[name] = changed, json.loads((self.path / name).read_text(encoding="utf-8"))
        return self._read[name][1]

    def now(self) -> float:
        """Seconds since 1970 by this Amplitude's clock."""
        return time.time() + sum(map(float, self.lines("clock")))

    def is_pair(self, authorization: str) -> bool:
        """Whether an API key and its secret key are those of a project."""
        return authorization in {f"Basic {b64encode(pair.encode()).decode()}" for pair in self.lines("pairs")}

    def faults(self, path: str) -> list[str]:
        """What is to go wrong with one request."""
        given = [line.split() for line in self.lines("faults")]
        return [
            what for what, share, *where in given if where in ([], [path]) and self._random.random() < float(share)
        ]
