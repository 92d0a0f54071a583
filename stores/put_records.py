"""One PutRecords call, and what became of each record; whoever calls decides what is put again."""

import threading
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stores import aws
from stores.stream import StreamAddress

_THROTTLING: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "ThrottlingException",
        "KMSThrottlingException",
    }
)


class Outcome(StrEnum):
    """What became of a record."""

    TAKEN = "taken"
    THROTTLED = "throttled"
    AWAY = "away"
    """Kinesis did not answer, or failed"""


class PutRecords:
    """PutRecords of one stream, from several threads at a time."""

    def __init__(self, address: StreamAddress, threads: int) -> None:
        # a caller that waits for seconds decides itself what is put again, and when
        config = Config(
            connect_timeout=1,
            read_timeout=2,
            retries={"total_max_attempts": 1},
            max_pool_connections=threads,
            parameter_validation=False,
        )
        self._name, self._here = address.name, threading.local()
        self.client: Any = aws.client("kinesis", address.region, address.endpoint, config)
        self.client.meta.events.register("before-call.kinesis.PutRecords", self._written)

    def put(self, records: Sequence[tuple[str, bytes]]) -> tuple[list[Outcome], str]:
        """Put (partition key, data) pairs, at most 500 and 5 MiB; the outcome of each, and what Kinesis said."""
        entries = [{"PartitionKey": key, "Data": data} for key, data in records]
        self._here.body = msgspec.json.encode({"StreamName": self._name, "Records": entries})
        try:
            answer = self.client.put_records(StreamName=self._name, Records=[])
        except ClientError as error:
            return [_outcome(error.response["Error"]["Code"])] * len(records), " ".join(str(error).split())
        except BotoCoreError as error:
            return [Outcome.AWAY] * len(records), " ".join(str(error).split())
        codes = [one.get("ErrorCode") for one in answer["Records"]]
        said = next((one["ErrorMessage"] for one in answer["Records"] if one.get("ErrorCode")), "")
        return [_outcome(code) for code in codes], said

    def _written(self, params: dict[str, Any], **_: object) -> None:
        """Send what msgspec has written: the SDK's own JSON takes eight times as long, half of a long request."""
        params["body"] = self._here.body


def _outcome(code: str | None) -> Outcome:
    if not code:
        return Outcome.TAKEN
    return Outcome.THROTTLED if code in _THROTTLING else Outcome.AWAY
