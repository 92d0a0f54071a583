"""The shared Kinesis stream: made for local runs, checked before a job starts, fed by samples."""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.config import Config

from stores import aws
from stores.errors import StoreError, explained

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

PUT_RECORDS_MAX: Final = 500
"""Records that one PutRecords call takes (docs/amplitude.md §4.4)."""
PUT_BYTES_MAX: Final = 4 * 2**20
"""Bytes of data in one call; older clients of Kinesis refuse more than 5 MiB (docs/amplitude.md §4.4)."""
RECORD_BYTES_MAX: Final = 10 * 2**20
"""Bytes of one record, where the stream allows as much as Kinesis can (docs/amplitude.md §4.4)."""
SHARD_RECORDS: Final = 1_000
"""Records a second that a shard takes (docs/amplitude.md §4.4)."""
SHARD_BYTES: Final = 10**6
"""Bytes a second that a shard takes."""
GET_RECORDS_MAX: Final = 10_000
"""Records that one GetRecords call gives."""


class StreamAddress(NamedTuple):
    """Where the stream is: its name, region and endpoint (None on AWS), and how often a call is tried."""

    name: str
    region: str
    endpoint: str | None
    attempts: int = 8

    def client(self) -> "KinesisClient":
        """A new client; thread-safe."""
        retries: Any = {"mode": "standard", "total_max_attempts": self.attempts}
        config = Config(connect_timeout=3, read_timeout=30, retries=retries)
        kinesis: KinesisClient = aws.client("kinesis", self.region, self.endpoint, config)
        return kinesis


class Shard(NamedTuple):
    """A shard that the stream still lists."""

    shard: str
    is_open: bool
    """whether it takes records"""
    parents: tuple[str, ...]
    hashes: tuple[int, int]
    """the first and the last hash key that belong to it"""


class Summary(NamedTuple):
    """What Kinesis says of the stream."""

    status: str
    """ACTIVE, UPDATING …: only in these two it takes records"""
    retention_hours: int
    open_shards: int
    key: str | None
    """of KMS, by which its records are encrypted"""
    arn: str
    created: datetime
    """aware, UTC"""
    now: datetime
    """what Kinesis takes for the present: `aws.date`"""
    record_bytes: int
    """of its largest records"""

    @property
    def capacity(self) -> "Capacity":
        """What it takes now."""
        return Capacity(self.open_shards * SHARD_RECORDS, self.open_shards * SHARD_BYTES, self.record_bytes)


class Retention(NamedTuple):
    """Since when the stream is there, and since when it has all its records; aware, UTC."""

    created: datetime
    since: datetime
    """by its retention period: if that was raised, what had expired before did not come back"""


class Capacity(NamedTuple):
    """What the stream takes: a second, by its open shards, and of one record."""

    records: int
    bytes: int
    record_bytes: int


class Record(NamedTuple):
    """A record as it lies on the stream; `arrival` in UTC, `hashes` those of its shard."""

    shard: str
    sequence: str
    arrival: datetime
    data: bytes
    hashes: tuple[int, int]


class Page(NamedTuple):
    """Some records of a shard, in its order."""

    records: list[Record]
    next: str | None
    """the iterator of those behind them; None where the shard is closed and ends here"""
    behind: timedelta
    """how far these are behind the newest record of the shard"""


class Place(NamedTuple):
    """Where Kinesis has put a record."""

    shard: str
    sequence: str


