"""Keys of Amplitude's as commands take them: out of a file or stdin, never as an argument that others see."""

from typing import Final

import click

from settings import Settings
from stores.errors import StoreError
from stores.projects import Projects
from stores.seal import Seal

_SHORTEST: Final = 16


def sealed_key(settings: Settings, project_id: int, file: str, what: str) -> tuple[bytes, str]:
    """A registered project's key out of a file, or stdin for `-`: sealed, and its last four characters in clear.

    `what` names the key. Raises StoreError that hides it.
    """
    Projects(settings.tables_address).get(project_id)
    key = _key_in(file, what)
    return Seal(settings.seal_keys).seal(project_id, key), key[-4:]


def _key_in(file: str, what: str) -> str:
    try:
        with click.open_file(file, encoding="utf-8", errors="replace") as opened:
            key: str = opened.read().strip()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise StoreError(msg) from None
    if not key.isascii() or not key.isalnum() or len(key) < _SHORTEST:
        msg = f"{file} holds no {what}: copy its 32 letters and digits from the project's settings"
        raise StoreError(msg)
    return key
