"""What a page is asked, and what it may answer."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

from ops.answers.connection import tables
from ops.console.people import Account, Accounts, Right
from ops.console.reads import Reads
from ops.console.sessions import Session, Sessions
from ops.console.tail import Tail
from ops.console.works import Works
from settings import Settings
from stores.audit import Audit, Entry
from stores.errors import MissingError
from stores.project import Project
from stores.projects import Projects

REGISTRY: Final = "registry"
"""The key of the shared read of all projects: whoever changes one forgets it."""
_REGISTRY_SECONDS: Final = 5.0

_T = TypeVar("_T")


def unless_missing(question: Callable[[], _T], otherwise: _T) -> _T:
    """What a question comes to; the other where nobody has made its table yet."""
    try:
        return question()
    except MissingError:
        return otherwise


@dataclass(frozen=True)
class Site:
    """What all pages share."""

    settings: Settings
    flink: str
    """Flink's REST address"""
    accounts: Accounts
    sessions: Sessions
    reads: Reads = field(default_factory=Reads)
    works: Works = field(default_factory=Works)

    @cached_property
    def tail(self) -> Tail:
        """The newest records, read for all pages together."""
        return Tail(self.settings)

    @property
    def url(self) -> str:
        """How people reach the console, without a slash at the end."""
        console = self.settings.console
        return (console.url or f"http://{console.host}:{console.port}").rstrip("/")

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by TLS."""
        return self.url.startswith("https://")

    def projects(self) -> list[Project]:
        """The registry, some seconds old at most. Raises StoreError."""
        return self.reads.get(REGISTRY, _REGISTRY_SECONDS, self._registered)

    def _registered(self) -> list[Project]:
        return unless_missing(Projects(tables(self.settings)).list, [])


@dataclass(frozen=True)
class Ask:
    """A request to a page, once it is known who asks and that they may."""

    site: Site
    page: "Page"
    account: Account | None
    """None on pages that are open, before the login"""
    session: Session
    language: str
    address: str
    """the client's"""
    now: datetime
    """aware, UTC"""
    place: str
    """path and query"""
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    project: Project | None = None
    """that of the path, which the account sees"""

    @property
    def settings(self) -> Settings:
        """The settings of the console."""
        return self.site.settings

    @property
    def who(self) -> Account:
        """Who asks, on a page that is not open."""
        if self.account is None:
            raise Refused(403)
        return self.account

    @property
    def of(self) -> Project:
        """The project of a path that has one."""
        if self.project is None:
            raise Refused(404)
        return self.project

    @property
    def project_id(self) -> int | None:
        """The id of the path's project; None on a page of all projects."""
        return self.project.project_id if self.project else None

    def seen(self) -> list[Project]:
        """The projects that the account sees. Raises StoreError."""
        return [one for one in self.site.projects() if self.who.sees(one)]

    def note(self, action: str, project_id: int | None = None, **details: str) -> None:
        """Write into the audit what is about to be done: before it is. Raises StoreError."""
        audit = Audit(tables(self.settings))
        audit.create()
        audit.add(Entry(self.who.name, self.who.role, action, self.address, project_id, details))

    def shared(self, key: Hashable, seconds: float, question: Callable[[], _T]) -> _T:
        """What a question came to within these seconds, whoever has asked: its key must say all it depends on."""
        return self.site.reads.get(key, seconds, question)


class Refused(Exception):  # noqa: N818  it says no, nothing has failed
    """A request that is not answered: with an HTTP status and, where there is more to say, words in English."""

    def __init__(self, status: int, words: str = "") -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Shown(NamedTuple):
    """A template with its values."""

    template: str
    values: Mapping[str, Any] = {}
    status: int = 200


class Moved(NamedTuple):
    """Another page of the console, to be asked for next; with the session that counts from now on."""

    path: str
    session: Session | None = None


class Sent(NamedTuple):
    """A file, or JSON."""

    body: bytes
    media: str
    name: str = ""
    """under which a browser is to save it"""


Answer = Shown | Moved | Sent


@dataclass(frozen=True)
class Page:
    """A route: `handler` is called in a thread, once whoever asks has the right that it needs.

    A path with `{project_id:int}` is only reached by whoever sees that project. With `label`, an English text, the
    page stands in the navigation: of its project, else of the console.
    """

    path: str
    name: str
    handler: Callable[[Ask], Answer]
    needs: Right
    label: str = ""
    method: str = "GET"

    @property
    def of_project(self) -> bool:
        """Whether the page is of one project."""
        return "{project_id" in self.path
