"""Braze's `/users/track` and its bulk and synchronous forms, for back ends that move from Braze to Notifly.

Pure: the bytes of a request in, the records for the stream and the answer out. Limits, words and statuses are
those of Braze's pages, and of answers that public tests have recorded (docs/intake.md).
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw

from ops.intake import braze_objects
from ops.intake.body import BodyError, decoded
from ops.intake.braze_objects import InvalidError, Read
from udfs import classify, lists, text

ARRAYS: Final[dict[str, Callable[[Raw, Collection[str]], Read]]] = {
    "attributes": braze_objects.attributes,
    "events": braze_objects.event,
    "purchases": braze_objects.purchase,
}
"""The arrays of a request, in the order in which Braze processes them."""
RECORD_BYTES: Final = 900_000
"""The longest record that an object may become: a stream takes 1 MiB by default, with the envelope around it."""
_NOTHING_VALID: Final = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
_TOO_MANY: Final = "Max Input Length Exceeded"
_sorted: Final = msgspec.json.Encoder(order="sorted").encode


class Limits(NamedTuple):
    """How many objects a request may hold: in one array, in all of them, and of one user."""

    array: int
    request: int
    user: int


TRACK: Final = Limits(75, 3 * 75, 3 * 75)
BULK: Final = Limits(1_000, 1_000, 100)
SYNC: Final = Limits(1, 1, 1)


class Sender(NamedTuple):
    """Whose request it is: the project and the app ids of its key, and the `Request-Id` of all its tries."""

    project_id: int
    app_ids: Collection[str]
    """those that an object may name; none: any"""
    request_id: str


class Outcome(NamedTuple):
    """What a request comes to: its status and answer, and what must be on the stream before that is given."""

    status: int
    answer: dict[str, Any]
    records: Sequence[bytes] = ()
    user: bytes = b""
    """whom all records are about, if that is one"""


class _Request(msgspec.Struct):
    attributes: Raw = Raw(b"null")
    events: Raw = Raw(b"null")
    purchases: Raw = Raw(b"null")
    api_key: Raw = Raw(b"null")


class _Taken(NamedTuple):
    array: str
    who: dict[str, Any]
    record: bytes


def api_key(body: bytes) -> str | None:
    """The key in the body, where Braze had it before it was a header; None when there is none."""
    try:
        return decoded(bytes(_request(body).api_key), str)
    except (BodyError, InvalidError):
        return None


def refusal(status: int, message: str) -> Outcome:
    """A fatal error as Braze spells it: nothing of the request is taken."""
    return Outcome(status, {"message": message, "errors": []})


def track(body: bytes, sender: Sender, limits: Limits = TRACK) -> Outcome:
    """What a request comes to. Each of its objects becomes a record, or is named in `errors` of the answer."""
    try:
        arrays = _arrays(body)
    except InvalidError as error:
        return refusal(400, str(error))
    lengths = [len(objects) for objects in arrays.values()]
    if max(lengths, default=0) > limits.array or sum(lengths) > limits.request:
        return refusal(400, _TOO_MANY)
    taken, errors = _taken(arrays, sender)
    users = Counter(_spelled(one.who) for one in taken)
    if max(users.values(), default=0) > limits.user:
        return refusal(400, _TOO_MANY)
    if not taken:
        return Outcome(400, {"message": _NOTHING_VALID, "errors": errors})
    answer: dict[str, Any] = {"message": "success"}
    if limits is SYNC:
        answer["users"] = [one.who for one in taken]
    else:
        processed = Counter(one.array for one in taken)
        answer |= {f"{array}_processed": processed[array] for array in arrays if processed[array]}
    answer |= {"errors": errors} if errors else {}
    return Outcome(201, answer, [one.record for one in taken], next(iter(users)) if len(users) == 1 else b"")


def _spelled(who: dict[str, Any]) -> bytes:
    """Whom an object is about: the id itself where it is the user id of Amplitude's events."""
    external_id = who.get("external_id")
    return external_id.encode() if external_id else msgspec.json.encode(who)


def _arrays(body: bytes) -> dict[str, list[Raw]]:
    """The arrays that a request has. Raises InvalidError when the body is no request."""
    request = _request(body)
    given = {array: getattr(request, array) for array in ARRAYS}
    return {array: _objects(array, spelled) for array, spelled in given.items() if bytes(spelled) != b"null"}


def _request(body: bytes) -> _Request:
    try:
        return decoded(body, _Request)
    except BodyError as error:
        msg = f"Bad Request: the body is no JSON object: {error}"
        raise InvalidError(msg) from None


def _objects(array: str, spelled: Raw) -> list[Raw]:
    """The objects of an array; the synchronous form is documented with one object in its place, too."""
    if lists.first(spelled) == "{":
        return [spelled]
    if not lists.is_list(spelled):
        msg = f"Bad Request: '{array}' must be an array of objects"
        raise InvalidError(msg)
    return msgspec.json.decode(spelled, type=list[Raw])


def _taken(arrays: dict[str, list[Raw]], sender: Sender) -> tuple[list[_Taken], list[dict[str, Any]]]:
    """The objects that become records, and the errors of the others."""
    taken, errors, seen = list[_Taken](), list[dict[str, Any]](), Counter[str]()
    for array, objects in arrays.items():
        for index, spelled in enumerate(objects):
            try:
                read = ARRAYS[array](spelled, sender.app_ids)
                identity = _identity(array, index, spelled, read, sender, seen)
                taken.append(_Taken(array, read.who, _record(sender.project_id, identity, read)))
            except InvalidError as error:
                errors.append({"type": str(error), "input_array": array, "index": index})
    return taken, errors


def _identity(  # noqa: PLR0913, PLR0917  what tells one object of a request from another
    array: str, index: int, spelled: Raw, read: Read, sender: Sender, seen: Counter[str]
) -> str:
    """The `uuid` by which the job knows another try of the object.

    An event is known by its sender's own id, else by its content and a count: to Braze, events that are alike in
    a request are several. An update has no time and may honestly be repeated, so that only another try of the
    same request is a copy.
    """
    content = _canonical(spelled)
    if array == "attributes":
        return _uuid(array, sender.request_id, index, content)
    if read.own_id is not None:
        return _uuid(array, read.who, read.own_id)
    seen[content] += 1
    return _uuid(array, content, seen[content])


def _uuid(*parts: Any) -> str:
    return str(UUID(bytes=blake2b(msgspec.json.encode(parts), digest_size=16).digest()))


def _canonical(spelled: Raw) -> str:
    """One spelling for all texts of the same object. Raises InvalidError for a number that none can hold."""
    try:
        return _sorted(msgspec.json.decode(spelled)).decode()
    except msgspec.ValidationError as error:
        msg = f"the object is not valid: {error}"
        raise InvalidError(msg) from None


def _record(project_id: int, identity: str, read: Read) -> bytes:
    """An object as the job takes it. Raises InvalidError where the job would not, and nobody would hear of it."""
    known = {"app": project_id, "uuid": identity, **read.record}
    if classify.classify(known) is not read.kind:
        msg = f"'name' is not valid: {read.record['event_type']!r} is reserved, name the event otherwise"
        raise InvalidError(msg)
    record = msgspec.json.format(msgspec.json.encode(known), indent=-1)  # one line, whatever its properties were
    if len(record) > RECORD_BYTES:
        msg = f"the object is not valid: longer than {RECORD_BYTES:,} bytes"
        raise InvalidError(msg)
    if text.may_be_deep(record) and text.deep(record):
        msg = f"the object is not valid: {text.TOO_DEEP.detail}"
        raise InvalidError(msg)
    return record
