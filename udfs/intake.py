"""The intake's envelope: what a request to the HTTP intake becomes on the shared stream, and whose it is.

Whoever may write to the stream writes what they like, so the project of the access key stands in a line of its own
before the body, with a MAC that only the intake and the job can make. Bytes of a record, in their order: `MAGIC`;
a line of key id, MAC in hexadecimal and header in JSON, with a blank between them; the body as it came. The MAC is
HMAC-SHA256 over magic, header, the end of the line and body (docs/decisions/0036).
"""

import hmac
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from errors import OneLineError
from udfs.model import Kind, Reason, Rejection

MAGIC: Final = b"NTFYINTAKE1\n"
KEY_BYTES: Final = 32
SCOPE_OF: Final = {Kind.EVENT: "events", Kind.USER_UPDATE: "events", Kind.COHORT: "cohorts"}
"""The scope that an access key needs for a record of this kind; a record that is not taken needs none."""
_LINE: Final = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{64}) (\[.*\])\n")


class Header(NamedTuple):
    """What the intake says of a body; its length tells its version: what was added since has a default."""

    project_id: int
    """Amplitude's project id, that of the access key"""
    received_at: datetime
    """naive UTC; for who looks at a record, for the job dates it by its arrival like all others"""
    request_id: str
    source: str
    """which endpoint took it: `amplitude`, `cohorts`, `braze`, `batch`; `replay`, if a dead letter came again"""
    scopes: tuple[str, ...] | None = None
    """what the access key may send; None: everything, as of a replay, or of an intake from before this field"""


_header: Final = msgspec.json.Decoder(Header).decode


class MacKeysError(OneLineError):
    """The file of MAC keys cannot be used; the message is one line that names it, and shows no key."""


class MacKeys:
    """The keys of a file, 32 bytes in base64 a line, the newest first: that one makes MACs, all check them."""

    def __init__(self, file: str | None) -> None:
        """Without a file there are no keys. Raises MacKeysError when the file cannot be read or holds none."""
        self._file = file
        self._changed: int | None = None
        self._keys: Mapping[str, bytes] = {}
        self._refresh()

    def newest(self) -> tuple[str, bytes]:
        """The id and the bytes of the key that makes MACs. Raises MacKeysError when there is none."""
        for newest in self._keys.items():
            return newest
        raise MacKeysError(_NO_FILE)

    def get(self, key_id: str) -> bytes | None:
        """The key of this id; a file that has changed meanwhile is read again."""
        if key_id not in self._keys:
            try:
                self._refresh()
            except MacKeysError:  # half written, or gone: what was read still holds
                return None
        return self._keys.get(key_id)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            changed = Path(self._file).stat().st_mtime_ns
            if changed != self._changed:
                self._keys, self._changed = _read(self._file), changed
        except OSError as error:
            msg = f"intake.mac_keys_file = {self._file!r} cannot be read: {error.strerror}"
            raise MacKeysError(msg) from None


_MAKE: Final = f"openssl rand -base64 {KEY_BYTES}"
_NO_FILE: Final = f"intake.mac_keys_file is not set: name a file that holds a key, such as of: {_MAKE}"


def _read(file: str) -> dict[str, bytes]:
    try:
        keys = [b64decode(line, validate=True) for line in Path(file).read_text(encoding="ascii").split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        msg = (
            f"intake.mac_keys_file = {file!r} must hold keys of {KEY_BYTES} bytes in base64, a line each, "
            f"such as of: {_MAKE}"
        )
        raise MacKeysError(msg)
    return {sha256(key).hexdigest()[:8]: key for key in keys}


def wrap(header: Header, body: bytes, keys: MacKeys) -> bytes:
    """The record that says whose body this is. Raises MacKeysError when there is no key."""
    key_id, key = keys.newest()
    line = msgspec.json.encode(header)
    mac = _mac(key, line, body).hexdigest().encode()
    return b"".join((MAGIC, key_id.encode(), b" ", mac, b" ", line, b"\n", body))


def unwrap(record: bytes, keys: MacKeys) -> tuple[Header, bytes] | Rejection:
    """Header and body of a record that begins with `MAGIC`, or why nobody is to be believed."""
    found = _LINE.match(record, len(MAGIC))
    if not found:
        return _rejected("the line behind its first one is not the intake's")
    if not keys:
        return _rejected(f"no key can check it: {_NO_FILE}")
    key_id, mac, line = found.groups()
    key = keys.get(key_id.decode())
    if key is None:
        return _rejected(f"made with key {key_id.decode()}, which intake.mac_keys_file does not hold")
    body = record[found.end() :]
    if not hmac.compare_digest(_mac(key, line, body).hexdigest().encode(), mac):
        return _rejected(f"its MAC by key {key_id.decode()} is another: it was changed on the way, or made up")
    try:
        return _header(line), body
    except msgspec.ValidationError:
        return _rejected("a newer intake wrote it: start the newer job, then replay this")


def _mac(key: bytes, line: bytes, body: bytes) -> hmac.HMAC:
    mac = hmac.new(key, MAGIC, sha256)
    for text in (line, b"\n", body):
        mac.update(text)
    return mac


def _rejected(detail: str) -> Rejection:
    return Rejection(Reason.INTAKE_MAC_INVALID, detail)
