"""The buckets that all processes share, DynamoDB table `profile_limits`: `stores.amplitude.bucket`."""

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from stores import dynamodb
from stores.amplitude.bucket import Rate
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "profile_limits"
_TRIES: Final = 8
"""How often a token is tried for while other processes take theirs."""
_MICROSECONDS: Final = 1_000_000


class ProfileLimits:
    """The requests that organisations may make. The clocks of all processes have to agree.

    A bucket's number only grows, so what was seen last is enough to refuse without a request. Methods raise
    StoreError in one line.
    """

    def __init__(
        self, address: dynamodb.TablesAddress, per_minute: int, client: "DynamoDBClient | None" = None
    ) -> None:
        self.table = Table(address, TABLE, {"organisation": "S"}, client)
        self._rate, self._seen = Rate(per_minute), defaultdict[str, int](int)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def take(self, organisation: str, patience: float) -> float | None:
        """As `Quotas` says; None also where others were faster again and again."""
        for _ in range(_TRIES):
            now, full_at = time.time(), self._seen[organisation] / _MICROSECONDS
            wait = self._rate.wait(full_at, now)
            if wait > patience:
                return None
            if self._put(organisation, self._rate.taken(full_at, now)):
                return wait
        return None

    def pause(self, organisation: str, seconds: float) -> None:
        """As `Quotas` says."""
        until = time.time() + seconds
        for _ in range(_TRIES):
            if self._put(organisation, self._rate.paused(self._seen[organisation] / _MICROSECONDS, until)):
                return

    def _put(self, organisation: str, full_at: float) -> bool:
        """Write a bucket unless another process has; what is there then is seen."""
        item = dynamodb.as_item({"organisation": organisation, "full_at": int(full_at * _MICROSECONDS)})
        unchanged = "attribute_not_exists(organisation) OR full_at = :seen"
        done = self.table.put(item, unchanged, seen=self._seen[organisation])
        self._seen[organisation] = dynamodb.from_item(item if done.written else done.before)["full_at"]
        return done.written
