"""Whose record it is: `app`, Amplitude's project id, or a cohort's id, looked up in the project registry.

Only the top-level `app` counts, and only an exact integer or a string of digits (docs/amplitude.md §8.1, §8.3):
`true` and `434735.0` equal integers in Python and are still refused. A record belongs to the Notifly project
that the Amplitude project was linked to when Amplitude uploaded it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from udfs.model import Reason, Rejection
from udfs.rules import Rules

MAX_PROJECT_ID: Final = 2**63 - 1
_MAX_DIGITS: Final = len(str(MAX_PROJECT_ID))


class Link(Protocol):
    """A time in which an Amplitude project belonged to a Notifly project; naive UTC, the end not included."""

    @property
    def notifly_project(self) -> str:
        """The Notifly project."""

    @property
    def linked_at(self) -> datetime:
        """From when on."""

    @property
    def unlinked_at(self) -> datetime | None:
        """Until when; None while it lasts."""


class Project(Protocol):
    """What attribution knows of a registered Amplitude project."""

    @property
    def links(self) -> Sequence[Link]:
        """Its links, at least one, in the order of their times, none overlapping the next."""

    @property
    def project_id(self) -> int:
        """Amplitude's project id."""

    @property
    def snapshot_hours(self) -> int | None:
        """How late an event may be uploaded for its user properties to be merged; None when none are."""

    @property
    def rules(self) -> Rules | None:
        """What of its records is not stored, and which events stay out; None when there is nothing."""


Registry = Mapping[int | str, Project]
"""Projects by Amplitude's project id, a number, and by the id of every cohort registered for one, a text."""


class LiveRegistry(Protocol):
    """The registry on a worker: a call gives what is known now, and never waits."""

    def __call__(self) -> Registry:
        """What is registered now."""

    @property
    def age_seconds(self) -> float:
        """How long ago the registry was read."""


def project_id(app: object) -> int | None:
    """The project id that `app` spells; None when it is not a usable one."""
    if type(app) is int:
        number = app
    elif isinstance(app, str) and app.isascii() and app.isdigit() and len(app) <= _MAX_DIGITS:
        number = int(app)
    else:
        return None
    return number if 0 <= number <= MAX_PROJECT_ID else None


def owner(registry: Registry, app: int, at: datetime, clock: str = "uploaded") -> str | Rejection:
    """The Notifly project of a record that Amplitude uploaded at this time, or why it has none; see `link_at`."""
    project = registry.get(app)
    if project is None:
        return unknown(app)
    return link_at(project, app, at, clock)


def unknown(app: int) -> Rejection:
    """Why a record of this project belongs to nobody: nobody has registered it."""
    return Rejection(Reason.UNKNOWN_PROJECT, f"no project has registered app {app}")


def link_at(project: Project, app: int, at: datetime, clock: str) -> str | Rejection:
    """The Notifly project that a project was linked to at a time, or why to none; `clock` is the time's name."""
    latest = project.links[-1]
    if latest.unlinked_at is None and latest.linked_at <= at:
        return latest.notifly_project
    for link in project.links:
        if at < link.linked_at:
            break
        if link.unlinked_at is None or at < link.unlinked_at:
            return link.notifly_project
    first = project.links[0].linked_at
    if at < first:
        return Rejection(Reason.BEFORE_LINK, f"{clock} {at} UTC, app {app} was linked {first} UTC")
    ended = max(link.unlinked_at for link in project.links if link.unlinked_at and link.unlinked_at <= at)
    return Rejection(Reason.UNLINKED, f"{clock} {at} UTC, app {app} was unlinked {ended} UTC")
