"""Each record of the stream into one row with a named outcome: the only Python on the hot path.

`decode` is the rule and never raises, whatever the bytes. `Decode` and `DecodePart` are the operators: called
with a whole Arrow batch, they return a Series of structs with the fields of `model.DECODED` and count outcomes
as metrics. `Open` is the third one, for the few records that hold several.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyflink.table import FunctionContext, ScalarFunction, TableFunction

from udfs import attribute, classify, clock, cohorts, envelope, events, parse, users, worker
from udfs.attribute import LiveRegistry, Registry
from udfs.model import (
    DECODED,
    EVENT_COLUMNS,
    EVENT_PREFIX,
    MAX_PAYLOAD_BYTES,
    Kind,
    Reason,
    Rejection,
    Repair,
    Row,
)

_ARROW_TYPES: Final[dict[type, pa.DataType]] = {
    str: pa.string(),
    dict: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us"),
}
_FIELDS: Final = [pa.field(name, _ARROW_TYPES[kind]) for name, kind in DECODED.items()]
_NO_EVENT: Final = (None,) * (len(EVENT_COLUMNS) - 4)
_NOTHING: Final = (None,) * (len(DECODED) - 5)


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
        yield part, _decode_part(part, fault, arrival, registry)


def _decode_part(part: bytes, fault: Rejection | None, arrival: datetime, registry: Registry) -> Row:
    return dead_letter(fault, part) if fault else decode(part, arrival, registry, part=True)


def _careful(payload: bytes, arrival: datetime, registry: Registry, part: bool) -> Row:
    found = parse.read(payload)
    if isinstance(found, Rejection):
        form = None if part else envelope.form(payload)
        if form:
            return (Kind.ENVELOPE.value, None, form.value, None, payload, *_NOTHING)
        return dead_letter(found, payload)
    kind = classify.classify(found.fields)
    if isinstance(kind, Rejection):
        return dead_letter(kind, payload, attribute.project_id(found.fields.get("app")), _name(found.fields))
    if kind is Kind.COHORT:
        return _cohort(found, payload, arrival, registry)
    return _attributed(kind, found, payload, arrival, registry)


def _cohort(found: parse.Record, payload: bytes, arrival: datetime, registry: Registry) -> Row:
    """The row of a cohort message: the cohort's registration determines the owner."""
    message = cohorts.read(found.fields, arrival)
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
    head = (Kind.COHORT.value, None, None, known.hash, payload, None, None, None, project.project_id, owner)
    repairs = " ".join(sorted(found.repairs | message.repairs)) or None
    return (*head, None, None, known.text, known.rung, *_NO_EVENT[3:], repairs)


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
    return (
        reason.kind.value,
        reason.value,
        detail,
        None,
        kept,
        len(payload),
        digest,
        None,
        app,
        None,
        None,
        name,
        *_NO_EVENT,
    )


class Decode(ScalarFunction):  # type: ignore[misc]
    """`decode` over an Arrow batch: (payload: bytes, arrival: timestamp) columns → Series of `DECODED` structs.

    `open_registry` is called once on the worker and returns a function that gives the current registry. The number
    of shards of which records may have expired before the job's start is a metric for the person on call.
    """

    def __init__(self, open_registry: Callable[[], LiveRegistry], gap_shards: int = 0) -> None:
        self.open_registry, self.gap_shards = open_registry, gap_shards

    def open(self, function_context: FunctionContext) -> None:
        worker.end_with_taskmanager()  # here, for each slot has a worker, and each worker decodes
        worker.answer_soon()
        worker.end_bundles_at_once()
        self.registry = self.open_registry()
        metrics = function_context.get_metric_group()
        names = (*Kind, *(f"{reason}_records" for reason in Reason), *(f"{repair}_repairs" for repair in Repair))
        self.counters = {name: metrics.counter(name) for name in names}
        metrics.gauge("registry_age_seconds", self._registry_age)
        metrics.gauge("gap_shards", lambda: self.gap_shards)

    def eval(self, payload: "pd.Series[Any]", arrival: "pd.Series[Any]") -> "pd.Series[Any]":
        registry = self.registry()
        return self._counted(decode(data, at, registry) for data, at in zip(payload, _times(arrival), strict=True))

    def _counted(self, decoded: Iterable[Row]) -> "pd.Series[Any]":
        gc.disable()  # a batch's rows are all in use: to visit them over and over took a tenth of the time
        try:
            rows = list(decoded)
            for (kind, reason, repairs), n in Counter((row[0], row[1], row[-1]) for row in rows).items():
                self.counters[kind].inc(n)
                if reason:
                    self.counters[f"{reason}_records"].inc(n)
                for repair in {Repair.named(one) for one in repairs.split()} if repairs else ():
                    self.counters[f"{repair}_repairs"].inc(n)
            return as_series(rows)
        finally:
            gc.enable()

    def _registry_age(self) -> int:
        return int(self.registry.age_seconds)


