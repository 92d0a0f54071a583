"""Profiles, DynamoDB table `profiles`: one user's properties, and the clocks that decide between updates of them.

An item is replaced only on the condition that its version is the one that was read, so no update is lost. What is
too large for one item is kept in parts, written before the head that names them: a reader of a head finds its
parts, or a newer head. Parts are named by their writer too, so two that write the same version do not mix.
"""

import json
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import StoreError
from stores.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "profiles"
LARGEST_TEXT: Final = 300_000  # bytes of both texts in one item, of the 400 KiB that it may have
LARGEST_PART: Final = 350_000
_LONGEST_ID: Final = 1000  # bytes of a user id in a key, of the 2048 that DynamoDB allows
_HEAD: Final = {"N": "0"}
_VERSION_BITS, _WRITER_BITS, _PART_BITS = 60, 50, 10  # a sort key has room for 126
_LONGEST_PART_KEY: Final = 126  # bits
_READ_AT_ONCE: Final = 100  # the most that BatchGetItem takes
_THREADS: Final = 16
_ATTEMPTS: Final = 8
_UNCHANGED: Final = "version = :known"


class Key(NamedTuple):
    """By which a user's profile is found."""

    project_id: int
    user_id: str


class StoredProfile(NamedTuple):
    """One user's profile as it was read; version 0 when there is none yet, with no properties."""

    project_id: int
    user_id: str
    version: int = 0
    properties: str = "{}"
    merge: str = ""
    amplitude_id: int | None = None
    device_id: str | None = None

    @property
    def key(self) -> Key:
        """By which the profile is found."""
        return Key(self.project_id, self.user_id)


class Profiles:
    """The table of profiles."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"profile": "S", "part": "N"}, client)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="profiles")

    def create(self) -> None:
        """Create the table unless it is there. Raises StoreError."""
        self.table.create()

    def users(self) -> Iterator[Key]:
        """All users who have a profile, by a scan: for small tables. Raises StoreError in the midst of it."""
        heads = self.table.scan(
            FilterExpression="part = :head",
            ExpressionAttributeValues={":head": _HEAD},
            ProjectionExpression="project_id, user_id",
        )
        for head in heads:
            yield Key(int(head["project_id"]["N"]), head["user_id"]["S"])

    def of_users(self, keys: Iterable[Key]) -> dict[Key, StoredProfile]:
        """The profiles of all these users as they are now. Raises StoreError when one could not be read."""
        wanted = {_partition(key): key for key in keys}
        names = list(wanted)
        found = self._pool.map(self._read_some, dynamodb.in_groups(names, _READ_AT_ONCE))
        heads = {head["profile"]["S"]: head for head in chain.from_iterable(found)}
        whole = self._pool.map(lambda name: self._whole(wanted[name], heads.get(name)), names)
        return {profile.key: profile for profile in whole}

    def write(
        self,
        profiles: Iterable[StoredProfile],
        watched: Callable[[Key], AbstractContextManager[Any]] = nullcontext,
    ) -> list[Key]:
        """Write each as the next version, and return when all are acknowledged: the users that were overtaken.

        A profile that needs requests of its own is written within the context that `watched` makes for its user.

        Of these nothing is written, because another version than the one given is there: read them again. One
        profile per user. Raises StoreError when one could not be written: what others became is not known then.
        """
        given = list(profiles)
        if len({profile.key for profile in given}) < len(given):
            msg = "two profiles of one user to be written at once"
            raise ValueError(msg)
        large = [profile for profile in given if _size(profile) > LARGEST_TEXT]
        heads = [(profile, _head(profile)) for profile in given if _size(profile) <= LARGEST_TEXT]
        left = self.table.refused(self._pool, heads, lambda pair: self._statement(*pair))

        def alone(write: Callable[..., Key | None], profile: StoredProfile, *head: Item) -> Key | None:
            with watched(profile.key):
                return write(profile, *head)

        single = self._pool.map(lambda pair: alone(self._write_one, *pair), left)
        spilled = self._pool.map(lambda profile: alone(self._write_large, profile), large)
        return [key for key in (*single, *spilled) if key is not None]

    def remove(self, key: Key) -> bool:
        """Take away a user's profile; whether there was one. Who has read it before cannot write it any more."""
        name = _partition(key)
        with self.table.explained():
            answer = self.table.client.delete_item(
                TableName=self.table.name, Key=_head_key(name), ReturnValues="ALL_OLD"
            )
        self._delete_parts(name, 1, 2**_LONGEST_PART_KEY - 1)
        return "Attributes" in answer

    def _statement(self, profile: StoredProfile, head: Item) -> Item:
        """The write of a head where no parts are."""
        if not profile.version:
            return self.table.insertion(head)
        # an attribute to be removed is left to the single put, which replaces the item
        missing = [name for name in ("parts", "amplitude_id", "device_id") if name not in head]
        conditions = (_UNCHANGED, *(f"attribute_not_exists({name})" for name in missing))
        return self.table.change(head, " AND ".join(conditions), known=profile.version)

    def _read_some(self, names: Sequence[str]) -> list[Item]:
        """The heads that are there of at most 100 profiles."""
        found: list[Item] = []
        asked: Any = {self.table.name: {"Keys": [_head_key(name) for name in names], "ConsistentRead": True}}
        fruitless = 0
        while asked:
            with self.table.explained():
                answer: Any = self.table.client.batch_get_item(RequestItems=asked)
            heads = answer["Responses"].get(self.table.name, [])
            found += heads
            asked = answer.get("UnprocessedKeys")
            fruitless = 0 if heads else fruitless + 1
            if asked and fruitless == self.table.address.throttled_attempts:
                msg = f"{self.table} answers too slowly: it is throttled, raise its read capacity"
                raise StoreError(msg)
            if asked:
                time.sleep(dynamodb.pause(fruitless))
        return found

    def _whole(self, key: Key, head: Item | None) -> StoredProfile:
        """The profile that a head begins, with the texts of its parts."""
        for _ in range(_ATTEMPTS):
            if head is None:
                return StoredProfile(*key)
            if "parts" not in head:
                return _stored(key, head, head["properties"]["S"], head["merge"]["S"])
            body = self._body(head)
            if body is not None:
                return _stored(key, head, *json.loads(zlib.decompress(body)))
            head, before = self.table.get(profile=_partition(key), part=0), head
            if head == before:
                msg = f"{self.table}: delete item {_partition(key)}, its parts are not there"
                raise StoreError(msg)
        msg = f"{self.table}: item {_partition(key)} changes faster than it can be read: try again"
        raise StoreError(msg)

    def _body(self, head: Item) -> bytes | None:
        """What a head's parts hold; None when they are not all there any more."""
        first, count = int(head["first_part"]["N"]), int(head["parts"]["N"])
        found = self._parts(head["profile"]["S"], first, first + count - 1, "body")
        return b"".join(item["body"]["B"] for item in found) if len(found) == count else None

    def _parts(self, name: str, first: int, last: int, attribute: str) -> list[Item]:
        found = self.table.query(
            KeyConditionExpression="profile = :profile AND part BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":profile": {"S": name},
                ":first": {"N": str(first)},
                ":last": {"N": str(last)},
            },
            ProjectionExpression=attribute,
        )
        return list(found)

    def _write_one(self, profile: StoredProfile, head: Item) -> Key | None:
        """Write one head and remove the parts of older ones; the user, when somebody else was faster."""
        condition = _UNCHANGED if profile.version else "attribute_not_exists(profile)"
        written, before = self.table.put(head, condition, known=profile.version)
        # an item that is this very write was acknowledged, and the answer lost on the way
        if not written and before != head:
            return profile.key
        if "parts" in before or "parts" in head:
            self._delete_parts(head["profile"]["S"], 1, (profile.version + 1 << _VERSION_BITS) - 1)
        return None

    def _write_large(self, profile: StoredProfile) -> Key | None:
        """Write a profile that needs parts; the user, when somebody else was faster."""
        body = zlib.compress(json.dumps([profile.properties, profile.merge], ensure_ascii=False).encode())
        pieces = [body[start : start + LARGEST_PART] for start in range(0, len(body), LARGEST_PART)]
        first = (profile.version + 1 << _VERSION_BITS) + (secrets.randbits(_WRITER_BITS) << _PART_BITS) + 1
        name = _partition(profile.key)
        for number, piece in enumerate(pieces, first):
            part: Any = {"profile": {"S": name}, "part": {"N": str(number)}, "body": {"B": piece}}
            with self.table.explained():
                self.table.client.put_item(TableName=self.table.name, Item=part)
        named = {"parts": {"N": str(len(pieces))}, "first_part": {"N": str(first)}}
        overtaken = self._write_one(profile, _head(profile, named))
        if overtaken:
            self._delete_parts(name, first, first + len(pieces) - 1)
        return overtaken

    def _delete_parts(self, name: str, first: int, last: int) -> None:
        for part in self._parts(name, first, last, "part"):
            with self.table.explained():
                key = {"profile": {"S": name}, "part": part["part"]}
                self.table.client.delete_item(TableName=self.table.name, Key=key)


