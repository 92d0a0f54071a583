"""Access keys, DynamoDB table `access_keys`: who may send to the HTTP intake, and for which project.

A key is `ntfy_`, a prefix by which its item is found, `_` and a secret of 256 random bits. The table holds the
SHA-256 of the secret: random bits cannot be guessed, so the hash needs neither salt nor slowness.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import MissingError, StoreError
from stores.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "access_keys"
_KEY: Final = re.compile(r"ntfy_([0-9a-f]{12})_([0-9a-f]{64})")
_NEW, _SEEN = "attribute_not_exists(prefix)", "version = :seen"
_KNOWN_SECONDS: Final = 15.0
_MOST_KNOWN: Final = 10_000


class Scope(StrEnum):
    """What a key may send."""

    EVENTS = "events"
    COHORTS = "cohorts"


class State(StrEnum):
    """Whether a key opens, or why not."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class AccessKey(NamedTuple):
    """A key as the table has it. Times are ISO 8601, UTC; who did something is user, machine and process."""

    prefix: str
    project_id: int
    scopes: tuple[str, ...]
    secret_sha256: str
    created_at: str
    created_by: str
    name: str | None = None
    """what people call it"""
    app_ids: tuple[str, ...] = ()
    """the apps that a request may name; none: any"""
    expires_at: str | None = None
    revoked_at: str | None = None
    revoked_by: str | None = None
    replaced_by: str | None = None
    """the prefix of the key that takes its place"""
    version: int = 1
    """changes so far; a change is made only to the version that was read"""

    def __repr__(self) -> str:
        """Which one it is, without its hash."""
        return f"<access key {self.prefix} of project {self.project_id}>"

    def is_opened_by(self, secret: str) -> bool:
        """Whether this is its secret; takes the same time whatever the secret."""
        return hmac.compare_digest(_hash(secret), self.secret_sha256)

    def state(self, now: datetime) -> State:
        """Whether it may be used then, an aware time."""
        if self.revoked_at:
            return State.REVOKED
        expired = self.expires_at and datetime.fromisoformat(self.expires_at) <= now
        return State.EXPIRED if expired else State.ACTIVE


class Given(NamedTuple):
    """A key as its owner has it."""

    prefix: str
    secret: str

    def __repr__(self) -> str:
        """Which one it is, without its secret."""
        return f"<access key {self.prefix}>"

    @property
    def text(self) -> str:
        """The whole key: a secret."""
        return f"ntfy_{self.prefix}_{self.secret}"


def given(text: str) -> Given | None:
    """The key that a sender shows; None when it has not the form of one."""
    found = _KEY.fullmatch(text)
    return Given(*found.groups()) if found else None


