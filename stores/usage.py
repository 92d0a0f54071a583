"""Monthly volume per project, DynamoDB table `usage`: absolute totals that only ever grow.

A total is written as "the value is now X" on the condition that nothing larger is there. So repeats after a
restart are harmless, and a writer that lags behind cannot take a number back.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import explained

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "usage"
_THREADS: Final = 16


class Usage(NamedTuple):
    """A project's totals in a UTC month `YYYY-MM`: event records received and distinct events stored, and likewise
    records of user updates and distinct user updates.
    """

    project_id: int
    month: str
    records: int
    events: int
    update_records: int = 0
    updates: int = 0

    @property
    def duplicates(self) -> int:
        """Records that repeated an event; exact at rest, for a moment ahead of it under load."""
        return self.records - self.events

    @property
    def update_duplicates(self) -> int:
        """The same of user updates."""
        return self.update_records - self.updates


TOTALS: Final = Usage._fields[2:]
"""The names of the totals."""


class UsageTable:
    """The table of totals."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.address = address
        self.client = client or address.client()
        self.table = address.table(TABLE)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="usage")

    def create(self) -> None:
        """Create the table unless it is there. Raises StoreError."""
        with explained(f"DynamoDB table {self.table}", self.address.endpoint):
            dynamodb.create_table(self.client, self.table, [("project_id", "N"), ("month", "S")])

    def raise_totals(self, totals: Iterable[Usage]) -> None:
        """Write totals, none below what is there, and return when all are acknowledged.

        Of several totals of one project and month the largest counts. Raises StoreError when one could not
        be written: the caller must not go on as if it had been.
        """
        largest: dict[tuple[int, str], Usage] = {}
        for total in totals:
            key = (total.project_id, total.month)
            known = largest.get(key, total)
            largest[key] = Usage(*key, *map(max, total[2:], known[2:]))
        left = list(largest.values())
        for statement in (self._update, self._insert):
            with explained(f"DynamoDB table {self.table}", self.address.endpoint):
                left = dynamodb.left_over(self.client, self._pool, left, statement)
        for _ in self._pool.map(self._raise, left):
            pass

    def _update(self, total: Usage) -> dict[str, Any]:
        """Raises one that is there."""
        sets = " ".join(f'SET "{name}"=?' for name in (*TOTALS, "updated_at"))
        condition = " AND ".join(f'"{name}"<=?' for name in TOTALS)
        numbers = [{"N": str(getattr(total, name))} for name in TOTALS]
        key = [{"N": str(total.project_id)}, {"S": total.month}]
        return {
            "Statement": f'UPDATE "{self.table}" {sets} WHERE "project_id"=? AND "month"=? AND {condition}',
            "Parameters": [*numbers, {"S": dynamodb.now()}, *key, *numbers],
        }

    def _insert(self, total: Usage) -> dict[str, Any]:
        """Writes one that is new."""
        return dynamodb.insert(self.table, dynamodb.as_item(total._asdict() | {"updated_at": dynamodb.now()}))

    def _raise(self, total: Usage) -> None:
        """Write one that was refused twice: throttled, which here is tried again, or as below."""
        # a larger total is there already when this one repeats the past
        repeated = suppress(self.client.exceptions.ConditionalCheckFailedException)
        with explained(f"DynamoDB table {self.table}", self.address.endpoint), repeated:
            self.client.update_item(
                TableName=self.table,
                Key={"project_id": {"N": str(total.project_id)}, "month": {"S": total.month}},
                UpdateExpression=f"SET {', '.join(f'{name} = :{name}' for name in TOTALS)}, updated_at = :now",
                ConditionExpression=(
                    f"attribute_not_exists(events) OR ({' AND '.join(f'{name} <= :{name}' for name in TOTALS)})"
                ),
                ExpressionAttributeValues={
                    **{f":{name}": {"N": str(getattr(total, name))} for name in TOTALS},
                    ":now": {"S": dynamodb.now()},
                },
            )

    def list(self) -> "list[Usage]":
        """All totals by project and month. Raises StoreError."""
        with explained(f"DynamoDB table {self.table}", self.address.endpoint):
            pages = self.client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
            return sorted(
                Usage(
                    int(item["project_id"]["N"]),
                    item["month"]["S"],
                    *(int(item[name]["N"]) for name in TOTALS),
                )
                for page in pages
                for item in page["Items"]
            )
