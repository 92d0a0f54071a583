"""The leases, DynamoDB table `leases`: which job of a kind holds the tables, and which process maintains them.

Two ingest jobs would store each event twice and overwrite each other's totals, two export jobs send each twice. A
job's workers renew its lease. All times in it are DynamoDB's, so no two machines' clocks are compared.
"""

import os
import socket
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from stores import aws, dynamodb
from stores.errors import StoreError
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "leases"
INGEST: Final = "ingest"
EXPORT: Final = "export"
MAINTAIN: Final = "maintain"
REDELIVER: Final = "redeliver"


class Lease(NamedTuple):
    """A job's claim on the tables, or that of a process which maintains them."""

    job_id: str
    """Flink's; of a process its own name"""
    stream: str
    """the one that the job reads"""
    valid_seconds: int
    """how long the lease holds without being renewed"""
    renewed_at: str = ""
    """ISO 8601, UTC"""

    def idle(self, now: datetime) -> timedelta:
        """How long ago the job was seen."""
        return now - datetime.fromisoformat(self.renewed_at)

    def left(self, now: datetime) -> timedelta:
        """How long the lease still holds; negative when it has run out."""
        return timedelta(seconds=self.valid_seconds) - self.idle(now)


class LeaseLostError(StoreError):
    """Another job holds the lease: the job that had it must not write any more."""


class Leases:
    """One lease and its table. Methods raise StoreError in one line when it cannot be used."""

    def __init__(
        self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None, name: str = INGEST
    ) -> None:
        self.table = Table(address, TABLE, {"lease": "S"}, client)
        self.name, self._key = name, {"lease": {"S": name}}

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def current(self) -> tuple[Lease | None, datetime]:
        """The lease, None while nobody holds it, and what DynamoDB takes for the present."""
        with self.table.explained():
            found = self.table.client.get_item(TableName=self.table.name, Key=self._key, ConsistentRead=True)
        item = dynamodb.from_item(found.get("Item", {}))
        return Lease(**{name: item[name] for name in Lease._fields}) if item else None, aws.date(found)

    def take(self, lease: Lease, before: Lease | None) -> bool:
        """Take the lease unless it has changed since `before` was read; returns whether it was taken."""
        if before is None:
            return self._put(lease, "attribute_not_exists(job_id)")
        unchanged = "job_id = :holder AND renewed_at = :seen"
        return self._put(lease, unchanged, holder=before.job_id, seen=before.renewed_at)

    def renew(self, lease: Lease) -> None:
        """Renew the job's lease. Raises LeaseLostError when another one holds the lease."""
        if not self._put(lease, "attribute_not_exists(job_id) OR job_id = :job_id"):
            held, _ = self.current()
            other = f"job {held.job_id}, which reads stream {held.stream}" if held else "another job"
            msg = (
                f"job {lease.job_id} has lost its lease on these tables to {other}, and writes no more: "
                f'cancel it (docs/operations.md, "Another ingest job")'
            )
            raise LeaseLostError(msg)

    def release(self, job_id: str) -> None:
        """Give the lease up, if this job holds it."""
        not_mine = suppress(self.table.client.exceptions.ConditionalCheckFailedException)
        with self.table.explained(), not_mine:
            self.table.client.delete_item(
                TableName=self.table.name,
                Key=self._key,
                ConditionExpression="job_id = :job_id",
                ExpressionAttributeValues={":job_id": {"S": job_id}},
            )

    def _put(self, lease: Lease, condition: str, **given: str) -> bool:
        _, now = self.current()
        dated = lease._replace(renewed_at=now.isoformat())
        return self.table.put(self._key | dynamodb.as_item(dated._asdict()), condition, **given).written


def killed(holder: Lease) -> bool:
    """Whether the holder was a process of this machine that is no more: its lease need not run out first."""
    host, _, pid = holder.job_id.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
