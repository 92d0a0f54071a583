"""Each record of the stream into one row with a named outcome.

`decode` is the rule and never raises, whatever the bytes; udfs/functions.py calls it for whole batches.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from udfs import attribute, classify, clock, cohorts, envelope, events, parse, users
from udfs.attribute import Registry
from udfs.model import (
    DECODED,
    EVENT_PREFIX,
    MAX_PAYLOAD_BYTES,
    Kind,
    Reason,
    Rejection,
    Row,
)

_NOTHING: Final[dict[str, Any]] = dict.fromkeys(DECODED)


def decode(payload: bytes, arrival: datetime, registry: Registry, *, part: bool = False) -> Row:
    """The row of one record; `arrival` is the naive UTC time that Kinesis gave it. Raises MemoryError only.

    A `part` of an envelope that is an envelope itself is no object: `envelope` has opened what may be opened.
    """
    try:
        if (parsed := parse.quick(payload)) is None:
            return _careful(payload, arrival, registry, part)
        export = parsed[0]
        uploaded, says = export.server_upload_time, "uploaded"
        if uploaded is None or not clock.EARLIEST <= uploaded <= arrival:
            uploaded, says = _uploaded(uploaded, arrival)
        owner = attribute.owner(registry, export.app, uploaded, says)
        if isinstance(owner, Rejection):
            return dead_letter(owner, payload, export.app, EVENT_PREFIX + export.event_type)
        to_profile = users.snapshot_to_profile(registry[export.app], export, uploaded)
        return events.event_row(parsed, payload, owner, arrival, (), to_profile)
    except MemoryError:  # it says nothing of the record: Flink restarts the worker, and the record is read again
        raise
    except Exception as error:
        # a rule that raises is our bug: the record is kept for replay and the job goes on
        return dead_letter(Rejection(Reason.INTERNAL_ERROR, repr(error)[:500]), payload)


def leaves(payload: bytes, arrival: datetime, registry: Registry) -> Iterator[tuple[bytes, Row]]:
    """What the operators together make of a record: its bytes and row, or those of each part; none an envelope."""
    row = decode(payload, arrival, registry)
    if row[0] != Kind.ENVELOPE:
        yield payload, row
        return
    for part, fault in envelope.unpack(payload):
        yield part, decode_part(part, fault, arrival, registry)


def decode_part(part: bytes, fault: Rejection | None, arrival: datetime, registry: Registry) -> Row:
    """The row of a part of an envelope; of the whole envelope when there is a fault in it."""
    return dead_letter(fault, part) if fault else decode(part, arrival, registry, part=True)


def _careful(payload: bytes, arrival: datetime, registry: Registry, part: bool) -> Row:
    found = parse.record(payload)
    if isinstance(found, Rejection):
        form = None if part else envelope.form(payload)
        if form:
            return _row(kind=Kind.ENVELOPE.value, detail=form.value, payload=payload)
        return dead_letter(found, payload)
    kind = classify.classify(found.fields)
    if isinstance(kind, Rejection):
        return dead_letter(kind, payload, attribute.project_id(found.fields.get("app")), _name(found.fields))
    if kind is Kind.COHORT:
        return _cohort(found, payload, arrival, registry)
    return _attributed(kind, found, payload, arrival, registry)


def _cohort(found: parse.Record, payload: bytes, arrival: datetime, registry: Registry) -> Row:
    """The row of a cohort message: the cohort's registration determines the owner."""
    message = cohorts.message_of(found.fields, arrival)
    if isinstance(message, Rejection):
        return dead_letter(message, payload)
    project = registry.get(message.cohort_id)
    if project is None:
        detail = f"no project has registered cohort {parse.shown(message.cohort_id)}"
        return dead_letter(Rejection(Reason.UNKNOWN_COHORT, detail), payload)
    owner = attribute.link_at(project, project.project_id, arrival, "arrived")
    if isinstance(owner, Rejection):
        return dead_letter(owner, payload, project.project_id)
    known = cohorts.identify(message, payload)
    return _row(
        kind=Kind.COHORT.value,
        identity_hash=known.hash,
        payload=payload,
        project_id=project.project_id,
        notifly_project=owner,
        identity=known.text,
        identity_rung=known.rung,
        repairs=" ".join(sorted(found.repairs | message.repairs)) or None,
    )


def _attributed(kind: Kind, found: parse.Record, payload: bytes, arrival: datetime, registry: Registry) -> Row:
    """The row of an event or a user update, once its owner is known."""
    fields, repairs = found
    app = attribute.project_id(fields.get("app"))
    if kind is Kind.USER_UPDATE:
        if fields.get("app") is None:
            # Amplitude may leave `app` out of an Identify (docs/amplitude.md §2.2): it waits as a dead letter
            return dead_letter(Rejection(Reason.UNATTRIBUTED, "a user update without app"), payload)
        fields = fields | {"event_type": classify.update_type(fields)}
    name = _name(fields, "" if kind is Kind.USER_UPDATE else EVENT_PREFIX)
    parsed = parse.careful(fields, repairs)
    if isinstance(parsed, Rejection):
        return dead_letter(parsed, payload, app, name)
    export = parsed[0]
    uploaded, says = _uploaded(export.server_upload_time, arrival, fields.get("server_upload_time"))
    owner = attribute.owner(registry, export.app, uploaded, says)
    if isinstance(owner, Rejection):
        return dead_letter(owner, payload, app, name)
    if kind is Kind.USER_UPDATE:
        return events.update_row(parsed, payload, owner, arrival, repairs)
    to_profile = users.snapshot_to_profile(registry[export.app], export, uploaded)
    return events.event_row(parsed, payload, owner, arrival, repairs, to_profile)


def _uploaded(server_upload_time: datetime | None, arrival: datetime, sent: object = None) -> tuple[datetime, str]:
    """When Amplitude uploaded a record, and for a detail by which clock.

    The arrival counts where `server_upload_time`, `sent` as this, is no time or none that it can have been.
    """
    if server_upload_time is None:
        why = "absent" if sent is None else f"no timestamp: {parse.shown(sent)}"
        return arrival, f"arrived (server_upload_time is {why})"
    if clock.implausible(server_upload_time, arrival):
        return arrival, f"arrived (server_upload_time is implausible: {server_upload_time})"
    return server_upload_time, "uploaded"


def _name(fields: parse.Misfits, prefix: str = EVENT_PREFIX) -> str | None:
    """The name that a record would have; None where it has none."""
    event_type = fields.get("event_type")
    return prefix + event_type.replace("\0", "") if isinstance(event_type, str) and event_type else None


def dead_letter(rejection: Rejection, payload: bytes, app: int | None = None, name: str | None = None) -> Row:
    """The row of a record that is not taken. What is too long for a table's cell is cut, with its hash.

    What is uploaded while a project is not linked is not to be kept. `name` counts within a project alone.
    """
    reason, detail = rejection
    if app is None:
        name = None
    kept = None if reason.kind is Kind.NOT_LINKED else payload[:MAX_PAYLOAD_BYTES]
    digest = sha256(payload).hexdigest() if len(payload) > MAX_PAYLOAD_BYTES else None
    return _row(
        kind=reason.kind.value,
        reason=reason.value,
        detail=detail,
        payload=kept,
        payload_length=len(payload),
        payload_sha256=digest,
        project_id=app,
        name=name,
    )


def _row(**columns: Any) -> Row:
    """The row of a record that is no event: what is not named is null."""
    return tuple((_NOTHING | columns).values())
