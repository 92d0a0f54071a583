"""Whose record it is: `app`, Amplitude's project id, looked up in the project registry.

Only the top-level `app` counts, and only an exact integer or a string of digits (contract §8.1, §8.3):
`true` and `434735.0` equal integers in Python and are still refused.
"""

from collections.abc import Mapping
from typing import Final, Protocol

MAX_PROJECT_ID: Final = 2**63 - 1
_MAX_DIGITS: Final = len(str(MAX_PROJECT_ID))


class Project(Protocol):
    """What attribution knows of a registered Amplitude project."""

    @property
    def project_id(self) -> int:
        """Amplitude's project id."""

    @property
    def notifly_project(self) -> str:
        """The Notifly project that has registered it."""


Registry = Mapping[int, Project]


def project_id(app: object) -> int | None:
    """The project id that `app` spells; None when it is not a usable one."""
    if type(app) is int:
        number = app
    elif isinstance(app, str) and app.isascii() and app.isdigit() and len(app) <= _MAX_DIGITS:
        number = int(app)
    else:
        return None
    return number if 0 <= number <= MAX_PROJECT_ID else None
