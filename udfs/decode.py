"""Each record of the stream into one row with a named outcome: the only Python on the hot path.

`decode` is the rule and never raises, whatever the bytes. `Decode` is the operator: called with a whole
Arrow batch, it returns a Series of structs with the fields of `model.DECODED` and counts outcomes as metrics.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from pyflink.table import FunctionContext, ScalarFunction

from udfs import events, parse
from udfs.attribute import Registry
from udfs.model import DECODED, EVENT_COLUMNS, Kind, Reason, Rejection, Row

USER_UPDATE_TYPES: Final = frozenset({"$identify", "_identify", "$groupidentify"})
_ARROW_TYPES: Final[dict[type, pa.DataType]] = {
    str: pa.string(),
    dict: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us"),
}
_FIELDS: Final = [pa.field(name, _ARROW_TYPES[kind]) for name, kind in DECODED.items()]
_NO_EVENT: Final = (None,) * (len(EVENT_COLUMNS) - 1)


def decode(payload: bytes, arrival: datetime, registry: Registry) -> Row:
    """The row of one record; `arrival` is the naive UTC time that Kinesis gave it. Never raises."""
    try:
        return _decode(payload, arrival, registry)
    except RecursionError:
        # identity by content reads all levels again, from a deeper stack
        return _dead_letter(Kind.REJECTED, parse.TOO_DEEP, None)
    except Exception as error:
        # a rule that raises is our bug: the record is kept for replay and the job goes on
        return _dead_letter(Kind.REJECTED, Rejection(Reason.INTERNAL_ERROR, repr(error)[:500]), None)


def _decode(payload: bytes, arrival: datetime, registry: Registry) -> Row:
    parsed = parse.parse(payload)
    if isinstance(parsed, Rejection):
        return _dead_letter(Kind.REJECTED, parsed, None)
    export, misfits = parsed
    if export.event_type in USER_UPDATE_TYPES:
        unsupported = Rejection(Reason.UNSUPPORTED_KIND, f"{export.event_type} is a user update")
        return _dead_letter(Kind.REJECTED, unsupported, export.app)
    project = registry.get(export.app)
    if project is None:
        unknown = Rejection(Reason.UNKNOWN_PROJECT, f"no project has registered app {export.app}")
        return _dead_letter(Kind.QUARANTINED, unknown, export.app)
    return events.event_row(export, misfits, payload, project, arrival)


def _dead_letter(kind: Kind, rejection: Rejection, project_id: int | None) -> Row:
    return (kind.value, rejection.reason.value, rejection.detail, None, project_id, *_NO_EVENT)


class Decode(ScalarFunction):  # type: ignore[misc]
    """`decode` over an Arrow batch: (payload: bytes, arrival: timestamp) columns → Series of `DECODED` structs.

    `open_registry` is called once on the worker and returns a function that gives the current registry.
    """

    def __init__(self, open_registry: Callable[[], Callable[[], Registry]]) -> None:
        self.open_registry = open_registry

    def open(self, function_context: FunctionContext) -> None:
        self.registry = self.open_registry()
        metrics = function_context.get_metric_group()
        self.outcomes = {name: metrics.counter(name) for name in (*Kind, *(f"{r}_records" for r in Reason))}

    def eval(self, payload: "pd.Series[Any]", arrival: "pd.Series[Any]") -> "pd.Series[Any]":
        registry = self.registry()
        arrivals = arrival.dt.tz_localize(None).to_numpy("datetime64[us]").tolist()
        rows = [decode(data, at, registry) for data, at in zip(payload, arrivals, strict=True)]
        for (kind, reason), n in Counter(row[:2] for row in rows).items():
            self.outcomes[kind].inc(n)
            if reason:
                self.outcomes[f"{reason}_records"].inc(n)
        return as_series(rows)


def as_series(rows: Sequence[Row]) -> "pd.Series[Any]":
    """Rows of `DECODED` as a Series of Arrow structs, which PyFlink passes on as it is.

    The documented way, a DataFrame, is built of Python objects and then turned into this same Arrow array: it
    took longer than decoding. PyFlink calls `pyarrow.Array.from_pandas(s, mask=s.isnull())`; an Arrow-backed
    Series goes through untouched when the mask is None, and its nulls are its own already.
    """
    columns = zip(*rows, strict=True) if rows else ((),) * len(_FIELDS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _FIELDS, strict=True)]
    series = pd.Series(pd.arrays.ArrowExtensionArray(pa.StructArray.from_arrays(arrays, fields=_FIELDS)))
    series.isnull = lambda: None  # type: ignore[method-assign,assignment,return-value]
    return series
