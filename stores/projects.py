"""The project registry, DynamoDB table `projects`: which Notifly project an Amplitude project belongs to.

Workers read it through `CachedRegistry`: a copy in memory, refreshed in the course of work, which stays in
use when the table is away. One that could never be read stops the job at start.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import StoreError, explained

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "projects"
DEFAULT_MONTHLY_LIMIT: Final = 10_000_000

log = logging.getLogger(__name__)


class Project(NamedTuple):
    """One registered Amplitude project. `monthly_limit` is in events per UTC month, `linked_at` in UTC."""

    project_id: int
    notifly_project: str
    monthly_limit: int = DEFAULT_MONTHLY_LIMIT
    linked_at: datetime | None = None


class Projects:
    """The registry's table. Methods raise StoreError in one line when it cannot be used."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.address = address
        self.client = client or address.client()
        self.table = address.table(TABLE)

    def create(self) -> None:
        """Create the table unless it is there."""
        with explained(f"DynamoDB table {self.table}", self.address.endpoint):
            dynamodb.create_table(self.client, self.table, [("project_id", "N")])

    def add(self, project: Project) -> None:
        """Register a project. Raises StoreError when the id is registered already."""
        item: dict[str, Any] = {
            "project_id": {"N": str(project.project_id)},
            "notifly_project": {"S": project.notifly_project},
            "monthly_limit": {"N": str(project.monthly_limit)},
            "linked_at": {"S": (project.linked_at or datetime.now(UTC)).isoformat()},
        }
        with explained(f"DynamoDB table {self.table}", self.address.endpoint):
            try:
                self.client.put_item(
                    TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(project_id)"
                )
            except self.client.exceptions.ConditionalCheckFailedException:
                msg = f"Amplitude project {project.project_id} is registered already: see projects list"
                raise StoreError(msg) from None

    def list(self) -> "list[Project]":
        """All registered projects by id."""
        with explained(f"DynamoDB table {self.table}", self.address.endpoint):
            pages = self.client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
            return sorted(_project(item) for page in pages for item in page["Items"])


def _project(item: Mapping[str, Any]) -> Project:
    return Project(
        project_id=int(item["project_id"]["N"]),
        notifly_project=item["notifly_project"]["S"],
        monthly_limit=int(item["monthly_limit"]["N"]),
        linked_at=datetime.fromisoformat(item["linked_at"]["S"]),
    )


class CachedRegistry:
    """A worker's copy of the registry: calling it gives the projects by id, at most `refresh_seconds` old.

    Raises StoreError at construction when the table was never read; later failures keep the last good copy.
    """

    def __init__(
        self,
        read: "Callable[[], list[Project]]",
        refresh_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._refresh_seconds, self._now = read, refresh_seconds, now
        self._projects: Mapping[int, Project] = {}
        self._read_at = 0.0
        self._load()

    def __call__(self) -> Mapping[int, Project]:
        if self._now() - self._read_at >= self._refresh_seconds:
            try:
                self._load()
            except StoreError as error:
                # asked again only after another interval: one slow attempt per interval, not per batch
                self._read_at = self._now()
                log.warning("project registry not refreshed, the last good copy stays in use: %s", error)
        return self._projects

    def _load(self) -> None:
        self._projects = {project.project_id: project for project in self._read()}
        self._read_at = self._now()


def open_registry(address: dynamodb.TablesAddress, refresh_seconds: float) -> CachedRegistry:
    """The registry as a worker opens it."""
    return CachedRegistry(Projects(address).list, refresh_seconds)
