"""The console's audit, DynamoDB table `audit`: who has changed what or looked at whose bytes, when, from where.

An entry is written before what it tells of is done: what fails afterwards is told all the same, and nothing is
done that is not told. An entry of a project stands in two partitions, in one transaction: that of all, and the
project's. Entries are never changed or deleted here.
"""

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import MissingError
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "audit"
_ALL: Final = "all"
_LONGEST: Final = 1_000
"""Characters of a detail that are kept: what people type may be as long as they like."""


class Entry(NamedTuple):
    """What somebody has done, or was about to do."""

    account: str
    role: str
    """of the account at that time"""
    action: str
    """such as `keys.revoke`"""
    address: str
    """from which the request came"""
    project_id: int | None = None
    details: Mapping[str, str] = {}
    """what else is needed to know what was done; never a secret"""
    at: str = ""
    """ISO 8601, UTC; given by the store"""


class Search(NamedTuple):
    """Which entries are asked for; None and an empty text ask for all. Times are aware."""

    project_id: int | None = None
    account: str = ""
    """a part of the account's name, as it is spelled"""
    action: str = ""
    """what the action begins with"""
    since: datetime | None = None
    until: datetime | None = None
    """before then"""


class Audit:
    """The table of the audit. Methods raise StoreError in one line when it cannot be used."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"scope": "S", "entry": "S"}, client)
        self.client = self.table.client

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def add(self, entry: Entry) -> Entry:
        """Write an entry; returns it with its time. Only when this has returned may it be done."""
        details = {name: value[:_LONGEST] for name, value in entry.details.items()}
        written = entry._replace(at=datetime.now(UTC).isoformat(timespec="microseconds"), details=details)
        item = dynamodb.as_item({**written._asdict(), "entry": f"{written.at} {secrets.token_hex(4)}"})
        scopes = [_ALL] if entry.project_id is None else [_ALL, str(entry.project_id)]
        puts: list[Any] = [
            {"Put": {"TableName": self.table.name, "Item": {**item, "scope": {"S": scope}}}} for scope in scopes
        ]
        with self.table.explained():
            self.client.transact_write_items(TransactItems=puts)
        return written

    def newest(self, search: Search = Search(), limit: int = 100) -> list[Entry]:  # noqa: B008
        """The entries that are asked for, newest first, at most so many; none where there is no table yet."""
        try:
            return [*islice(self._found(search), limit)]
        except MissingError:
            return []

    def _found(self, search: Search) -> Iterator[Entry]:
        names, values, conditions = _asked(search)
        filters = {"FilterExpression": " AND ".join(conditions)} if conditions else {}
        found = self.table.query(
            KeyConditionExpression="#scope = :scope AND #entry BETWEEN :since AND :until",
            ExpressionAttributeNames={"#scope": "scope", "#entry": "entry", **names},
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            **filters,
        )
        for item in found:
            values = dynamodb.from_item(item)
            yield Entry(**{name: values[name] for name in Entry._fields if name in values})


def _asked(search: Search) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """The names, the values and the conditions beside the key of a query."""
    names: dict[str, str] = {}
    values = {
        ":scope": {"S": _ALL if search.project_id is None else str(search.project_id)},
        ":since": {"S": _bound(search.since, "0")},
        ":until": {"S": _bound(search.until, "9")},
    }
    conditions = []
    for name, condition in (("account", "contains"), ("action", "begins_with")):
        if wanted := getattr(search, name):
            names[f"#{name}"], values[f":{name}"] = name, {"S": wanted}
            conditions.append(f"{condition}(#{name}, :{name})")
    return names, values, conditions


def _bound(at: datetime | None, otherwise: str) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at else otherwise
