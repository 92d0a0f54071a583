"""Cohorts, DynamoDB tables `cohorts` and `cohort_members`: whose a cohort is, and who is in it.

Amplitude's cohort messages name no project, so a cohort id is registered for one. Who has left keeps an item that
says so: its clock must stay, or an older message that comes later would bring the person back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import StoreError, explained

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "cohorts"
MEMBERS_TABLE: Final = "cohort_members"
_LONGEST_ID: Final = 1000  # bytes of a user id in a sort key, of the 1024 that DynamoDB allows
_THREADS: Final = 16
_FAR_AHEAD: Final = 2 * 86_400
"""Seconds: a message's time is at most a day ahead of its arrival, and clocks differ."""


class Cohort(NamedTuple):
    """A registered cohort: the project that it belongs to, and its name when a message has told it."""

    cohort_id: str
    project_id: int
    name: str | None = None


class Member(NamedTuple):
    """Whether a user was in a cohort when Amplitude computed it: `computed_time` in microseconds since 1970."""

    project_id: int
    cohort_id: str
    user_id: str
    in_cohort: bool
    computed_time: int


class Cohorts:
    """The table of cohorts. Methods raise StoreError in one line that says what to do."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.address = address
        self.client = client or address.client()
        self.table = address.table(TABLE)

    def create(self) -> None:
        """Create the table unless it is there."""
        with self._explained():
            dynamodb.create_table(self.client, self.table, [("cohort_id", "S")])

    def add(self, cohort_id: str, project_id: int) -> None:
        """Register a cohort for a project. Refused when it is registered, for whatever project."""
        with self._explained():
            try:
                self.client.put_item(
                    TableName=self.table,
                    Item={
                        "cohort_id": {"S": cohort_id},
                        "project_id": {"N": str(project_id)},
                        "registered_at": {"S": dynamodb.now()},
                    },
                    ConditionExpression="attribute_not_exists(cohort_id)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self.client.exceptions.ConditionalCheckFailedException as error:
                response: Any = error.response
                owner = _cohort(response["Item"]).project_id
                known = f"cohort {cohort_id} is registered for project {owner} already"
                msg = (
                    f"{known}: there is nothing to do"
                    if owner == project_id
                    else f"{known}: its messages name no project, so it cannot be told apart; give project "
                    f"{project_id} a cohort of its own"
                )
                raise StoreError(msg) from None

    def get(self, cohort_id: str) -> Cohort:
        """One registered cohort. Refused when there is none."""
        with self._explained():
            key = {"cohort_id": {"S": cohort_id}}
            found = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True)
        if "Item" not in found:
            msg = f"cohort {cohort_id} is not registered: cohorts add registers it"
            raise StoreError(msg)
        return _cohort(found["Item"])

    def list(self) -> "list[Cohort]":
        """All registered cohorts by id."""
        with self._explained():
            pages = self.client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
            return sorted(_cohort(item) for page in pages for item in page["Items"])

    def rename(self, cohort_id: str, name: str, computed_time: int) -> None:
        """Keep the name that a message gives, in microseconds since 1970; ignored unless it is the newest's.

        Ignored too when the cohort is not registered.
        """
        outdated = suppress(self.client.exceptions.ConditionalCheckFailedException)
        with self._explained(), outdated:
            self.client.update_item(
                TableName=self.table,
                Key={"cohort_id": {"S": cohort_id}},
                UpdateExpression="SET #name = :name, named_at = :named_at",
                ConditionExpression=(
                    "attribute_exists(cohort_id) AND "
                    "(attribute_not_exists(named_at) OR named_at < :named_at OR named_at > :ahead)"
                ),
                ExpressionAttributeNames={"#name": "name"},  # a reserved word
                ExpressionAttributeValues={
                    ":name": {"S": name},
                    ":named_at": {"N": _seconds(computed_time)},
                    ":ahead": _ahead(),
                },
            )

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"DynamoDB table {self.table}", self.address.endpoint)


class CohortMembers:
    """The table of members, those who have left included."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.address = address
        self.client = client or address.client()
        self.table = address.table(MEMBERS_TABLE)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="cohort-members")
        self._new = True  # whether most who entered last were new

    def create(self) -> None:
        """Create the table unless it is there. Raises StoreError."""
        with self._explained():
            dynamodb.create_table(self.client, self.table, [("cohort", "S"), ("member", "S")])

    def write(self, members: Iterable[Member]) -> int:
        """Write who is in and who has left, the newest computation of each, and return when all is acknowledged.

        At a tie a user has left: the safer error is not to message somebody. Returns of how many users two
        messages of the same time, both newest, said the opposite. Raises StoreError when one could not be written.
        """
        newest: dict[tuple[int, str, str], Member] = {}
        tied: set[tuple[int, str, str]] = set()
        for member in members:
            key = (member.project_id, member.cohort_id, member.user_id)
            known = newest.get(key)
            if known is None or member.computed_time > known.computed_time:
                newest[key] = member
                tied.discard(key)
            elif member.computed_time == known.computed_time and member.in_cohort != known.in_cohort:
                newest[key] = known._replace(in_cohort=False)
                tied.add(key)
        entering = [member for member in newest.values() if member.in_cohort]
        leaving = [member for member in newest.values() if not member.in_cohort]
        left = [*self._entered(entering), *self._refused(self._update, leaving)]
        met = zip(left, self._pool.map(self._write, left), strict=True)
        return len(tied | {(one.project_id, one.cohort_id, one.user_id) for one, tie in met if tie})

    def members(self, project_id: int, cohort_id: str, limit: int | None = None) -> Iterator[Member]:
        """Who is in a cohort, by user id; no more than `limit`. Raises StoreError while it is gone through."""
        with self._explained():
            pages: Any = self._query(project_id, cohort_id)
            found = (item for page in pages for item in page["Items"])
            for item in islice(found, limit):
                computed = int(Decimal(item["computed_time"]["N"]).scaleb(6))
                yield Member(project_id, cohort_id, item["user_id"]["S"], True, computed)

    def count(self, project_id: int, cohort_id: str) -> int:
        """How many are in a cohort. Raises StoreError."""
        with self._explained():
            pages: Any = self._query(project_id, cohort_id, Select="COUNT")
            return sum(page["Count"] for page in pages)

    def _query(self, project_id: int, cohort_id: str, **more: Any) -> Any:
        return self.client.get_paginator("query").paginate(
            TableName=self.table,
            ConsistentRead=True,
            KeyConditionExpression="cohort = :cohort",
            FilterExpression="in_cohort = :in",
            ExpressionAttributeValues={":cohort": {"S": f"{project_id}:{cohort_id}"}, ":in": {"BOOL": True}},
            **more,
        )

    def _entered(self, members: Sequence[Member]) -> list[Member]:
        """Write who enters; those that were refused. A first sync is all new members, a later one hardly any."""
        first, second = self._insert, self._update
        if not self._new:
            first, second = second, first
        refused = self._refused(first, members)
        if 2 * len(refused) > len(members):
            self._new = not self._new  # the next batch will be like this one
        return self._refused(second, refused)

    def _refused(self, statement: Callable[[Member], dict[str, Any]], members: Sequence[Member]) -> list[Member]:
        with self._explained():
            return dynamodb.left_over(self.client, self._pool, members, statement)

    def _insert(self, member: Member) -> dict[str, Any]:
        """Writes a member whom the table does not know yet."""
        return dynamodb.insert(self.table, _item(member))

    def _update(self, member: Member) -> dict[str, Any]:
        """Writes over an older computation. What is not older is left to `_write`, which tells ties."""
        item = _item(member)
        changed = {name: item[name] for name in ("in_cohort", "computed_time", "updated_at")}
        sets = " ".join(f'SET "{name}"=?' for name in changed)
        where = '"cohort"=? AND "member"=? AND "computed_time"<?'
        return {
            "Statement": f'UPDATE "{self.table}" {sets} WHERE {where}',
            "Parameters": [*changed.values(), item["cohort"], item["member"], item["computed_time"]],
        }

    def _write(self, member: Member) -> bool:
        """Write one unless a newer one is there; whether one of the same time was there that says the opposite."""
        computed = {"N": _seconds(member.computed_time)}
        values: Any = {":time": computed, ":ahead": _ahead()}
        condition = "attribute_not_exists(computed_time) OR computed_time < :time OR computed_time > :ahead"
        if not member.in_cohort:
            condition += " OR (computed_time = :time AND in_cohort = :in)"
            values[":in"] = {"BOOL": True}
        with self._explained():
            try:
                there: Any = self.client.put_item(
                    TableName=self.table,
                    Item=_item(member),
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_OLD",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ).get("Attributes")
            except self.client.exceptions.ConditionalCheckFailedException as error:
                response: Any = error.response
                there = response["Item"]
        return bool(there) and (
            Decimal(there["computed_time"]["N"]) == Decimal(computed["N"])
            and there["in_cohort"]["BOOL"] != member.in_cohort
        )

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"DynamoDB table {self.table}", self.address.endpoint)


def _cohort(item: Mapping[str, Any]) -> Cohort:
    name = item["name"]["S"] if "name" in item else None
    return Cohort(item["cohort_id"]["S"], int(item["project_id"]["N"]), name)


def _item(member: Member) -> dict[str, Any]:
    return {
        "cohort": {"S": f"{member.project_id}:{member.cohort_id}"},
        "member": {"S": _sort_key(member.user_id)},
        "user_id": {"S": member.user_id},
        "in_cohort": {"BOOL": member.in_cohort},
        "computed_time": {"N": _seconds(member.computed_time)},
        "updated_at": {"S": dynamodb.now()},
    }


def _sort_key(user_id: str) -> str:
    """A user id as a sort key; empty, too long or behind a #, as # and its hash: no two are equal."""
    encoded = user_id.encode()
    if not 0 < len(encoded) <= _LONGEST_ID or user_id.startswith("#"):
        return f"#{sha256(encoded).hexdigest()}"
    return user_id


def _ahead() -> Any:
    """The first time that no message of today can have; older versions stored whatever stood in one."""
    return {"N": str(round(time()) + _FAR_AHEAD)}


def _seconds(microseconds: int) -> str:
    return format(Decimal(microseconds).scaleb(-6), "f")
