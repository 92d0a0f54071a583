"""Statements, DynamoDB table `statements`: the totals of a month as it closed, written once and never changed."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from stores import dynamodb
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "statements"


class Statement(NamedTuple):
    """A project's month as it was closed: what arrived before `closes_at`; times in ISO 8601, UTC."""

    project_id: int
    month: str
    records: int
    events: int
    update_records: int
    updates: int
    closes_at: str
    """the first moment that does not count"""
    monthly_limit: int | None = None
    """None where the project was not registered"""
    billable: int | None = None
    closed_at: str = ""
    """when it was written"""


class Statements:
    """The table of statements. Methods raise StoreError in one line when it cannot be used."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"project_id": "N", "month": "S"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def add(self, statements: Iterable[Statement]) -> None:
        """Write statements; one that is there already stays as it is."""
        for statement in statements:
            dated = statement._replace(closed_at=dynamodb.now())
            self.table.put(dynamodb.as_item(dated._asdict()), "attribute_not_exists(project_id)")

    def list(self) -> "list[Statement]":
        """All statements by project and month."""
        found = (Statement(**dynamodb.from_item(item)) for item in self.table.scan())
        return sorted(found, key=lambda statement: (statement.project_id, statement.month))

    def now(self) -> datetime:
        """DynamoDB's clock: a month must not close early because this machine's clock is wrong."""
        return self.table.now()
