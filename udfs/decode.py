"""Each record of the stream into one row with a named outcome: the only Python on the hot path.

`decode` is the rule and never raises, whatever the bytes. `Decode` is the operator: called with a whole
Arrow batch, it returns a DataFrame with the columns of `model.DECODED` and counts outcomes as metrics.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction

from udfs import events, parse
from udfs.attribute import Registry
from udfs.model import DECODED, EVENT_COLUMNS, Kind, Reason, Rejection, Row

USER_UPDATE_TYPES: Final = frozenset({"$identify", "_identify", "$groupidentify"})
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
    """`decode` over an Arrow batch: (payload: bytes, arrival: timestamp) columns → DataFrame of `DECODED`.

    `open_registry` is called once on the worker and returns a function that gives the current registry.
    """

    def __init__(self, open_registry: Callable[[], Callable[[], Registry]]) -> None:
        self.open_registry = open_registry

    def open(self, function_context: FunctionContext) -> None:
        self.registry = self.open_registry()
        metrics = function_context.get_metric_group()
        self.outcomes = {name: metrics.counter(name) for name in (*Kind, *(f"{r}_records" for r in Reason))}

    def eval(self, payload: "pd.Series[Any]", arrival: "pd.Series[Any]") -> pd.DataFrame:
        registry = self.registry()
        arrivals = arrival.dt.tz_localize(None).to_numpy("datetime64[us]").tolist()
        rows = [decode(data, at, registry) for data, at in zip(payload, arrivals, strict=True)]
        for (kind, reason), n in Counter(row[:2] for row in rows).items():
            self.outcomes[kind].inc(n)
            if reason:
                self.outcomes[f"{reason}_records"].inc(n)
        return frame(rows)


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows of `DECODED` as the DataFrame that PyFlink turns into Arrow.

    Columns of objects, said so: otherwise pandas looks at every value for a better type, which takes longer
    than decoding, and finds nanoseconds for times, which end in 2262.
    """
    columns = zip(*rows, strict=True) if rows else ((),) * len(DECODED)
    return pd.DataFrame(
        {
            name: pd.Series(np.fromiter(column, dtype=object, count=len(rows)), dtype=object)
            for name, column in zip(DECODED, columns, strict=True)
        },
        copy=False,
    )
