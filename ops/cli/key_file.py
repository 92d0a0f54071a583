"""Keys of Amplitude's as commands take them: out of a file or stdin, never as an argument that others see."""

from typing import Final

import click

from stores.errors import StoreError

_SHORTEST: Final = 16


def key_in(file: str, what: str) -> str:
    """The key that a file holds, or stdin for `-`; `what` says which one. Raises StoreError that hides it."""
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