def _partition(key: Key) -> str:
    project_id, user_id = key
    encoded = user_id.encode()
    if len(encoded) > _LONGEST_ID:
        return f"{project_id}#{sha256(encoded).hexdigest()}"
    return f"{project_id}:{user_id}"


def _head_key(name: str) -> Item:
    return {"profile": {"S": name}, "part": _HEAD}


def _size(profile: StoredProfile) -> int:
    return len(profile.properties.encode()) + len(profile.merge.encode())


def _head(profile: StoredProfile, parts: Item | None = None) -> Item:
    """A profile's head as its next version, with its texts or the parts that have them."""
    texts = {"properties": {"S": profile.properties}, "merge": {"S": profile.merge}}
    amplitude_id = {} if profile.amplitude_id is None else {"amplitude_id": {"N": str(profile.amplitude_id)}}
    device_id = {} if profile.device_id is None else {"device_id": {"S": profile.device_id}}
    return {
        **_head_key(_partition(profile.key)),
        "project_id": {"N": str(profile.project_id)},
        "user_id": {"S": profile.user_id},
        "version": {"N": str(profile.version + 1)},
        **(texts if parts is None else parts),
        **amplitude_id,
        **device_id,
        "updated_at": {"S": dynamodb.now()},
    }


def _stored(key: Key, head: Item, properties: str, merge: str) -> StoredProfile:
    amplitude_id = int(head["amplitude_id"]["N"]) if "amplitude_id" in head else None
    device_id = head["device_id"]["S"] if "device_id" in head else None
    return StoredProfile(*key, int(head["version"]["N"]), properties, merge, amplitude_id, device_id)
