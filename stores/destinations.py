"""Destinations, DynamoDB table `destinations`: the Amplitude projects that Notifly's message events go to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import MissingError, StoreError
from stores.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "destinations"


class Destination(NamedTuple):
    """Where and how message events go to a project."""

    project_id: int
    region: str
    """`us` or `eu`"""
    api_key: bytes
    """sealed: `stores.seal`"""
    key_end: str
    """the last four characters of the key, by which people tell keys apart"""
    state: str = "ok"
    """`ok`, `throttled`, `auth_error`, `blocked` or `paused`"""
    since: str = ""
    """when it came into that state: ISO 8601, UTC"""
    words: str = ""
    """why, as Amplitude said it, or who paused it"""
    personal: Mapping[str, str] = {}
    """by personal field that is sent: `plain` or `sha256`"""
    told: str = ""
    """`since` of the last state that somebody was told of; empty as long as nobody was of any"""

    @property
    def notification_id(self) -> str:
        """Names its state to whoever is told of it."""
        return f"{self.project_id}/{self.since}"

    @property
    def is_news(self) -> bool:
        """Whether somebody is to be told of its state: not of one that is well from the beginning."""
        return self.since != self.told and bool(self.told or self.state != "ok")

    def __repr__(self) -> str:
        """Which one it is, without its key."""
        return f"<destination of project {self.project_id}: {self.region}, {self.state}>"


class Destinations:
    """The table of destinations. Methods raise StoreError in one line."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"project_id": "N"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def set(self, destination: Destination) -> None:
        """Write a destination anew, whatever was there; who was told that it was not well is told that it is."""
        before = self.table.get(project_id=destination.project_id)
        told = _destination(before).told if before else ""
        self.table.put(_item(destination._replace(since=dynamodb.now(), told=told)))

    def get(self, project_id: int) -> Destination:
        """The destination of a project. Refused when there is none."""
        try:
            found = self.table.get(project_id=project_id)
        except MissingError:
            found = None
        if found is None:
            msg = f"project {project_id} has no destination: destinations set makes one"
            raise StoreError(msg)
        return _destination(found)

    def list(self) -> "list[Destination]":
        """All destinations by project; none where there is no table yet."""
        try:
            return sorted(map(_destination, self.table.scan()))
        except MissingError:
            return []

    def change_state(self, destination: Destination, state: str, words: str) -> Destination | None:
        """Bring a destination into a state; returns it as it is then, None where it has changed meanwhile."""
        if (state, words) == (destination.state, destination.words):
            return destination
        changed = destination._replace(state=state, words=words, since=dynamodb.now())
        return changed if self.table.put(_item(changed), "since = :seen", seen=destination.since).written else None

    def tell(self, destination: Destination) -> None:
        """Note that somebody was told of a destination's state."""
        noted = {"project_id": destination.project_id, "told": destination.since}
        self.table.update(dynamodb.as_item(noted), "since = :since", since=destination.since)


def _item(destination: Destination) -> Item:
    return dynamodb.as_item(destination._asdict() | {"personal": dict(destination.personal)})


def _destination(item: Mapping[str, Any]) -> Destination:
    values = dynamodb.from_item(item)
    values["project_id"] = int(values["project_id"])
    values["api_key"] = bytes(values["api_key"])
    return Destination(**values)
