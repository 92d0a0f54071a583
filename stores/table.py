"""One DynamoDB table: how it is created, read and written to, for each store that has one.

A condition is written once, as DynamoDB has it in expressions, and holds for every form of request: `:name` in it
is an attribute of the item that is to be written, unless the caller gives another value of that name.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from stores import aws
from stores.dynamodb import TablesAddress, Throttles, as_item, in_groups
from stores.errors import explained

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STATEMENTS_AT_ONCE: Final = 25
"""The most that BatchExecuteStatement takes."""

Item = dict[str, Any]
"""Attributes as DynamoDB has them: each with its type."""
Keys = Mapping[str, Literal["S", "N"]]
"""The attributes that an item is found by, the partition key first, and their types."""
_T = TypeVar("_T")


class Outcome(NamedTuple):
    """Whether an item was written, and the item that was there before; empty when there was none."""

    written: bool
    before: Item


class Table:
    """One table. Methods raise StoreError in one line when it cannot be used."""

    def __init__(
        self,
        address: TablesAddress,
        name: str,
        key: Keys,
        client: "DynamoDBClient | None" = None,
    ) -> None:
        self.address, self.name, self.key = address, address.table(name), key
        self.client = client or address.client()

    def __str__(self) -> str:
        return f"DynamoDB table {self.name}"

    def throttles(self) -> Throttles:
        """What DynamoDB puts off of this table's requests from now on."""
        return Throttles(self.client, str(self), next(iter(self.key)))

    def create(self) -> None:
        """Create the table, billed by the request, unless it is there.

        Returns when it can be used, whoever has created it: another starter, or a request that was repeated.
        """
        with self.explained():
            try:
                if self.client.describe_table(TableName=self.name)["Table"]["TableStatus"] != "CREATING":
                    return
            except self.client.exceptions.ResourceNotFoundException:
                with suppress(self.client.exceptions.ResourceInUseException):
                    self.client.create_table(
                        TableName=self.name,
                        BillingMode="PAY_PER_REQUEST",
                        AttributeDefinitions=[
                            {"AttributeName": name, "AttributeType": kind} for name, kind in self.key.items()
                        ],
                        KeySchema=[
                            {"AttributeName": name, "KeyType": role}  # type: ignore[typeddict-item]
                            for name, role in zip(self.key, ("HASH", "RANGE"), strict=False)
                        ],
                    )
            self.client.get_waiter("table_exists").wait(
                TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )

    def now(self) -> datetime:
        """What DynamoDB takes for the present: `aws.date`."""
        with self.explained():
            answer: Any = self.client.describe_table(TableName=self.name)
        return aws.date(answer)

    def get(self, **key: str | int) -> Item | None:
        """The item of a key; None when there is none."""
        with self.explained():
            answer = self.client.get_item(TableName=self.name, Key=as_item(key), ConsistentRead=True)
        return answer.get("Item")

    def scan(self, **asked: Any) -> Iterator[Item]:
        """All items, in no order."""
        with self.explained():
            pages = self.client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True, **asked)
            for page in pages:
                yield from page["Items"]

    def query(self, **asked: Any) -> Iterator[Item]:
        """Items of one partition, in the order of their sort key."""
        with self.explained():
            for page in self._query(asked):
                yield from page["Items"]

    def count(self, **asked: Any) -> int:
        """How many items `query` would give."""
        with self.explained():
            return sum(page["Count"] for page in self._query(asked | {"Select": "COUNT"}))

    def _query(self, asked: Mapping[str, Any]) -> Any:
        return self.client.get_paginator("query").paginate(TableName=self.name, ConsistentRead=True, **asked)

    def put(self, item: Item, condition: str | None = None, **given: Any) -> Outcome:
        """Write a whole item where the condition, if any, holds of the one that is there."""
        asked: dict[str, Any] = {}
        if condition:
            asked |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
            if values := _values(condition, item, given):
                asked |= {"ExpressionAttributeValues": values}
        with self.explained():
            try:
                answer = self.client.put_item(TableName=self.name, Item=item, ReturnValues="ALL_OLD", **asked)
            except self.client.exceptions.ConditionalCheckFailedException as error:
                refusal: Any = error.response
                return Outcome(False, refusal.get("Item", {}))
        return Outcome(True, answer.get("Attributes", {}))

    def update(self, item: Item, condition: str, **given: Any) -> None:
        """Set an item's attributes where the condition holds of the one that is there; its others stay."""
        changed = self._changed(item)
        refused = suppress(self.client.exceptions.ConditionalCheckFailedException)
        with self.explained(), refused:
            self.client.update_item(
                TableName=self.name,
                Key={name: item[name] for name in self.key},
                UpdateExpression=f"SET {', '.join(f'#{name} = :{name}' for name in changed)}",
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in changed},  # one may be a reserved word
                ExpressionAttributeValues={
                    **{f":{name}": value for name, value in changed.items()},
                    **_values(condition, item, given),
                },
            )

    def insertion(self, item: Item) -> Item:
        """The statement that writes an item where its key is not yet: only PartiQL has conditions in a batch."""
        fields = ", ".join(f"'{name}': ?" for name in item)
        return {"Statement": f'INSERT INTO "{self.name}" VALUE {{{fields}}}', "Parameters": list(item.values())}

    def change(self, item: Item, condition: str, **given: Any) -> Item:
        """The statement that does as `update` where an item is there."""
        changed = self._changed(item)
        sets = " ".join(f'SET "{name}"=?' for name in changed)
        where = "".join(f'"{name}"=? AND ' for name in self.key) + _in_partiql(condition)
        key = [item[name] for name in self.key]
        return {
            "Statement": f'UPDATE "{self.name}" {sets} WHERE {where}',
            "Parameters": [*changed.values(), *key, *_values(condition, item, given).values()],
        }

    def refused(self, pool: ThreadPoolExecutor, values: Sequence[_T], statement: Callable[[_T], Item]) -> list[_T]:
        """Execute each value's statement; returns the values whose statement was refused, whatever the reason.

        Not a transaction: that costs double, and the statements do not depend on each other.
        """

        def of_some(some: Sequence[_T]) -> list[bool]:
            statements: Any = [statement(value) for value in some]
            with self.explained():
                answer = self.client.batch_execute_statement(Statements=statements)
            return ["Error" in response for response in answer["Responses"]]

        refusals = chain.from_iterable(pool.map(of_some, in_groups(values, STATEMENTS_AT_ONCE)))
        return [value for value, is_refused in zip(values, refusals, strict=True) if is_refused]

    def explained(self, *others: "Table") -> AbstractContextManager[None]:
        """An error of the SDK within it is raised as a StoreError that names this table and the others."""
        return explained(" or ".join((str(self), *(other.name for other in others))), self.address.endpoint)

    def _changed(self, item: Item) -> Item:
        return {name: value for name, value in item.items() if name not in self.key}


def _values(condition: str, item: Item, given: Mapping[str, Any]) -> Item:
    """The values that a condition names, under their names in it and in its order, each of them once."""
    typed = item | as_item(given)
    return {name: typed[name[1:]] for name in re.findall(r":\w+", condition)}


@cache
def _in_partiql(condition: str) -> str:
    """A condition of comparisons and `attribute_not_exists`, none of whose values is named twice."""
    missing = re.sub(r"attribute_not_exists\((\w+)\)", r'"\1" IS MISSING', condition)
    return re.sub(r"(\w+) ([<=>]+) :\w+", r'"\1"\2?', missing)
