"""Whose profiles Amplitude may be asked for, DynamoDB table `profile_sources`: a project's sealed secret key."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import MissingError, StoreError
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "profile_sources"


class ProfileSource(NamedTuple):
    """How Amplitude's User Profile API is asked about a project."""

    project_id: int
    secret_key: bytes
    """sealed: `stores.seal`"""
    key_end: str
    """the last four characters of the key, by which people tell keys apart"""
    organisation: str
    """projects of one organisation share its limit of requests"""
    since: str = ""
    """when it was set: ISO 8601, UTC"""

    def __repr__(self) -> str:
        """Which one it is, without its key."""
        return f"<profile source of project {self.project_id}, organisation {self.organisation}>"


class ProfileSources:
    """The table of profile sources. Methods raise StoreError in one line."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"project_id": "N"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def set(self, source: ProfileSource) -> None:
        """Write a source anew, whatever was there."""
        self.table.put(dynamodb.as_item(source._replace(since=dynamodb.now())._asdict()))

    def get(self, project_id: int) -> ProfileSource:
        """The source of a project. Refused when there is none."""
        try:
            found = self.table.get(project_id=project_id)
        except MissingError:
            found = None
        if found is None:
            msg = f"project {project_id} has no secret key of Amplitude's: amplitude-profile set takes one"
            raise StoreError(msg)
        return _source(found)

    def list(self) -> "list[ProfileSource]":
        """All sources by project; none where there is no table yet."""
        try:
            return sorted(map(_source, self.table.scan()))
        except MissingError:
            return []


def _source(item: Mapping[str, Any]) -> ProfileSource:
    values = dynamodb.from_item(item)
    values["project_id"], values["secret_key"] = int(values["project_id"]), bytes(values["secret_key"])
    return ProfileSource(**values)