class AccessKeys:
    """The table of access keys. Methods raise StoreError in one line that says what to do."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"prefix": "S"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def add(  # noqa: PLR0913  what a key consists of
        self,
        project_id: int,
        scopes: Sequence[str],
        by: str,
        *,
        lasts: timedelta | None = None,
        name: str | None = None,
        app_ids: Sequence[str] = (),
    ) -> Given:
        """Make a key that `lasts` so long, for ever if None. Only what this returns has the secret."""
        key = _generated()
        now = datetime.now(UTC)
        end = None if lasts is None else _iso(now + lasts)
        made = AccessKey(
            key.prefix, project_id, tuple(scopes), _hash(key.secret), _iso(now), by, name, tuple(app_ids), end
        )
        if not self.table.put(_item(made), _NEW).written:
            msg = f"access key {key.prefix} is there already: create another one"
            raise StoreError(msg)
        return key

    def find(self, prefix: str) -> AccessKey | None:
        """The key of this prefix, whatever its state; None when there is none."""
        found = self.table.get(prefix=prefix)
        return _key(found) if found else None

    def list(self, project_id: int | None = None) -> "list[AccessKey]":
        """All keys, or those of a project, the oldest first; none where there is no table yet."""
        try:
            found = [*map(_key, self.table.scan())]
        except MissingError:
            return []
        wanted = (one for one in found if project_id in {None, one.project_id})
        return sorted(wanted, key=lambda one: (one.project_id, one.created_at, one.prefix))

    def revoke(self, project_id: int, prefix: str, by: str) -> None:
        """Let a project's key open nothing any more. Refused when there is none, or when that was done before."""
        key = self._of(project_id, prefix)
        if key.revoked_at:
            msg = (
                f"access key {prefix} was revoked at {key.revoked_at} by {key.revoked_by}: there is nothing to do"
            )
            raise StoreError(msg)
        self._change(key._replace(revoked_at=_iso(datetime.now(UTC)), revoked_by=by))

    def rotate(self, project_id: int, prefix: str, by: str, overlap: timedelta) -> Given:
        """Make a key that may do the same and lasts as long; the old one opens for the overlap only.

        Both are written at once: a key that nobody has seen is never left behind. Refused unless the old one is
        active and has no such successor yet.
        """
        old, now = self._of(project_id, prefix), datetime.now(UTC)
        state = old.state(now)
        if state is not State.ACTIVE or old.replaced_by:
            is_so = f"replaced by {old.replaced_by} already" if old.replaced_by else state
            msg = f"access key {prefix} is {is_so}: create one that takes its place"
            raise StoreError(msg)
        key, end = _generated(), _iso(now + overlap)
        ended = old._replace(replaced_by=key.prefix, expires_at=min(old.expires_at or end, end))
        new = old._replace(
            prefix=key.prefix,
            secret_sha256=_hash(key.secret),
            created_at=_iso(now),
            created_by=by,
            expires_at=_as_long(old, now),
            version=1,
        )
        self._replace(old, ended, new)
        return key

    def _replace(self, old: AccessKey, ended: AccessKey, new: AccessKey) -> None:
        """Write the end of a key and its successor; neither, if the key is not as it was read."""
        version = {":seen": {"N": str(old.version)}}
        changes: Any = [
            {
                "Put": {
                    "TableName": self.table.name,
                    "Item": _item(ended._replace(version=old.version + 1)),
                    "ConditionExpression": _SEEN,
                    "ExpressionAttributeValues": version,
                }
            },
            {"Put": {"TableName": self.table.name, "Item": _item(new), "ConditionExpression": _NEW}},
        ]
        with self.table.explained():
            try:
                self.table.client.transact_write_items(TransactItems=changes)
            except self.table.client.exceptions.TransactionCanceledException as error:
                codes = {reason["Code"] for reason in error.response["CancellationReasons"]}
                if not codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                    raise
                raise _changed(old.prefix) from None

    def _of(self, project_id: int, prefix: str) -> AccessKey:
        key = self.find(prefix)
        if key is None or key.project_id != project_id:
            msg = f"project {project_id} has no access key {prefix}: `keys list {project_id}` shows those it has"
            raise StoreError(msg)
        return key

    def _change(self, key: AccessKey) -> None:
        changed = _item(key._replace(version=key.version + 1))
        if not self.table.put(changed, _SEEN, seen=key.version).written:
            raise _changed(key.prefix)


class KnownKeys:
    """Keys by prefix as they were at most 15 s ago, so that a request need not wait for the table. Thread-safe.

    A revoked key opens as long. Prefixes that nobody has are remembered too.
    """

    def __init__(self, find: Callable[[str], AccessKey | None], now: Callable[[], float] = time.monotonic) -> None:
        self._find, self._now, self._lock = find, now, Lock()
        self._known: dict[str, tuple[float, AccessKey | None]] = {}

    def fresh(self, prefix: str) -> tuple[AccessKey | None] | None:
        """What is known of a prefix, without a wait; None when `find` must be asked."""
        at, key = self._known.get(prefix, (None, None))
        return (key,) if at is not None and self._now() - at < _KNOWN_SECONDS else None

    def find(self, prefix: str) -> AccessKey | None:
        """The key of this prefix, None when there is none. Raises what the table's `find` raises."""
        if known := self.fresh(prefix):
            return known[0]
        at, key = self._now(), self._find(prefix)
        with self._lock:
            self._known.pop(prefix, None)
            self._known[prefix] = at, key
            if len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return key


def _generated() -> Given:
    return Given(secrets.token_hex(6), secrets.token_hex(32))


def _as_long(old: AccessKey, now: datetime) -> str | None:
    """When a key ends that is made now and lasts as long."""
    born, dies = (at and datetime.fromisoformat(at) for at in (old.created_at, old.expires_at))
    return _iso(now + (dies - born)) if born and dies else None


def _changed(prefix: str) -> StoreError:
    return StoreError(f"access key {prefix} has changed meanwhile: look at `keys list`, then repeat this")


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _item(key: AccessKey) -> Item:
    return dynamodb.as_item(key._asdict())


def _key(item: Item) -> AccessKey:
    values: dict[str, Any] = dynamodb.from_item(item)
    return AccessKey(**values)
