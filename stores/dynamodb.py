"""How this product reaches DynamoDB, and how plain values are written as attributes of items.

Clients are made where they are used (they do not travel to workers); the address that makes them does.
"""

import json
import logging
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from random import uniform
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config

from stores import aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger(__name__)

# of requests, and of a request's statements (BatchStatementError in the API reference)
_THROTTLING: Final = frozenset(
    {
        *("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"),
        *("ProvisionedThroughputExceeded", "ThrottlingError"),
    }
)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.025, 1.0  # seconds; the first is that of AWS' own SDKs for DynamoDB
_MORE_ATTEMPTS: Final = 8  # times as many as of a call that fails otherwise: 64 take half a minute

_TOLD_EVERY: Final = 60.0  # seconds
_MOST_KEYS: Final = 1_000  # that are remembered in between
_NAMES: Final = re.compile(r"""['"](\w+)['"](?:: |[<=>]+)\?""")  # of a statement's parameters: see `stores.table`

_TO_ITEM: Final = TypeSerializer()
_FROM_ITEM: Final = TypeDeserializer()

_T = TypeVar("_T")
_Response: TypeAlias = tuple[Any, Mapping[str, Any]] | None
"""HTTP's and the service's answer to an attempt, as the SDK's events have them."""


class TablesAddress(NamedTuple):
    """Where the tables are: region, endpoint (None on AWS) and the prefix of each table's name.

    `attempts` is how often a call is tried that fails; one that is throttled is tried eight times as often, with
    shorter pauses, see `pause`.
    """

    region: str
    endpoint: str | None
    table_prefix: str
    attempts: int = 8

    def table(self, name: str) -> str:
        """The full name of one of the product's tables."""
        return self.table_prefix + name

    def client(self) -> "DynamoDBClient":
        """A new client; thread-safe."""
        retries: Any = {"mode": "standard", "total_max_attempts": self.attempts}
        # bounded, so that a table that is away fails the checkpoint instead of hanging a worker for ever
        config = Config(connect_timeout=3, read_timeout=5, retries=retries, max_pool_connections=32)
        dynamodb: DynamoDBClient = aws.client("dynamodb", self.region, self.endpoint, config)
        # before the SDK's own answer, of which the first one counts
        again: Any = partial(_again, self.throttled_attempts)
        dynamodb.meta.events.register_first("needs-retry.dynamodb", again)
        return dynamodb

    @property
    def throttled_attempts(self) -> int:
        """How often a call is tried that DynamoDB throttles."""
        return self.attempts * _MORE_ATTEMPTS


class Throttles:
    """How many requests, or statements of a request, DynamoDB has put off: each attempt counts. Thread-safe.

    They are tried again by themselves, so nobody else learns of it until all attempts have failed. The log names
    the key that was put off most.
    """

    def __init__(self, client: "DynamoDBClient", table: str, key: str) -> None:
        """Watch the requests of a client; `key` is the attribute that says whose an item is."""
        self._table, self._key = table, key
        self._lock, self._count = Lock(), 0
        self._keys: Counter[str] = Counter()
        self._told = -_TOLD_EVERY
        client.meta.events.register("needs-retry.dynamodb", self._look)

    def take(self) -> int:
        """The count since this was called last."""
        with self._lock:
            count, self._count = self._count, 0
            due = self._keys and time.monotonic() - self._told >= _TOLD_EVERY
            keys, self._keys = (self._keys, Counter()) if due else (Counter(), self._keys)
        if due:
            self._told = time.monotonic()
            (key, most), *_ = keys.most_common(1)
            words = "%s throttles: of %d writes that it put off %d are of %r"
            log.warning(words, self._table, keys.total(), most, key)
        return count

    def _look(self, response: _Response, request_dict: Mapping[str, Any], **_: Any) -> None:
        if response is None:
            return
        _http, answer = response
        statements = answer.get("Responses", ())
        if isinstance(statements, dict):  # BatchGetItem has items there, by table
            statements = ()
        answers = [answer] if _throttled(answer) else statements
        throttled = [at for at, one in enumerate(answers) if _throttled(one)]
        if throttled:
            asked = _items(json.loads(request_dict["body"]))
            keys = [asked[at].get(self._key) for at in throttled] if len(asked) == len(answers) else []
            with self._lock:
                self._count += len(throttled)
                if len(self._keys) < _MOST_KEYS:
                    self._keys.update(str(*key.values()) for key in keys if key)


def _items(asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The attributes that a request writes, of each of its statements."""
    if "Statements" in asked:
        return [
            dict(zip(_NAMES.findall(one["Statement"]), one.get("Parameters", ()), strict=False))
            for one in asked["Statements"]
        ]
    return [asked.get("Item") or asked.get("Key") or {}]


def pause(attempts: int) -> float:
    """Seconds to wait after that many attempts that DynamoDB has throttled: at random, up to a second at most.

    A batch and with it every checkpoint wait for one hot key. The SDK's own pauses, up to 20 s, let all projects
    wait long after the key takes writes again.
    """
    return uniform(0, min(_FIRST_PAUSE * 2 ** min(attempts, 10), _LONGEST_PAUSE))  # noqa: S311  jitter


def _again(most: int, response: _Response, attempts: int, **_: Any) -> float | None:
    """The pause before a throttled call is tried again; None leaves the decision to the SDK."""
    return pause(attempts) if response and _throttled(response[1]) and attempts < most else None


def _throttled(answer: Mapping[str, Any]) -> bool:
    return answer.get("Error", {}).get("Code") in _THROTTLING


def now() -> str:
    """The present as items have it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


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
    """The values in their order, `size` at a time."""
    return [values[start : start + size] for start in range(0, len(values), size)]