class DecodePart(Decode):
    """`decode` over the parts of envelopes: (payload, arrival, reason, detail); a reason is a fault in opening."""

    def eval(  # type: ignore[override]
        self,
        payload: "pd.Series[Any]",
        arrival: "pd.Series[Any]",
        reason: "pd.Series[Any]",
        detail: "pd.Series[Any]",
    ) -> "pd.Series[Any]":
        registry = self.registry()
        parts = zip(payload, _times(arrival), reason, detail, strict=True)
        return self._counted(
            _decode_part(data, Rejection(Reason(fault), words) if fault else None, at, registry)
            for data, at, fault, words in parts
        )


class Open(TableFunction):  # type: ignore[misc]
    """payload → (sub_index, payload, reason, detail) of each part of an envelope, see `envelope.unpack`."""

    def eval(self, payload: bytes) -> Iterator[tuple[int, bytes, str | None, str | None]]:
        number = 0
        try:
            for number, (data, fault) in enumerate(envelope.unpack(payload)):
                yield (number, data, fault.reason.value, fault.detail) if fault else (number, data, None, None)
        except MemoryError:
            raise
        except Exception as error:
            yield number + 1, payload, Reason.INTERNAL_ERROR.value, repr(error)[:500]


class CohortChanges(TableFunction):  # type: ignore[misc]
    """payload of a cohort message, arrival → a row of `COHORT_COLUMNS` for each of its users, times as text."""

    def eval(self, payload: bytes, arrival: datetime) -> Iterator[tuple[Any, ...]]:
        for message, entry in cohorts.entries(payload, arrival.astimezone(UTC).replace(tzinfo=None)):
            yield (
                message.cohort_id,
                message.cohort_name,
                message.in_cohort,
                message.computed_time.isoformat(" ", "microseconds"),
                message.message_id,
                *entry,
            )


def _times(arrival: "pd.Series[Any]") -> list[datetime]:
    times: list[datetime] = arrival.dt.tz_localize(None).to_numpy("datetime64[us]").tolist()
    return times


def as_series(rows: Sequence[Row]) -> "pd.Series[Any]":
    """Rows of `DECODED` as a Series of Arrow structs, which PyFlink passes on as it is.

    The documented way, a DataFrame, is built of Python objects and then turned into this same Arrow array: it
    took longer than decoding. PyFlink calls `pyarrow.Array.from_pandas(s, mask=s.isnull())`; an Arrow-backed
    Series goes through untouched when the mask is None, and its nulls are its own already.
    """
    columns = zip(*rows, strict=True) if rows else ((),) * len(_FIELDS)
    arrays = [_array(column, field.type) for column, field in zip(columns, _FIELDS, strict=True)]
    series = pd.Series(pd.arrays.ArrowExtensionArray(pa.StructArray.from_arrays(arrays, fields=_FIELDS)))
    series.isnull = lambda: None  # type: ignore[method-assign,assignment,return-value]
    return series


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column in Arrow; times before 1970 in milliseconds, because Flink 1.20's reader fails on finer ones."""
    array = pa.array(column, kind)
    if pa.types.is_timestamp(kind) and (first := pc.min(array).value) is not None and first < 0:
        return pc.if_else(pc.less(array, _EPOCH), pc.floor_temporal(array, unit="millisecond"), array)
    return array


_EPOCH: Final = pa.scalar(datetime.fromisoformat("1970-01-01"), pa.timestamp("us"))
