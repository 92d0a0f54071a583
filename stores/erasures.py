"""Erasures, DynamoDB table `erasures`: the receipt of each subject that was erased. It holds no user id."""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import MissingError
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "erasures"


class Erasure(NamedTuple):
    """The receipt of what was erased of one subject; times in ISO 8601, UTC."""

    project_id: int
    erasure: str
    """when it began, and a part by chance: all subjects of one command have the same"""
    subject: str
    """`subject_of` a user: nobody reads the id out of it"""
    status: str
    """begun, done, or undone by a `rewind`"""
    before: str
    """what arrived before then goes"""
    requested_by: str
    amplitude_ids: tuple[int, ...] = ()
    """of the user's rows without a user id; kept until it is done, for a command that goes on"""
    continues: tuple[str, ...] = ()
    """erasures of the subject that were begun before, and are a part of this one"""
    profiles: int = 0
    members: int = 0
    done_at: str | None = None
    query: str | None = None
    """of which the answer is 0 when no row is left"""
    others: tuple[str, ...] = ()
    """`subject_of` other ids by which rows went: of a user Amplitude's ids, of one of these the user ids"""


def subject_of(project_id: int, user_id: str) -> str:
    """SHA-256 of project and user id: who has the id finds the receipt, and nobody reads it there."""
    return sha256(f"{project_id}:{user_id}".encode()).hexdigest()


class Erasures:
    """The table of receipts. Methods raise StoreError in one line when it cannot be used."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"project_id": "N", "receipt": "S"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def write(self, erasure: Erasure) -> None:
        """Write a receipt, over the one that is there."""
        item = dynamodb.as_item(_key(erasure) | erasure._asdict())
        with self.table.explained():
            self.table.client.put_item(TableName=self.table.name, Item=item)

    def remove(self, erasure: Erasure) -> None:
        """Take away a receipt that another one continues."""
        with self.table.explained():
            self.table.client.delete_item(TableName=self.table.name, Key=dynamodb.as_item(_key(erasure)))

    def of_project(self, project_id: int) -> list[Erasure]:
        """All receipts of a project, the oldest first; none where there is no table yet."""
        asked: Any = {
            "KeyConditionExpression": "project_id = :project",
            "ExpressionAttributeValues": {":project": {"N": str(project_id)}},
        }
        try:
            return [_erasure(dynamodb.from_item(item)) for item in self.table.query(**asked)]
        except MissingError:
            return []


def _key(erasure: Erasure) -> dict[str, Any]:
    return {"project_id": erasure.project_id, "receipt": f"{erasure.erasure} {erasure.subject}"}


def _erasure(item: Mapping[str, Any]) -> Erasure:
    return Erasure(**{name: item[name] for name in Erasure._fields if name in item})
