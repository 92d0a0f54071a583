"""Each record of the stream into one row with a named outcome.

`decode` is the rule and never raises, whatever the bytes; udfs/functions.py calls it for whole batches.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from udfs import attribute, classify, clock, cohorts, envelope, events, intake, parse, rules, users
from udfs.attribute import Registry
from udfs.envelope import Limits, Part, Spent
from udfs.intake import MacKeys
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
_NO_KEYS: Final = MacKeys(None)
_REASON_AT: Final = list(DECODED).index("reason")
_DETAIL_AT: Final = list(DECODED).index("detail")
_PROJECT_AT: Final = list(DECODED).index("project_id")
_NAME_AT: Final = list(DECODED).index("name")
_UNKEPT: Final = {Kind.NOT_LINKED, Kind.FILTERED}


class Opened(NamedTuple):
    """A part of an envelope, the whole of it when there is a `fault`, and who brought it."""

    payload: bytes
    fault: Rejection | None = None
    key_project: int | None = None
    """the project of the access key that the intake has seen; None: it came on the stream"""
    request_id: str | None = None
    """of the intake"""
    scopes: Collection[str] | None = None
    """what that key may send; None: everything"""


def decode(
    payload: bytes, arrival: datetime, registry: Registry, *, part: bool = False, key_project: int | None = None
) -> Row:
    """The row of one record; `arrival` is the naive UTC time that Kinesis gave it. Raises MemoryError only.

    A `part` of an envelope that is an envelope itself is no object: `envelope` has opened what may be opened.
    Without `app` a record belongs to `key_project`, if it came by that one's key.
    """
    try:
        if (parsed := parse.quick(payload)) is None:
            return _careful(payload, arrival, registry, part, key_project)
        export = parsed[0]
        uploaded, says = export.server_upload_time, "uploaded"
        if uploaded is None or not clock.EARLIEST <= uploaded <= arrival:
            uploaded, says = _uploaded(uploaded, arrival)
        owner = attribute.owner(registry, export.app, uploaded, says)
        if isinstance(owner, Rejection):
            return dead_letter(owner, payload, export.app, EVENT_PREFIX + export.event_type)
        project = registry[export.app]
        to_profile = users.snapshot_to_profile(project, export, uploaded)
        row = events.event_row(parsed, payload, owner, arrival, (), to_profile)
        return row if project.rules is None else _ruled(row, payload, project.rules)
    except MemoryError:  # it says nothing of the record: Flink restarts the worker, and the record is read again
        raise
    except Exception as error:
        # a rule that raises is our bug: the record is kept for replay and the job goes on
        return dead_letter(Rejection(Reason.INTERNAL_ERROR, repr(error)[:500]), payload)


def leaves(
    payload: bytes, arrival: datetime, registry: Registry, keys: MacKeys = _NO_KEYS
) -> Iterator[tuple[bytes, Row]]:
    """What the operators together make of a record: its bytes and row, or those of each part; none an envelope."""
    row = decode(payload, arrival, registry)
    if row[0] != Kind.ENVELOPE:
        yield payload, row
        return
    for part in opened(payload, keys):
        yield part.payload, decode_part(part.payload, part.fault, arrival, registry, part.key_project, part.scopes)


def opened(
    payload: bytes,
    keys: MacKeys,
    limits: Limits = Limits(),  # noqa: B008
    tell: Callable[[Spent], None] = lambda _: None,
) -> Iterator[Opened]:
    """The parts of an envelope. One of the intake opens only here, outside of all others, and if its MAC holds."""
    if not payload.startswith(intake.MAGIC):
        yield from (Opened(*part) for part in envelope.unpack(payload, limits, tell))
        return
    found = intake.unwrap(payload, keys)
    if isinstance(found, Rejection):
        yield Opened(payload, found)
        return
    header, body = found
    for part in envelope.unpack(body, limits, tell) if envelope.form(body) else [Part(body)]:
        yield Opened(*part, header.project_id, header.request_id, header.scopes)


def decode_part(  # noqa: PLR0913, PLR0917  what `opened` tells of a part, and by what it is judged
    part: bytes,
    fault: Rejection | None,
    arrival: datetime,
    registry: Registry,
    key_project: int | None = None,
    scopes: Collection[str] | None = None,
) -> Row:
    """The row of a part of an envelope; of the whole envelope when there is a fault in it."""
    if fault:
        row = dead_letter(fault, part)
    else:
        row = decode(part, arrival, registry, part=True, key_project=key_project)
    return row if key_project is None else _of_key(row, part, key_project, scopes, registry)


def _of_key(row: Row, part: bytes, key_project: int, scopes: Collection[str] | None, registry: Registry) -> Row:
    """The row of what came by a project's access key: that project's, and nothing that the key is not for."""
    project_id, name = row[_PROJECT_AT], None
    if project_id == key_project:
        needs = intake.SCOPE_OF.get(row[0])
        if scopes is None or needs is None or needs in scopes:
            return row
        detail = f"a record for {needs}, the access key is for {' and '.join(scopes) or 'nothing'} alone"
        fault, name = Rejection(Reason.SCOPE_MISSING, detail), row[_NAME_AT]
    elif project_id is None:
        fault = Rejection(Reason(row[_REASON_AT]), row[_DETAIL_AT])
    else:
        detail = f"app is {project_id}, the access key is one of project {key_project}"
        fault = Rejection(Reason.APP_MISMATCH, detail)
    return dead_letter(fault, part, key_project, name, keep=_may_keep(registry, key_project))


def _careful(payload: bytes, arrival: datetime, registry: Registry, part: bool, key_project: int | None) -> Row:
    found = parse.record(payload)
    if isinstance(found, Rejection):
        form = None if part or found.reason is Reason.EMPTY else envelope.form(payload)
        if form:
            return _row(kind=Kind.ENVELOPE.value, detail=form.value, payload=payload)
        return dead_letter(found, payload)
    kind = classify.classify(found.fields)
    if isinstance(kind, Rejection):
        app = attribute.project_id(found.fields.get("app"))
        return dead_letter(kind, payload, app, _name(found.fields), keep=_may_keep(registry, app))
    if kind is Kind.COHORT:
        return _cohort(found, payload, arrival, registry, key_project)
    if key_project is not None and found.fields.get("app") is None:
        found = found._replace(fields=found.fields | {"app": key_project})
    return _attributed(kind, found, payload, arrival, registry)


def _cohort(
    found: parse.Record, payload: bytes, arrival: datetime, registry: Registry, key_project: int | None
) -> Row:
    """The row of a cohort message: the cohort's registration determines the owner, or the access key does."""
    message = cohorts.message_of(found.fields, arrival)
    if isinstance(message, Rejection):
        cohort_id = found.fields.get("cohort_id")
        may_keep = _may_keep(registry, cohort_id if isinstance(cohort_id, str) else None)
        return dead_letter(message, payload, keep=may_keep)
    project = registry.get(message.cohort_id if key_project is None else key_project)
    if project is None and key_project is not None:
        return dead_letter(attribute.unknown(key_project), payload, key_project)
    if project is None:
        detail = f"no project has registered cohort {parse.shown(message.cohort_id)}"
        return dead_letter(Rejection(Reason.UNKNOWN_COHORT, detail), payload)
    owner = attribute.link_at(project, project.project_id, arrival, "arrived")
    if isinstance(owner, Rejection):
        return dead_letter(owner, payload, project.project_id)
    known, repairs = cohorts.identify(message, payload), found.repairs | message.repairs
    if project.rules and (stored := rules.stored_message(found.fields, project.rules)):
        payload, repairs = stored[0], repairs | {*map(rules.repair, stored[1])}
    return _row(
        kind=Kind.COHORT.value,
        identity_hash=known.hash,
        payload=payload,
        project_id=project.project_id,
        notifly_project=owner,
        identity=known.text,
        identity_rung=known.rung,
        repairs=" ".join(sorted(repairs)) or None,
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
        return dead_letter(parsed, payload, app, name, keep=_may_keep(registry, app))
    export = parsed[0]
    uploaded, says = _uploaded(export.server_upload_time, arrival, fields.get("server_upload_time"))
    owner = attribute.owner(registry, export.app, uploaded, says)
    if isinstance(owner, Rejection):
        return dead_letter(owner, payload, app, name)
    project = registry[export.app]
    if kind is Kind.USER_UPDATE:
        row = events.update_row(parsed, payload, owner, arrival, repairs)
    else:
        to_profile = users.snapshot_to_profile(project, export, uploaded)
        row = events.event_row(parsed, payload, owner, arrival, repairs, to_profile)
    return row if project.rules is None else _ruled(row, payload, project.rules)


def _ruled(row: Row, payload: bytes, own: rules.Rules) -> Row:
    """The row of an event or a user update under its project's rules; one that fails lets nothing be stored."""
    project_id, name = row[_PROJECT_AT], row[_NAME_AT]
    try:
        if row[0] == Kind.EVENT and (words := rules.filtered(row, own)):
            return dead_letter(Rejection(Reason.FILTERED, words), payload, project_id, name)
        return rules.stored(row, own)
    except MemoryError:
        raise
    except Exception as error:
        fault = Rejection(Reason.INTERNAL_ERROR, f"{type(error).__name__} in a rule of the project")
        return dead_letter(fault, payload, project_id, name, keep=False)


def _may_keep(registry: Registry, key: int | str | None) -> bool:
    """Whether the bytes of a dead letter may be kept: no field rule of the project or cohort could be applied."""
    project = None if key is None else registry.get(key)
    return project is None or project.rules is None or not project.rules.field_rules


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


def dead_letter(
    rejection: Rejection, payload: bytes, app: int | None = None, name: str | None = None, *, keep: bool = True
) -> Row:
    """The row of a record that is not taken. What is too long for a table's cell is cut, with its hash.

    Where a field rule forbids to `keep` it, its hash is kept. Of what is uploaded while a project is not linked,
    and of what it filters, nothing is. `name` counts within a project alone.
    """
    reason, detail = rejection
    if app is None:
        name = None
    kept = payload[:MAX_PAYLOAD_BYTES] if keep and reason.kind not in _UNKEPT else None
    digest = sha256(payload).hexdigest() if len(payload) > MAX_PAYLOAD_BYTES or not keep else None
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