class Stream:
    """One Kinesis stream. Methods raise StoreError in one line when it cannot be used."""

    def __init__(self, address: StreamAddress) -> None:
        self.address = address
        self.client = address.client()
        self._known: dict[str, tuple[int, int]] = {}  # the hash keys of a shard never change

    def create(self, shards: int) -> None:
        """Create the stream unless it is there, and wait until it takes records."""
        with self._explained():
            with suppress(self.client.exceptions.ResourceInUseException):
                self.client.create_stream(StreamName=self.address.name, ShardCount=shards)
            self.wait_until_active()

    def wait_until_active(self) -> None:
        """Return once no change to the stream is under way; streams of AWS are changed by others."""
        self.client.get_waiter("stream_exists").wait(
            StreamName=self.address.name,
            WaiterConfig={"Delay": 0.2, "MaxAttempts": 300},  # type: ignore[typeddict-item]
        )

    def open_shards(self) -> list[str]:
        """Ids of the shards that take records. Raises StoreError when there is no such stream."""
        return [shard.shard for shard in self.shards() if shard.is_open]

    def shards(self) -> list[Shard]:
        """All shards whose records are retained, and the open ones. Raises StoreError."""
        with self._explained():
            pages = self.client.get_paginator("list_shards").paginate(StreamName=self.address.name)
            return [
                Shard(
                    found["ShardId"],
                    "EndingSequenceNumber" not in found["SequenceNumberRange"],
                    tuple(found[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in found),
                    (int(found["HashKeyRange"]["StartingHashKey"]), int(found["HashKeyRange"]["EndingHashKey"])),
                )
                for page in pages
                for found in page["Shards"]
            ]

    def summary(self) -> Summary:
        """What Kinesis says of the stream. Raises StoreError when there is no such stream."""
        with self._explained():
            answer: Any = self.client.describe_stream_summary(StreamName=self.address.name)
        said = answer["StreamDescriptionSummary"]
        return Summary(
            said["StreamStatus"],
            said["RetentionPeriodHours"],
            said["OpenShardCount"],
            said.get("KeyId"),
            said["StreamARN"],
            said["StreamCreationTimestamp"].astimezone(UTC),
            aws.date(answer),
            said.get("MaxRecordSizeInKiB", 1024) * 1024,
        )

    def now(self) -> datetime:
        """What Kinesis takes for the present: `aws.date`."""
        return self.summary().now

    def retention(self, now: datetime) -> Retention:
        """How long the stream keeps its records."""
        said = self.summary()
        return Retention(said.created, max(said.created, now - timedelta(hours=said.retention_hours)))

    def first_arrival(self, shard: str, but: bytes | None = None) -> datetime | None:
        """When the oldest record arrived that a shard still holds; None when it holds none.

        Records that begin with `but` are passed over.
        """
        with self._explained():
            records = self._of_shard(shard, at_once=GET_RECORDS_MAX if but else 1)
            kept = (one.arrival for one in records if not but or not one.data.startswith(but))
            return next(kept, None)

    def split(self, shard: str) -> None:
        """Split an open shard in the middle of its hash range; returns when the children are open."""
        with self._explained():
            shards = self.client.list_shards(StreamName=self.address.name)["Shards"]
            keys = next(s["HashKeyRange"] for s in shards if s["ShardId"] == shard)
            middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
            self.client.split_shard(
                StreamName=self.address.name, ShardToSplit=shard, NewStartingHashKey=str(middle)
            )
            self.wait_until_active()

    def merge(self) -> None:
        """Merge two open shards with adjacent hash ranges; returns when the child is open."""
        with self._explained():
            shards = self.client.list_shards(StreamName=self.address.name)["Shards"]
            begins = {
                int(s["HashKeyRange"]["StartingHashKey"]): s["ShardId"]
                for s in shards
                if "EndingSequenceNumber" not in s["SequenceNumberRange"]
            }
            ends = {s["ShardId"]: int(s["HashKeyRange"]["EndingHashKey"]) for s in shards}
            first = next(shard for shard in begins.values() if ends[shard] + 1 in begins)
            self.client.merge_shards(
                StreamName=self.address.name, ShardToMerge=first, AdjacentShardToMerge=begins[ends[first] + 1]
            )
            self.wait_until_active()

    def put(self, records: Iterable[tuple[str, bytes]], at_once: int = PUT_RECORDS_MAX) -> Iterator[int]:
        """Put (partition key, data) pairs, at most so many in a call; yields the number acknowledged after each.

        Records that Kinesis refused for the moment are put again: nothing is skipped. Raises StoreError.
        """
        return (len(places) for places in self.placed(records, at_once))

    def placed(
        self, records: Iterable[tuple[str, bytes]], at_once: int = PUT_RECORDS_MAX
    ) -> Iterator[list[Place]]:
        """Do the same; yields where the records of each call are, in order."""
        batch: list[tuple[str, bytes]] = []
        size = 0
        for key, data in records:
            if batch and (len(batch) == at_once or size + len(data) > PUT_BYTES_MAX):
                yield self._put(batch)
                batch, size = [], 0
            batch.append((key, data))
            size += len(data)
        if batch:
            yield self._put(batch)

    def put_one(self, key: str, data: bytes) -> Place:
        """Put one record; where it is. Raises StoreError."""
        if len(data) > RECORD_BYTES_MAX:
            msg = f"a record of more than {RECORD_BYTES_MAX:,} bytes: Kinesis takes none"
            raise StoreError(msg)
        (place,) = self._put([(key, data)])
        return place

    def _put(self, batch: list[tuple[str, bytes]]) -> list[Place]:
        places: list[Place | None] = [None] * len(batch)
        waiting = list(range(len(batch)))
        for attempt in range(8):
            with self._explained():
                answer = self.client.put_records(
                    StreamName=self.address.name,
                    Records=[
                        {"PartitionKey": key, "Data": data} for key, data in (batch[index] for index in waiting)
                    ],
                )
            for index, result in zip(waiting, answer["Records"], strict=True):
                if not result.get("ErrorCode"):
                    places[index] = Place(result["ShardId"], result["SequenceNumber"])
            waiting = [index for index in waiting if places[index] is None]
            if not waiting:
                return [place for place in places if place]
            time.sleep(0.1 * 2**attempt)
        msg = f"Kinesis stream {self.address.name} refused {len(waiting)} records eight times: too few shards?"
        raise StoreError(msg)

    def records(self) -> "Iterator[Record]":
        """All records that the stream still retains, one shard after another. Raises StoreError."""
        for shard in self.shards():
            yield from self.of_shard(shard.shard)

    def of_shard(self, shard: str, since: datetime | None = None) -> "Iterator[Record]":
        """All records that a shard still retains, or those that arrived since a time. Raises StoreError."""
        with self._explained():
            yield from self._of_shard(shard, since)

    def _of_shard(
        self, shard: str, since: datetime | None = None, at_once: int = GET_RECORDS_MAX
    ) -> "Iterator[Record]":
        start: Any = {"ShardIteratorType": "TRIM_HORIZON"}
        if since is not None:
            start = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
        iterator: str | None = self._iterator(shard, start)
        while iterator:
            page = self._page(shard, iterator, at_once)
            yield from page.records
            if not page.records and not page.behind:
                return
            iterator = page.next

    def iterator(self, shard: str, since: datetime | None) -> str:
        """The iterator of a shard's records since a time, or of those that will come. Raises StoreError."""
        start: Any = {"ShardIteratorType": "LATEST"}
        if since is not None:
            start = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
        with self._explained():
            return self._iterator(shard, start)

    def page(self, shard: str, iterator: str, at_once: int) -> Page:
        """Some records behind an iterator: one read of the five a second that a shard allows all who poll it.

        Raises ThrottledError where there were more, and StoreError.
        """
        with self._explained():
            return self._page(shard, iterator, at_once)

    def record(self, shard: str, sequence: str) -> Record | None:
        """The record at a place; None where the stream does not retain it any more, or never had it.

        Raises StoreError.
        """
        at: Any = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence}
        with self._explained():
            try:
                records = self._page(shard, self._iterator(shard, at), 1).records
            except (self.client.exceptions.InvalidArgumentException, KeyError):  # a shard that is not listed
                return None
        return next((one for one in records if one.sequence == sequence), None)

    def _iterator(self, shard: str, start: Any) -> str:
        found = self.client.get_shard_iterator(StreamName=self.address.name, ShardId=shard, **start)
        return found["ShardIterator"]

    def _page(self, shard: str, iterator: str, at_once: int) -> Page:
        hashes = self._hashes(shard)
        page = self.client.get_records(ShardIterator=iterator, Limit=at_once)
        records = [
            Record(
                shard,
                record["SequenceNumber"],
                record["ApproximateArrivalTimestamp"].astimezone(UTC),
                record["Data"],
                hashes,
            )
            for record in page["Records"]
        ]
        return Page(records, page.get("NextShardIterator"), timedelta(milliseconds=page["MillisBehindLatest"]))

    def _hashes(self, shard: str) -> tuple[int, int]:
        if shard not in self._known:
            self._known = {shard.shard: shard.hashes for shard in self.shards()}
        return self._known[shard]

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"Kinesis stream {self.address.name}", self.address.endpoint)
