"""Cohorts, DynamoDB tables `cohorts` and `cohort_members`: the project that a cohort belongs to, and its members.

Amplitude's cohort messages name no project, so a cohort id is registered for one. A user who has left keeps an
item that says so: its clock must stay, or an older message that comes later would bring the user back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.errors import StoreError
from stores.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "cohorts"
MEMBERS_TABLE: Final = "cohort_members"
EVERYBODY: Final = ""
"""In place of a user id: whoever was in the cohort until then has left."""
_LONGEST_ID: Final = 1000  # bytes of a user id in a sort key, of the 1024 that DynamoDB allows
_THREADS: Final = 16
_FAR_AHEAD: Final = 2 * 86_400
"""Seconds: a message's time is at most a day ahead of its arrival, and clocks differ."""


class Cohort(NamedTuple):
    """A registered cohort: the project that it belongs to, and its name when a message has told it."""

    cohort_id: str
    project_id: int
    name: str | None = None


class Member(NamedTuple):
    """Whether a user was in a cohort when Amplitude computed it: `computed_time` in microseconds since 1970."""

    project_id: int
    cohort_id: str
    user_id: str
    in_cohort: bool
    computed_time: int


class Cohorts:
    """The table of cohorts. Methods raise StoreError in one line that says what to do."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"cohort_id": "S"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def add(self, cohort_id: str, project_id: int) -> None:
        """Register a cohort for a project. Refused when it is registered, for whatever project."""
        item = {"cohort_id": cohort_id, "project_id": project_id, "registered_at": dynamodb.now()}
        written, before = self.table.put(dynamodb.as_item(item), "attribute_not_exists(cohort_id)")
        if written:
            return
        owner = _cohort(before).project_id
        known = f"cohort {cohort_id} is registered for project {owner} already"
        msg = (
            f"{known}: there is nothing to do"
            if owner == project_id
            else f"{known}: its messages name no project, so it cannot be told apart; give project "
            f"{project_id} a cohort of its own"
        )
        raise StoreError(msg)

    def get(self, cohort_id: str) -> Cohort:
        """One registered cohort. Refused when there is none."""
        found = self.table.get(cohort_id=cohort_id)
        if found is None:
            msg = f"cohort {cohort_id} is not registered: cohorts add registers it"
            raise StoreError(msg)
        return _cohort(found)

    def list(self) -> "list[Cohort]":
        """All registered cohorts by id."""
        return sorted(map(_cohort, self.table.scan()))

    def rename(self, cohort_id: str, project_id: int, name: str, computed_time: int) -> None:
        """Keep the name that a message gives, in microseconds since 1970; ignored unless it is the newest's.

        Ignored too when the cohort is not registered for this project.
        """
        item = {"cohort_id": {"S": cohort_id}, "name": {"S": name}, "named_at": _seconds(computed_time)}
        condition = f"project_id = :project AND ({_newest('named_at')})"
        self.table.update(item, condition, ahead=_ahead(), project=project_id)


class CohortMembers:
    """The table of members, those who have left included.

    A member whose id is `EVERYBODY` says when the cohort was last reset: who has entered before has left.
    """

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, MEMBERS_TABLE, {"cohort": "S", "member": "S"}, client)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="cohort-members")
        self._new = True  # whether most who entered last were new

    def create(self) -> None:
        """Create the table unless it is there. Raises StoreError."""
        self.table.create()

    def write(self, members: Iterable[Member]) -> int:
        """Write each user's newest computation, of entering or of leaving, and return when all are acknowledged.

        At a tie a user has left: the safer error is not to message somebody. Returns of how many users two
        messages of the same time, both newest, said the opposite. Raises StoreError when one could not be written.
        """
        newest: dict[tuple[int, str, str], Member] = {}
        tied: set[tuple[int, str, str]] = set()
        for member in members:
            key = _key(member)
            known = newest.get(key)
            if known is None or member.computed_time > known.computed_time:
                newest[key] = member
                tied.discard(key)
            elif member.computed_time == known.computed_time and member.in_cohort != known.in_cohort:
                newest[key] = known._replace(in_cohort=False)
                tied.add(key)
        entering = [member for member in newest.values() if member.in_cohort]
        leaving = [member for member in newest.values() if not member.in_cohort]
        left = [*self._entered(entering), *self.table.refused(self._pool, leaving, self._update)]
        met = zip(left, self._pool.map(self._write, left), strict=True)
        return len(tied | {_key(member) for member, tie in met if tie})

    def members(self, project_id: int, cohort_id: str, limit: int | None = None) -> Iterator[Member]:
        """The members of a cohort by user id, no more than `limit`. Raises StoreError while it is gone through."""
        found = self.table.query(**self._in_cohort(project_id, cohort_id))
        for item in islice(found, limit):
            yield Member(project_id, cohort_id, item["user_id"]["S"], True, _microseconds(item))

    def count(self, project_id: int, cohort_id: str) -> int:
        """The number of a cohort's members. Raises StoreError."""
        return self.table.count(**self._in_cohort(project_id, cohort_id))

    def _in_cohort(self, project_id: int, cohort_id: str) -> dict[str, Any]:
        """The query for a cohort's members: who is in it, and has entered since it was last reset."""
        reset = self.table.get(cohort=f"{project_id}:{cohort_id}", member=_sort_key(EVERYBODY))
        return {
            "KeyConditionExpression": "cohort = :cohort",
            "FilterExpression": "in_cohort = :in AND computed_time > :since",
            "ExpressionAttributeValues": {
                ":cohort": {"S": f"{project_id}:{cohort_id}"},
                ":in": {"BOOL": True},
                ":since": reset["computed_time"] if reset else {"N": "-1"},
            },
        }

    def remove(self, project_id: int, cohort_id: str, user_id: str) -> bool:
        """Take away what is known of a user in a cohort, its clock too; whether there was something."""
        with self.table.explained():
            answer = self.table.client.delete_item(
                TableName=self.table.name, Key=_place(project_id, cohort_id, user_id), ReturnValues="ALL_OLD"
            )
        return "Attributes" in answer

    def knows(self, project_id: int, cohort_id: str, user_id: str) -> bool:
        """Whether a user is in a cohort, or has left it."""
        return self.table.get(cohort=f"{project_id}:{cohort_id}", member=_sort_key(user_id)) is not None

    def of_user(self, project_id: int, user_id: str, cohort_ids: Iterable[str]) -> Iterator[Member]:
        """What each of these cohorts knows of a user, in their order; nothing where it knows nothing.

        Who has entered before the cohort was last reset has left. Raises StoreError while it is gone through.
        """
        for cohort_id in cohort_ids:
            name = f"{project_id}:{cohort_id}"
            if item := self.table.get(cohort=name, member=_sort_key(user_id)):
                reset = self.table.get(cohort=name, member=_sort_key(EVERYBODY))
                at, since = (_microseconds(one) if one else -1 for one in (item, reset))
                yield Member(project_id, cohort_id, user_id, item["in_cohort"]["BOOL"] and at > since, at)

    def _entered(self, members: Sequence[Member]) -> list[Member]:
        """Write users who enter; returns the refused. A first sync is all new members, a later one hardly any."""
        first, second = self._insert, self._update
        if not self._new:
            first, second = second, first
        refused = self.table.refused(self._pool, members, first)
        if 2 * len(refused) > len(members):
            self._new = not self._new  # the next batch will be like this one
        return self.table.refused(self._pool, refused, second)

    def _insert(self, member: Member) -> Item:
        """Writes a member whom the table does not know yet."""
        return self.table.insertion(_item(member))

    def _update(self, member: Member) -> Item:
        """Writes over an older computation. What is not older is left to `_write`, which tells ties."""
        item = _item(member)
        del item["user_id"]  # as it is
        return self.table.change(item, _older("computed_time"))

    def _write(self, member: Member) -> bool:
        """Write one unless a newer one is there; whether one of the same time was there that says the opposite."""
        item, condition, given = _item(member), _newest("computed_time"), {"ahead": _ahead()}
        if not member.in_cohort:
            condition += " OR (computed_time = :computed_time AND in_cohort = :in)"
            given["in"] = True
        _, before = self.table.put(item, condition, **given)
        return bool(before) and (
            Decimal(before["computed_time"]["N"]) == Decimal(item["computed_time"]["N"])
            and before["in_cohort"]["BOOL"] != member.in_cohort
        )


