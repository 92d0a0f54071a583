"""Records as the intake puts them on the stream."""

import json
import tempfile
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from udfs import intake
from udfs.intake import Header, MacKeys

KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def keys_file(*keys: bytes, folder: Path | None = None) -> Path:
    """A new file of MAC keys, the newest first."""
    with tempfile.NamedTemporaryFile("wb", dir=folder, delete=False) as file:
        file.write(b"".join(b64encode(key) + b"\n" for key in keys))
    return Path(file.name)


def mac_keys(*keys: bytes) -> MacKeys:
    """These keys, as they are read from a file."""
    file = keys_file(*keys)
    try:
        return MacKeys(str(file))
    finally:
        file.unlink()


KEYS = mac_keys(KEY)


def enclosed(
    project_id: int,
    body: bytes,
    keys: MacKeys = KEYS,
    request_id: str = "r-1",
    scopes: tuple[str, ...] | None = ("events", "cohorts"),
) -> bytes:
    """The record of a request that came by the access key of a project."""
    at = datetime.fromisoformat("2026-03-15T09:30:33.250000")
    return intake.wrap(Header(project_id, at, request_id, "amplitude", scopes), body, keys)


SPOOFED: tuple[str, ...] = (
    *("app", "App", "APP", r"\u0061pp", "app_id", "project_id", "notifly_project", "key_project", "request_id"),
    *("cohort_id", "users", "tenant", "api_key", "owner", "kind", "sub_index", "payload"),
)
"""Names of fields beside Amplitude's own by which a record might claim to be another project's."""


def spoofs(record: dict[str, Any], project_id: int, names: Iterable[str]) -> Iterator[bytes]:
    """The record with each of these fields set to another project's id, in every form that JSON has for it."""
    for name in names:
        for value in (project_id, str(project_id), float(project_id), [project_id], {"app": project_id}, True):
            spelled = json.dumps(record | {"marked name": value}).replace("marked name", name)
            yield spelled.encode()
            yield b'{"%s":%d,%s' % (
                name.encode(),
                project_id,
                json.dumps(record).encode()[1:],
            )  # which one counts?
