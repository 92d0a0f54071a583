"""Amplitude's list-based cohort sync, as the tile "Notifly (Cohort Sync)" makes its calls (docs/intake.md).

Amplitude creates a list for each new destination of a cohort, then adds all users, then what has changed. Here a
list is its cohort since the moment at which it was created: whoever was in the cohort before has left. That moment
is part of the list's id, so that no add can count as older, whatever the clock of the machine that takes it.

Pure: the bytes of a call in, cohort messages of the job out (docs/amplitude.md §3.1). Amplitude shows its customer
why a call failed, so each IntakeError is a sentence for that person.
"""

import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from ops.intake.body import BodyError, decoded
from ops.intake.errors import IntakeError
from udfs import clock
from udfs.intake import Header

MOST_USERS: Final = 10_000
"""Of a call: the batch that Amplitude advises, and its default."""
BODY_BYTES: Final = 4 * 2**20
"""Of a call: 10 000 ids of 400 bytes."""
MESSAGE_BYTES: Final = 500_000
"""Of a cohort message: a call becomes several, which a slow cohort holds up no longer than small ones."""
_LIST: Final = re.compile(r"([\w-]{1,100})\.([0-9]{16})", re.ASCII)


class Credentials(msgspec.Struct):
    """What a tile may send in the body in place of a header. `project_id` must be the key's if it is there."""

    access_key: str = ""
    secret_key: str = ""
    project_id: str | int | None = None


class _New(Credentials):
    cohort_id: str = ""
    cohort_name: str | None = None


class _Users(Credentials):
    users: list[Raw] | None = None
    userIds: list[Raw] | None = None  # noqa: N815  as Amplitude's page has it
    cohort_name: str | None = None


class CohortList(NamedTuple):
    """A list: the users of a cohort since a moment, in microseconds since 1970."""

    cohort_id: str
    since: int

    def __str__(self) -> str:
        """Its id."""
        return f"{self.cohort_id}.{self.since:016}"


def access_key(authorization: str, body: bytes) -> str:
    """The access key of a call, empty when it has none.

    It is one text, or two of which the second is the secret: what a header of `Basic` joins by a colon, and
    `access_key` and `secret_key` in the body.
    """
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return _joined(*b64decode(value).decode().split(":", 1))
        except ValueError:
            return ""
    try:
        found = decoded(body, Credentials)
    except BodyError:
        return ""
    return _joined(found.access_key, found.secret_key)


def create(body: bytes, header: Header) -> tuple[CohortList, bytes]:
    """A new list of a cohort, and the message by which whoever was in the cohort has left."""
    new = _read(body, _New, header)
    if not re.fullmatch(r"[\w-]{1,100}", new.cohort_id, re.ASCII):
        message = "Give cohort_id: the id of the cohort in Amplitude, of at most 100 letters, digits, _ and -."
        raise IntakeError(400, "cohort_id_invalid", message, "cohort_id")
    made = CohortList(new.cohort_id, clock.microseconds(header.received_at))
    head = _head(made, new.cohort_name, header, made.since, False)
    return made, _message(head | {"reset": True}, [], header, 0)


def change(list_id: str, body: bytes, header: Header, in_cohort: bool) -> list[bytes]:
    """The messages by which users enter a list or leave it, in their order."""
    found = _LIST.fullmatch(list_id)
    if not found:
        message = f"There is no list {list_id[:120]!r}: use the listId that creating a list has answered."
        raise IntakeError(404, "list_unknown", message, "listId")
    asked = _read(body, _Users, header)
    users = asked.userIds if asked.users is None else asked.users
    if users is None:
        message = "Give users: an array of user ids."
        raise IntakeError(400, "users_missing", message, "users")
    if len(users) > MOST_USERS:
        message = f"The call has {len(users):,} users: set the batch size of the destination to {MOST_USERS:,}."
        raise IntakeError(413, "too_many_users", message, "users")
    made = CohortList(found[1], int(found[2]))
    computed = max(clock.microseconds(header.received_at), made.since + 1)
    head = _head(made, asked.cohort_name, header, computed, in_cohort)
    groups = _groups([_entry(user) for user in users])
    return [_message(head, group, header, number) for number, group in enumerate(groups)]


def _joined(key: str, secret: str = "") -> str:
    return f"{key}_{secret}" if secret else key


def _read(body: bytes, kind: type[Any], header: Header) -> Any:
    try:
        found = decoded(body, kind)
    except BodyError as error:
        message = f"The body is not the JSON object that is expected here: {error}."
        raise IntakeError(400, "body_invalid", message) from None
    if found.project_id is not None and str(found.project_id) != str(header.project_id):
        message = f"The access key is one of project {header.project_id}, not of {str(found.project_id)[:40]!r}."
        raise IntakeError(403, "project_mismatch", message, "project_id")
    return found


def _head(
    of: CohortList, name: str | None, header: Header, computed_time: int, in_cohort: bool
) -> dict[str, object]:
    return {
        "cohort_id": of.cohort_id,
        "cohort_name": name,
        "in_cohort": in_cohort,
        "computed_time": computed_time,
        "list_id": str(of),
    }


def _entry(user: Raw) -> bytes:
    """A user as a cohort message has it; what is no id is put too, and the job says that it names nobody."""
    spelled = bytes(user)
    return spelled if spelled.startswith(b"{") else b'{"user_id":%b}' % spelled


def _groups(entries: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The entries in their order, as many together as a message takes."""
    group: list[bytes] = []
    size = 0
    for number, entry in enumerate(entries):
        if len(entry) > MESSAGE_BYTES:
            message = f"users[{number}] has {len(entry):,} bytes: a user may have {MESSAGE_BYTES:,}."
            raise IntakeError(413, "user_too_large", message, "users")
        if group and size + len(entry) > MESSAGE_BYTES:
            yield group
            group, size = [], 0
        group.append(entry)
        size += len(entry)
    if group:
        yield group


def _message(head: dict[str, object], entries: Sequence[bytes], header: Header, number: int) -> bytes:
    """A cohort message with an id of its own.

    By the request, not by its content: a user who leaves and comes back is in two equal calls. A call that is made
    again has a time of its own then, and says the same of its users.
    """
    users = Raw(b"[%b]" % b",".join(entries))
    digest = blake2b(msgspec.json.encode((header.request_id, number, head, users)), digest_size=16).hexdigest()
    return msgspec.json.format(msgspec.json.encode(head | {"message_id": digest, "users": users}), indent=-1)
