"""Secrets of customers at rest: sealed, so that a table's items alone tell nothing.

What seals them is a key from a file, or one that never leaves AWS KMS: KMS encrypts up to 4,096 bytes itself, so a
secret needs no data key of its own (docs/decisions/0032).
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

from botocore.config import Config
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from stores import aws
from stores.errors import StoreError, explained

_MAKE: Final = "openssl rand -base64 32 | tr '+/' '-_'"
_OF_FERNET: Final = b"gAAAA"
"""How every token of Fernet begins (https://github.com/fernet/spec): its version, and a time before 2106."""
_CONFIG: Final = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})


class SealKeys(NamedTuple):
    """What seals secrets: the keys in a file, or one in KMS. With both the one in KMS seals, and both open."""

    file: str | None
    """holds Fernet's keys, a line each, the newest first: that one seals, all open"""
    kms_key: str | None
    """its id, ARN or alias"""
    region: str
    """of KMS"""


class NotOpenedError(StoreError):
    """A secret that these keys never open: it was sealed with another one, or for another project."""


class Seal:
    """Seals texts, each for one project: a text that was moved to another project's item does not open there."""

    def __init__(self, keys: SealKeys) -> None:
        """Raises StoreError, which shows no key, when there are none or the file holds none."""
        if keys.file is None and keys.kms_key is None:
            msg = (
                f"neither export.seal_keys_file nor export.seal_kms_key is set: name a file that holds a key, "
                f"such as of: {_MAKE}"
            )
            raise StoreError(msg)
        # without a file there is a key that has sealed nothing
        self._fernet = _in_file(keys.file) if keys.file else MultiFernet([Fernet(new_key())])
        self._key = keys.kms_key
        self.client: Any = aws.client("kms", keys.region, None, _CONFIG) if keys.kms_key else None

    def seal(self, project_id: int, text: str) -> bytes:
        """The text, sealed. Raises StoreError when KMS does not."""
        if not self._key:
            return self._fernet.encrypt(f"{project_id}:{text}".encode())
        with explained(f"KMS key {self._key}", None):
            given = {"Plaintext": text.encode(), "EncryptionContext": _context(project_id)}
            sealed: bytes = self.client.encrypt(KeyId=self._key, **given)["CiphertextBlob"]
        return sealed

    def open(self, project_id: int, sealed: bytes, command: str = "destinations set") -> str:
        """The text that was sealed for this project.

        Raises NotOpenedError, which names the command that sealed it, and StoreError when KMS does not answer.
        """
        if sealed.startswith(_OF_FERNET) or not self._key:
            return self._opened(project_id, sealed, command)
        wrong = self.client.exceptions.InvalidCiphertextException, self.client.exceptions.IncorrectKeyException
        with explained(f"KMS key {self._key}", None):
            try:
                given = {"CiphertextBlob": sealed, "EncryptionContext": _context(project_id)}
                text: bytes = self.client.decrypt(KeyId=self._key, **given)["Plaintext"]
            except wrong:
                raise _not_opened(project_id, command) from None
        return text.decode()

    def _opened(self, project_id: int, sealed: bytes, command: str) -> str:
        try:
            owner, _, text = self._fernet.decrypt(sealed).decode().partition(":")
        except InvalidToken:
            owner = text = ""
        if owner != str(project_id):
            raise _not_opened(project_id, command)
        return text


def _context(project_id: int) -> dict[str, str]:
    """What KMS binds a secret to, and shows in CloudTrail when it is opened."""
    return {"amplitude_project": str(project_id)}


def _not_opened(project_id: int, command: str) -> NotOpenedError:
    return NotOpenedError(
        f"the key of project {project_id} does not open: it was sealed for another project, or with a key that "
        f"export.seal_keys_file no longer holds or export.seal_kms_key does not name; `{command}` it anew"
    )


def new_key() -> str:
    """A key for a file that nobody has yet."""
    return Fernet.generate_key().decode()


def _in_file(file: str) -> MultiFernet:
    try:
        keys = Path(file).read_text(encoding="ascii").split()
        return MultiFernet([Fernet(key) for key in keys])
    except OSError as error:
        msg = f"export.seal_keys_file = {file!r} cannot be read: {error.strerror}"
        raise StoreError(msg) from None
    except ValueError:
        msg = f"export.seal_keys_file = {file!r} must hold keys of 32 bytes, a line each, such as of: {_MAKE}"
        raise StoreError(msg) from None