def _older(attribute: str) -> str:
    """The condition that an earlier message is there: `attribute` is the time of the newest one so far."""
    return f"{attribute} < :{attribute}"


def _newest(attribute: str) -> str:
    """The condition that no later message is there, but for times that no message can have, from `:ahead` on."""
    return f"attribute_not_exists({attribute}) OR {_older(attribute)} OR {attribute} > :ahead"


def _key(member: Member) -> tuple[int, str, str]:
    return member.project_id, member.cohort_id, member.user_id


def _cohort(item: Mapping[str, Any]) -> Cohort:
    name = item["name"]["S"] if "name" in item else None
    return Cohort(item["cohort_id"]["S"], int(item["project_id"]["N"]), name)


def _place(project_id: int, cohort_id: str, user_id: str) -> Item:
    return {"cohort": {"S": f"{project_id}:{cohort_id}"}, "member": {"S": _sort_key(user_id)}}


def _item(member: Member) -> Item:
    return {
        **_place(member.project_id, member.cohort_id, member.user_id),
        "user_id": {"S": member.user_id},
        "in_cohort": {"BOOL": member.in_cohort},
        "computed_time": _seconds(member.computed_time),
        "updated_at": {"S": dynamodb.now()},
    }


def _sort_key(user_id: str) -> str:
    """A user id as a sort key; empty, too long or behind a #, as # and its hash: no two are equal."""
    encoded = user_id.encode()
    if not 0 < len(encoded) <= _LONGEST_ID or user_id.startswith("#"):
        return f"#{sha256(encoded).hexdigest()}"
    return user_id


def _ahead() -> int:
    """The first time that no message of today can have; older versions stored what a message said."""
    return round(time()) + _FAR_AHEAD


def _microseconds(item: Mapping[str, Any]) -> int:
    """When a member was computed; the inverse of `_seconds`."""
    return int(Decimal(item["computed_time"]["N"]).scaleb(6))


def _seconds(microseconds: int) -> dict[str, str]:
    return {"N": format(Decimal(microseconds).scaleb(-6), "f")}
