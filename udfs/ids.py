"""Which values name somebody: the ids that count as none, and integers where an id is a text."""

from itertools import product
from typing import Final

import msgspec

NOBODY: Final = (
    *("anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "{}", "lmy47d", "0", "-1"),
    "00000000-0000-0000-0000-000000000000",
)
"""What senders without an id really send: the user and device ids that Amplitude's HTTP V2 page calls invalid."""
SENTINELS: Final = frozenset(
    "".join(letters) for word in NOBODY for letters in product(*({one.lower(), one.upper()} for one in word))
)
"""The same in capital and small letters, mixed in any way: Amplitude refuses "Anonymous" too."""


def spelled(value: object) -> str | None:
    """The text of an id, an integer's being its digits; None for any other value.

    Amplitude takes a number for its text, and so do those who send to it; a float or a boolean names nobody.
    """
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    return bytes(value).decode() if isinstance(value, msgspec.Raw) and is_integer(value) else None


def is_integer(number: msgspec.Raw) -> bool:
    """Whether a number that is kept by its spelling is an integer."""
    return bytes(number).removeprefix(b"-").isdigit()


def nobody(text: str) -> bool:
    """Whether an id is a word that means nobody, or nothing but NULs; NULs are dropped later."""
    word = text.replace("\0", "")
    return word in SENTINELS or (not word and bool(text))


def somebody(value: object) -> str | None:
    """The id that a value spells; None when it is empty, means nobody or is of another type."""
    text = spelled(value)
    return text if text and not nobody(text) else None
