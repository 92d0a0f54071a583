"""Events as Amplitude sends them, and in batches that are told what will become of each of them."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal

import msgspec
from starlette.responses import Response

from ops.intake.endpoint import Asked, Intake, partition_key
from ops.intake.errors import IntakeError, answer
from udfs import envelope
from udfs.attribute import Registry
from udfs.decode import decode_part
from udfs.envelope import Limits, Part
from udfs.intake import Header
from udfs.model import DECODED, Kind, Reason

INFLATED_BYTES: Final = 10 * 2**20
"""Of a batch, with what is packed in it opened."""
EVENTS: Final = 2_000
"""Of a batch; as many as Amplitude's own APIs take."""
_LIMITS: Final = Limits(opened_bytes=INFLATED_BYTES, parts=EVENTS)
_QUICK: Final = 32 * 2**10  # bytes: what is longer, or may be packed, is judged beside the event loop
_KIND, _REASON, _DETAIL, _IDENTITY = map(list(DECODED).index, ("kind", "reason", "detail", "identity_hash"))
_TAKEN: Final = {Kind.EVENT, Kind.USER_UPDATE, Kind.COHORT}
_judges: Final = ThreadPoolExecutor(1, "judge")


class Verdict(msgspec.Struct, omit_defaults=True):
    """What the job will make of an event; `reason` is a code of docs/data.md."""

    index: int
    """its place in the request, from 0"""
    id: str | None
    """its `uuid`, else its `insert_id`"""
    verdict: Literal["ok", "duplicate", "dead_letter"]
    reason: str | None = None
    detail: str | None = None


class _Named(msgspec.Struct):
    """The ids of an event, whatever they are."""

    uuid: Any = None
    insert_id: Any = None
    amplitude_insert_id: Any = msgspec.field(name="$insert_id", default=None)


_named: Final = msgspec.json.Decoder(_Named).decode


async def amplitude(intake: Intake, asked: Asked) -> Response:
    """Amplitude's webhook and event stream: whatever comes is taken as it is; the job decides what it is."""
    await intake.put(asked.header, asked.body, partition_key(asked))
    return answer({"request_id": asked.header.request_id})


async def batch(intake: Intake, asked: Asked) -> Response:
    """Events with a verdict on each. Unless one is taken, nothing is put on the stream: that is a 400."""
    header, registry = asked.header, await intake.registry()
    if len(asked.body) < _QUICK and asked.body.isascii():  # so nothing in it is compressed
        results = judged(asked.body, header, registry)
    else:
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(_judges, judged, asked.body, header, registry)
    if not any(one.verdict == "ok" for one in results):
        words = f"the job would take none of {len(results)}: each result has its reason"
        error = IntakeError(400, "nothing_taken", words).content(header.request_id)
        return answer(error | {"results": results}, 400)
    await intake.put(header, asked.body, partition_key(asked))
    return answer({"request_id": header.request_id, "results": results})


def judged(body: bytes, header: Header, registry: Registry) -> list[Verdict]:
    """The verdict on each event of a body, by the job's own rules. Raises IntakeError when it holds too much.

    A `duplicate` repeats an event of this body. Copies of earlier requests are known to the job alone.
    """
    return list(_judged(body, header, registry))


def _judged(body: bytes, header: Header, registry: Registry) -> Iterator[Verdict]:
    seen: set[bytes] = set()
    parts = envelope.unpack(body, _LIMITS) if envelope.form(body) else [Part(body)]
    for index, (part, fault) in enumerate(parts):
        if fault and fault.reason is Reason.ENVELOPE_TOO_LARGE:
            words = f"the body holds more than {EVENTS:,} events or {INFLATED_BYTES:,} bytes: send it in two"
            raise IntakeError(413, "body_too_large", words)
        row = decode_part(part, fault, header.received_at, registry, header.project_id, header.scopes)
        if row[_KIND] not in _TAKEN:
            yield Verdict(index, _id(part), "dead_letter", row[_REASON], row[_DETAIL])
        elif row[_IDENTITY] in seen:
            yield Verdict(index, _id(part), "duplicate")
        else:
            seen.add(row[_IDENTITY])
            yield Verdict(index, _id(part), "ok")


def _id(part: bytes) -> str | None:
    try:
        named = _named(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    ids = (named.uuid, named.insert_id, named.amplitude_insert_id)
    return next((one for one in ids if isinstance(one, str) and one), None)
