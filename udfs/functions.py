"""Flink's Python functions on the hot path, around the rules: Arrow batches in, Arrow batches out.

`Decode` and `DecodePart` are called with a whole batch, return a Series of structs with the fields of
`model.DECODED`, and count outcomes as metrics. `Open`, `CohortChanges` and `MemberGroups` are for the few
records that hold several things.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyflink.table import FunctionContext, ScalarFunction, TableFunction

from udfs import cohorts, worker
from udfs.attribute import LiveRegistry
from udfs.decode import decode, decode_part, opened
from udfs.intake import MacKeys
from udfs.model import DECODED, Kind, Reason, Rejection, Repair, Row

_ARROW_TYPES: Final[dict[type, pa.DataType]] = {
    str: pa.string(),
    dict: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us"),
    list[int]: pa.list_(pa.int64()),
    list[bytes]: pa.list_(pa.binary()),
}


def fields(columns: Mapping[str, type]) -> list[pa.Field]:
    """Columns as Arrow has them."""
    return [pa.field(name, _ARROW_TYPES[kind]) for name, kind in columns.items()]


_FIELDS: Final = fields(DECODED)
_OUTCOME: Final = itemgetter(*(list(DECODED).index(name) for name in ("kind", "reason", "repairs")))
"""What of a row its metrics count."""


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
        self.unseen = list(self.counters.values())
        metrics.gauge("registry_age_seconds", self._registry_age)
        metrics.gauge("gap_shards", lambda: self.gap_shards)

    def eval(self, payload: "pd.Series[Any]", arrival: "pd.Series[Any]") -> "pd.Series[Any]":
        registry = self.registry()
        return self._counted(decode(data, at, registry) for data, at in zip(payload, times(arrival), strict=True))

    def _counted(self, decoded: Iterable[Row]) -> "pd.Series[Any]":
        with uncollected():
            rows = list(decoded)
            while self.unseen:  # a series that begins at 0 shows an alarm its first record
                self.unseen.pop().inc(0)
            for (kind, reason, repairs), n in Counter(map(_OUTCOME, rows)).items():
                self.counters[kind].inc(n)
                if reason:
                    self.counters[f"{reason}_records"].inc(n)
                for repair in {Repair.named(one) for one in repairs.split()} if repairs else ():
                    self.counters[f"{repair}_repairs"].inc(n)
            return as_series(rows)

    def _registry_age(self) -> int:
        return int(self.registry.age_seconds)


class DecodePart(Decode):
    """`decode` over the parts of envelopes: `OPENED` without its place and request, arrival second."""

    def eval(  # type: ignore[override]  # noqa: PLR0913, PLR0917  a column each
        self,
        payload: "pd.Series[Any]",
        arrival: "pd.Series[Any]",
        reason: "pd.Series[Any]",
        detail: "pd.Series[Any]",
        key_project: "pd.Series[Any]",
        scopes: "pd.Series[Any]",
    ) -> "pd.Series[Any]":
        registry = self.registry()
        parts = zip(payload, times(arrival), reason, detail, key_project, scopes, strict=True)
        return self._counted(
            decode_part(
                data,
                Rejection(Reason(fault), words) if fault else None,
                at,
                registry,
                int(key) if key else None,
                None if may is None else may.split(),
            )
            for data, at, fault, words, key, may in parts
        )


class Open(TableFunction):  # type: ignore[misc]
    """payload → `OPENED` of each part of an envelope, see `decode.opened`."""

    def __init__(self, open_keys: Callable[[], MacKeys]) -> None:
        """`open_keys` is called once on the worker: by these keys the intake's envelopes are believed."""
        self.open_keys = open_keys

    def open(self, function_context: FunctionContext) -> None:
        self.keys = self.open_keys()

    def eval(self, payload: bytes) -> Iterator[tuple[Any, ...]]:
        number = 0
        try:
            for number, part in enumerate(opened(payload, self.keys)):
                told = (part.fault.reason.value, part.fault.detail) if part.fault else (None, None)
                key = None if part.key_project is None else str(part.key_project)
                scopes = None if part.scopes is None else " ".join(part.scopes)
                yield number, part.payload, *told, key, part.request_id, scopes
        except MemoryError:
            raise
        except Exception as error:
            yield number + 1, payload, Reason.INTERNAL_ERROR.value, repr(error)[:500], None, None, None


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


class MemberGroups(TableFunction):  # type: ignore[misc]
    """payload of a cohort message, arrival → rows of its head, time as text, and at most `cohorts.GROUP` ids."""

    def eval(self, payload: bytes, arrival: datetime) -> Iterator[tuple[Any, ...]]:
        for message, user_ids in cohorts.groups(payload, arrival.astimezone(UTC).replace(tzinfo=None)):
            computed = message.computed_time.isoformat(" ", "microseconds")
            yield message.cohort_id, message.cohort_name, message.in_cohort, computed, user_ids


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector away: a batch's rows are all in use. To visit them took a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def times(arrival: "pd.Series[Any]") -> list[datetime]:
    """The times of a column, naive UTC."""
    found: list[datetime] = arrival.dt.tz_localize(None).to_numpy("datetime64[us]").tolist()
    return found


def as_series(rows: Sequence[tuple[Any, ...]], columns: Sequence[pa.Field] = _FIELDS) -> "pd.Series[Any]":
    """Rows, of `DECODED` unless said otherwise, as a Series of Arrow structs, which PyFlink passes on as it is.

    The documented way, a DataFrame, is built of Python objects and then turned into this same Arrow array: it
    took longer than decoding. PyFlink calls `pyarrow.Array.from_pandas(s, mask=s.isnull())`; an Arrow-backed
    Series goes through untouched when the mask is None, and its nulls are its own already.
    """
    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    arrays = [_array(column, field.type) for column, field in zip(values, columns, strict=True)]
    series = pd.Series(pd.arrays.ArrowExtensionArray(pa.StructArray.from_arrays(arrays, fields=list(columns))))
    series.isnull = lambda: None  # type: ignore[method-assign,assignment,return-value]
    return series


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column in Arrow; times before 1970 in milliseconds, because Flink 1.20's reader fails on finer ones."""
    array = pa.array(column, kind)
    if pa.types.is_timestamp(kind) and (first := pc.min(array).value) is not None and first < 0:
        return pc.if_else(pc.less(array, _EPOCH), pc.floor_temporal(array, unit="millisecond"), array)
    return array


_EPOCH: Final = pa.scalar(datetime.fromisoformat("1970-01-01"), pa.timestamp("us"))
