"""A worker's copy of the registry: in memory, refreshed by a thread of its own, never in a record's way.

Projects are found by Amplitude's project id, and by the id of every cohort that is registered for one.

It stays in use when the table is away, and tells how old it is. One that could never be read stops the job at
start. Each reading renews the job's lease; once that is lost, there is no copy for the job any more.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from botocore.config import Config

from stores import aws, dynamodb
from stores.cohorts import Cohorts
from stores.leases import Lease, LeaseLostError, Leases
from stores.project import Project
from stores.projects import Projects

IMPATIENT: Final = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})
"""A worker's reader gives up soon and comes again: what hangs leaves an old copy, not a stuck thread."""

Registry = Mapping[int | str, Project]
_Copy = TypeVar("_Copy")

log = logging.getLogger(__name__)


class CachedRegistry(Generic[_Copy]):
    """A worker's copy of the registry or of other tables: a call gives it, at once and whatever the tables do.

    Raises StoreError at construction when the table cannot be read; later failures keep the last good copy. A call
    raises LeaseLostError for good once a reading has.
    """

    def __init__(self, read: Callable[[], _Copy], now: Callable[[], float] = time.monotonic) -> None:
        self._read, self._now = read, now
        self._failing = False
        self._lost: LeaseLostError | None = None
        self._load()

    def __call__(self) -> _Copy:
        if self._lost:
            raise self._lost
        return self._copy

    @property
    def age_seconds(self) -> float:
        """How long ago the last reading that succeeded began."""
        return self._now() - self._read_at

    def refresh(self) -> None:
        """Read the table again. Never raises: one warning when it begins to fail, one line when it is over."""
        try:
            self._load()
        except LeaseLostError as lost:
            log.error("%s", lost)
            self._lost = lost
        except Exception as error:
            # also what no store raises: a thread that dies would leave a copy that grows old in silence
            if not self._failing:
                log.warning("project registry not refreshed, the last good copy stays in use: %s", error)
            self._failing = True
        else:
            if self._failing:
                log.info("project registry refreshed again")
            self._failing = False

    def refresh_every(self, seconds: float) -> None:
        """Start a thread that refreshes this copy as long as somebody uses it."""
        own = (weakref.ref(self), seconds)
        threading.Thread(target=_keep_fresh, args=own, name="project-registry", daemon=True).start()

    def _load(self) -> None:
        begin = self._now()
        self._copy = self._read()
        self._read_at = begin


def _keep_fresh(registry: "weakref.ref[CachedRegistry[Any]]", seconds: float) -> None:
    while True:
        time.sleep(seconds)
        used = registry()
        if used is None:
            return
        used.refresh()
        del used  # while this thread sleeps, it holds nothing


def registered(projects: Projects, cohorts: Cohorts) -> Registry:
    """The projects that are registered now, by their ids and those of their cohorts. Raises StoreError."""
    known: dict[int | str, Project] = {project.project_id: project for project in projects.list()}
    owned = {cohort.cohort_id: known.get(cohort.project_id) for cohort in cohorts.list()}
    return known | {cohort_id: project for cohort_id, project in owned.items() if project}


def open_registry(
    address: dynamodb.TablesAddress, refresh_seconds: float, lease: Lease | None = None
) -> CachedRegistry[Registry]:
    """The registry as a worker opens it, with the lease that its job holds. Raises StoreError, LeaseLostError."""
    client = aws.client("dynamodb", address.region, address.endpoint, IMPATIENT)

    def fresh() -> Registry:
        if lease:
            Leases(address, client).renew(lease)
        return registered(Projects(address, client), Cohorts(address, client))

    registry = CachedRegistry(fresh)
    registry.refresh_every(refresh_seconds)
    return registry
