"""The endpoints of Braze's dialect and of Amplitude's cohort sync, around what pure functions make of a body."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from starlette.responses import Response

from ops.intake import braze, cohorts
from ops.intake.braze import BULK, SYNC, TRACK, Limits, Sender
from ops.intake.endpoint import Asked, Endpoint, Intake, bearer, user_key
from ops.intake.errors import IntakeError, answer
from ops.intake.limits import inflated

BULK_BYTES: Final = 2 * 2**20
"""Of a body of `/users/track/bulk`, which Braze says may have 2 MB."""
BODY_BYTES: Final = 900_000
"""Of what an intake envelope holds, of the 1 MiB of a record."""
_LONG: Final = 64 * 2**10  # bytes of a body that others do not wait for
_Made = TypeVar("_Made")


async def _track(limits: Limits, intake: Intake, asked: Asked) -> Response:
    """A request of Braze's API: its objects as lines, in as few records as hold them."""
    project_id, request_id = asked.header.project_id, asked.header.request_id
    sender = Sender(project_id, asked.key.app_ids, request_id)
    outcome = await _made(asked, lambda body: braze.track(body, sender, limits))
    key = user_key(project_id, outcome.user) if outcome.user else request_id
    await _put(intake, asked, list(_lines(outcome.records)), key)
    return answer(outcome.answer, outcome.status)


async def _create(intake: Intake, asked: Asked) -> Response:
    """A new list of a cohort."""
    made, message = await _made(asked, lambda body: cohorts.create(body, asked.header))
    await _put(intake, asked, [message], asked.header.request_id)
    return answer({"listId": str(made)})


async def _change(in_cohort: bool, intake: Intake, asked: Asked) -> Response:
    """Users enter a list or leave it."""
    list_id = asked.path["list_id"]
    messages = await _made(asked, lambda body: cohorts.change(list_id, body, asked.header, in_cohort))
    await _put(intake, asked, messages, asked.header.request_id)
    return answer({"listId": list_id})


async def _made(asked: Asked, make: Callable[[bytes], _Made]) -> _Made:
    """What is made of the body; of one that is long, or may be, beside the event loop."""
    if asked.encoding or len(asked.body) > _LONG:  # a few bytes may inflate to 10 MiB
        return await asyncio.to_thread(lambda: make(inflated(asked.body, asked.encoding)))
    return make(asked.body)


async def _put(intake: Intake, asked: Asked, bodies: Sequence[bytes], partition_key: str) -> None:
    """Return once Kinesis has all of them."""
    await asyncio.gather(*(intake.put(asked.header, body, partition_key) for body in bodies))


def _lines(records: Sequence[bytes]) -> Iterator[bytes]:
    """The records a line each, as many together as a body may hold."""
    lines: list[bytes] = []
    size = 0
    for record in records:
        if lines and size + len(record) >= BODY_BYTES:
            yield b"\n".join(lines)
            lines, size = [], 0
        lines.append(record)
        size += len(record) + 1
    if lines:
        yield b"\n".join(lines)


def _refused(error: IntakeError, _: str) -> Response:
    """An error as Braze spells it."""
    return answer({"message": str(error), "errors": []}, error.status, error.headers)


def _braze(path: str, limits: Limits, **given: int) -> Endpoint:
    return Endpoint(path, "events", "braze", partial(_track, limits), _refused, _key, **given)


def _key(authorization: str, body: bytes) -> str:
    """In a header, or in the body as Braze once had it."""
    return bearer(authorization) if authorization else braze.api_key(body) or ""


def _cohorts(path: str, handle: Callable[[Intake, Asked], Awaitable[Response]]) -> Endpoint:
    return Endpoint(path, "cohorts", "cohorts", handle, key=cohorts.access_key, body_bytes=cohorts.BODY_BYTES)


ENDPOINTS: Final = (
    _braze("/users/track", TRACK),
    _braze("/users/track/bulk", BULK, body_bytes=BULK_BYTES),
    _braze("/users/track/sync", SYNC),
    _cohorts("/amplitude/v1/cohorts", _create),
    _cohorts("/amplitude/v1/cohorts/{list_id}/add", partial(_change, True)),
    _cohorts("/amplitude/v1/cohorts/{list_id}/remove", partial(_change, False)),
)
