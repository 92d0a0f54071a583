"""Replays, DynamoDB table `replays`: the dead letters that are back on the stream, since when and as which record.

Only the job writes to the table of dead letters, and rows are only added. A letter without an item here waits.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import MissingError, StoreError
from stores.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "replays"
_WRITES_AT_ONCE: Final = 25
"""The most that BatchWriteItem takes."""
_ATTEMPTS: Final = 8
_DAYS_ASKED: Final = timedelta(days=31)
"""A longer window is one scan, not a query for each day."""


class Replay(NamedTuple):
    """A dead letter that is on the stream again; times in ISO 8601, UTC."""

    letter: str
    """`letter_key` of the dead letter, a blank, and a digest of its payload, for parts that share the key"""
    arrival: str
    """of the dead letter, as are those below"""
    project_id: int | None
    reason: str
    name: str | None
    """by which the job has counted it"""
    put_shard: str
    put_sequence: str
    replayed_at: str
    asked_at: str | None = None
    """as in `Asked`, with the next two; None of what an earlier version has replayed"""
    asked_by: str | None = None
    asked: str | None = None

    @property
    def command(self) -> "Asked | None":
        """Who asked for it."""
        return Asked(self.asked_at, self.asked_by or "", self.asked or "") if self.asked_at else None

    @property
    def key(self) -> str:
        """`letter_key` of the dead letter."""
        return self.letter.rpartition(" ")[0]


class Asked(NamedTuple):
    """A command that replays."""

    asked_at: str
    """when it began; ISO 8601, UTC"""
    asked_by: str
    asked: str
    """which letters, in the words of its options"""


def letter_key(
    shard: str, sequence: str, sub_index: int | None, project_id: int | None, reason: str | None
) -> str:
    """What tells a dead letter from others without its payload.

    Parts of a KPL aggregate that the connector opened share it if they also share project and reason; no filter of
    a replay divides those.
    """
    return ":".join("" if part is None else str(part) for part in (shard, sequence, sub_index, project_id, reason))


class Replays:
    """The table of replays. Methods raise StoreError in one line when it cannot be used."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"day": "S", "letter": "S"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def add(self, replays: Iterable[Replay]) -> None:
        """Write replays; of a letter that was replayed before, the newest counts."""
        newest = {replay.letter: replay for replay in replays}
        for group in dynamodb.in_groups(list(newest.values()), _WRITES_AT_ONCE):
            items = [dynamodb.as_item({"day": replay.arrival[:10]} | replay._asdict()) for replay in group]
            self._write([{"PutRequest": {"Item": item}} for item in items])

    def _write(self, requests: Any) -> None:
        for attempt in range(_ATTEMPTS):
            with self.table.explained():
                answer = self.table.client.batch_write_item(RequestItems={self.table.name: requests})
            requests = answer["UnprocessedItems"].get(self.table.name)
            if not requests:
                return
            time.sleep(0.1 * 2**attempt)
        msg = f"{self.table} refused {len(requests)} items {_ATTEMPTS} times: is it throttled?"
        raise StoreError(msg)

    def letters(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[str]:
        """`letter` of all replays, at least those of the days of that window; none where there is no table yet."""
        for item in self._items(since, until, ProjectionExpression="letter"):
            yield item["letter"]["S"]

    def of_arrivals(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Replay]:
        """Replays of the letters that arrived from `since` to before `until`."""
        first, last = _iso(since), _iso(until)
        for item in self._items(since, until):
            found = dynamodb.from_item(item)
            if first <= found["arrival"] and (not last or found["arrival"] < last):
                yield Replay._make(found.get(name) for name in Replay._fields)

    def _items(self, since: datetime | None, until: datetime | None, **asked: Any) -> Iterator[Item]:
        """Items of the days of a window, or all of a longer one."""
        end = until or datetime.now(UTC)
        with suppress(MissingError):
            if since is None or end - since > _DAYS_ASKED:
                yield from self.table.scan(**asked)
                return
            day, last = since.astimezone(UTC).date(), end.astimezone(UTC).date()
            while day <= last:
                yield from self.table.query(
                    KeyConditionExpression="#day = :day",
                    ExpressionAttributeNames={"#day": "day"},
                    ExpressionAttributeValues={":day": {"S": day.isoformat()}},
                    **asked,
                )
                day += timedelta(days=1)


def _iso(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at else ""
