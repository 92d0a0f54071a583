"""Secrets of customers at rest: sealed with a key from a file, so that a table's items alone tell nothing."""

from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from stores.errors import StoreError

_MAKE = "openssl rand -base64 32 | tr '+/' '-_'"


class Seal:
    """Seals texts, each for one project: a text that was moved to another project's item does not open there."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Keys as Fernet has them (https://github.com/fernet/spec); the first one seals, all open."""
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, project_id: int, text: str) -> bytes:
        """The text, sealed."""
        return self._fernet.encrypt(f"{project_id}:{text}".encode())

    def open(self, project_id: int, sealed: bytes, command: str = "destinations set") -> str:
        """The text that was sealed for this project. Raises StoreError, which names the command that sealed it."""
        try:
            owner, _, text = self._fernet.decrypt(sealed).decode().partition(":")
        except InvalidToken:
            owner = text = ""
        if owner != str(project_id):
            msg = (
                f"the key of project {project_id} does not open: it was sealed with a key that "
                f"export.seal_keys_file no longer holds; `{command}` it anew"
            )
            raise StoreError(msg)
        return text


def new_key() -> str:
    """A key that nobody has yet."""
    return Fernet.generate_key().decode()


def seal_of(file: str | None) -> Seal:
    """The seal whose keys are in a file, a line each, the newest first. Raises StoreError that hides them."""
    if file is None:
        msg = f"export.seal_keys_file is not set: name a file that holds a key, such as of: {_MAKE}"
        raise StoreError(msg)
    try:
        keys = Path(file).read_text(encoding="ascii").split()
        if not keys:
            raise ValueError
        return Seal(keys)
    except OSError as error:
        msg = f"export.seal_keys_file = {file!r} cannot be read: {error.strerror}"
        raise StoreError(msg) from None
    except ValueError:
        msg = f"export.seal_keys_file = {file!r} must hold keys of 32 bytes, a line each, such as of: {_MAKE}"
        raise StoreError(msg) from None
