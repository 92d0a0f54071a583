"""Statements, DynamoDB table `statements`: what a month came to when it closed. Written once, never changed."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from stores import dynamodb
from stores.errors import explained

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
        self.address = address
        self.client = client or address.client()
        self.table = address.table(TABLE)

    def create(self) -> None:
        """Create the table unless it is there."""
        with self._explained():
            dynamodb.create_table(self.client, self.table, [("project_id", "N"), ("month", "S")])

    def add(self, statements: Iterable[Statement]) -> None:
        """Write statements; one that is there already stays as it is."""
        for one in statements:
            dated = one._replace(closed_at=dynamodb.now())
            there_already = suppress(self.client.exceptions.ConditionalCheckFailedException)
            with self._explained(), there_already:
                self.client.put_item(
                    TableName=self.table,
                    Item=dynamodb.as_item(dated._asdict()),
                    ConditionExpression="attribute_not_exists(project_id)",
                )

    def list(self) -> "list[Statement]":
        """All statements by project and month."""
        with self._explained():
            pages = self.client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
            found = (Statement(**dynamodb.from_item(item)) for page in pages for item in page["Items"])
            return sorted(found, key=lambda one: one[:2])

    def now(self) -> datetime:
        """DynamoDB's clock: a month must not close early because this machine's clock is wrong."""
        with self._explained():
            return dynamodb.clock(self.client, self.table)

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"DynamoDB table {self.table}", self.address.endpoint)
