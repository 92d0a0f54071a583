"""How this product reaches DynamoDB: one client configuration for every table.

Clients are made where they are used (they do not travel to workers); the address that makes them does.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config

from stores import aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Bounded, so that a table that is away fails the checkpoint instead of hanging a worker for ever.
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 8},
    max_pool_connections=32,
)

_TO_ITEM: Final = TypeSerializer()
_FROM_ITEM: Final = TypeDeserializer()

STATEMENTS_AT_ONCE: Final = 25
"""The most that BatchExecuteStatement takes."""
_T = TypeVar("_T")


class TablesAddress(NamedTuple):
    """Where the tables are: region, endpoint (None on AWS) and what stands before each table's name."""

    region: str
    endpoint: str | None
    table_prefix: str

    def table(self, name: str) -> str:
        """The full name of one of the product's tables."""
        return self.table_prefix + name

    def client(self) -> "DynamoDBClient":
        """A new client; thread-safe."""
        dynamodb: DynamoDBClient = aws.client("dynamodb", self.region, self.endpoint, _CONFIG)
        return dynamodb


def create_table(client: "DynamoDBClient", name: str, keys: list[tuple[str, str]]) -> None:
    """Create an on-demand table unless it is there; keys are (attribute, type), the partition key first.

    Returns when the table can be used, whoever has created it: another starter, or a request that was repeated.
    """
    try:
        if client.describe_table(TableName=name)["Table"]["TableStatus"] != "CREATING":
            return
    except client.exceptions.ResourceNotFoundException:
        with suppress(client.exceptions.ResourceInUseException):
            client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys],  # type: ignore[typeddict-item]
                KeySchema=[
                    {"AttributeName": key, "KeyType": role}  # type: ignore[typeddict-item]
                    for (key, _), role in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
            )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def now() -> str:
    """The present as items have it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def clock(client: "DynamoDBClient", table: str) -> datetime:
    """What DynamoDB takes for the present: `aws.date`."""
    answer: Any = client.describe_table(TableName=table)
    return aws.date(answer)


def as_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers, texts and tuples of them as an item has them; None is left out."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {name: _TO_ITEM.serialize(value) for name, value in plain.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `as_item`; all numbers are whole."""
    return {name: _plain(_FROM_ITEM.deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value)
        case list():
            return tuple(map(_plain, value))
        case _:
            return value


def in_groups(values: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """The values in their order, so many at a time."""
    return [values[at : at + size] for at in range(0, len(values), size)]


def insert(table: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """The statement that puts an item where its key is not yet: only PartiQL has conditions in a batch."""
    fields = ", ".join(f"'{name}': ?" for name in item)
    return {"Statement": f'INSERT INTO "{table}" VALUE {{{fields}}}', "Parameters": list(item.values())}


def refused(client: "DynamoDBClient", statements: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Execute at most 25 statements in one request; which of them were refused, for whatever reason.

    Not a transaction: that costs double, and the statements do not depend on each other.
    """
    given: Any = list(statements)
    return ["Error" in answer for answer in client.batch_execute_statement(Statements=given)["Responses"]]


def left_over(
    client: "DynamoDBClient",
    pool: ThreadPoolExecutor,
    values: Sequence[_T],
    statement: Callable[[_T], dict[str, Any]],
) -> list[_T]:
    """Execute the statement of each value, 25 in a request; the values whose statement was refused, in order."""

    def of_some(some: Sequence[_T]) -> list[bool]:
        return refused(client, [statement(value) for value in some])

    answers = chain.from_iterable(pool.map(of_some, in_groups(values, STATEMENTS_AT_ONCE)))
    return [value for value, is_refused in zip(values, answers, strict=True) if is_refused]
