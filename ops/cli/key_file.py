"""Keys of Amplitude's as commands take them: out of a file or stdin, never as an argument that others see."""

import click

from ops.maintenance.destination import sealed
from settings import Settings
from stores.errors import StoreError


def sealed_key(settings: Settings, project_id: int, file: str, what: str) -> tuple[bytes, str]:
    """A registered project's key out of a file, or stdin for `-`: sealed, and its last four characters in clear.

    `what` names the key. Raises StoreError that hides it.
    """
    try:
        with click.open_file(file, encoding="utf-8", errors="replace") as opened:
            key: str = opened.read().strip()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise StoreError(msg) from None
    return sealed(settings, project_id, key, f"{file} holds no {what}")
