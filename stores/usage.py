"""Monthly volume per project, DynamoDB table `usage`: absolute totals that only ever grow.

A total is written as "the value is now X" on the condition that nothing larger is there. So repeats after a
restart are harmless, and a writer that lags behind cannot take a number back.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from stores import dynamodb
from stores.table import Item, Keys, Table

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


_KEY: Final[Keys] = {"project_id": "N", "month": "S"}
TOTALS: Final = tuple(name for name in Usage._fields if name not in _KEY)
"""The names of the totals."""
_NEVER_LOWER: Final = " AND ".join(f"{name} <= :{name}" for name in TOTALS)


class UsageTable:
    """The table of totals."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, _KEY, client)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="usage")

    def create(self) -> None:
        """Create the table unless it is there. Raises StoreError."""
        self.table.create()

    def raise_totals(self, totals: Iterable[Usage]) -> None:
        """Write totals, none below what is there, and return when all are acknowledged.

        Of several totals of one project and month the largest counts. Raises StoreError when one could not
        be written: the caller must not go on as if it had been.
        """
        largest: dict[tuple[int, str], Usage] = {}
        for total in totals:
            key = (total.project_id, total.month)  # alike in both
            largest[key] = Usage._make(map(max, total, largest.get(key, total)))
        left = [_item(total) for total in largest.values()]
        for statement in (self._raising, self.table.insertion):
            left = self.table.refused(self._pool, left, statement)
        # refused twice: a larger one is there, as this one repeats the past, or throttled, and here tried again
        for _ in self._pool.map(self._raise, left):
            pass

    def _raising(self, item: Item) -> Item:
        return self.table.change(item, _NEVER_LOWER)

    def _raise(self, item: Item) -> None:
        self.table.update(item, f"attribute_not_exists(events) OR ({_NEVER_LOWER})")

    def last_raised(self) -> "dict[int, datetime]":
        """By project: when one of its totals was last written, which is soon after its last record."""
        last: dict[int, datetime] = {}
        for item in self.table.scan():
            project_id, at = int(item["project_id"]["N"]), datetime.fromisoformat(item["updated_at"]["S"])
            last[project_id] = max(at, last.get(project_id, at))
        return last

    def list(self) -> "list[Usage]":
        """All totals by project and month. Raises StoreError."""
        return sorted(
            Usage(int(item["project_id"]["N"]), item["month"]["S"], *(int(item[name]["N"]) for name in TOTALS))
            for item in self.table.scan()
        )


def _item(total: Usage) -> Item:
    return dynamodb.as_item(total._asdict() | {"updated_at": dynamodb.now()})
