"""Flink's Python function that renders message events: Arrow batches in, Arrow batches out."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction

from udfs import worker
from udfs.export.render import RENDERED, Kind, Routes, Row, Unsent, render
from udfs.functions import as_series, fields, times, uncollected

_FIELDS: Final = fields(RENDERED)


class LiveRoutes(Protocol):
    """The routes on a worker: a call gives what is known now, and never waits."""

    def __call__(self) -> Routes:
        """Where message events go now."""

    @property
    def age_seconds(self) -> float:
        """How long ago they were read."""


class Render(ScalarFunction):  # type: ignore[misc]
    """`render` over an Arrow batch: (payload: bytes, arrival: timestamp) columns → Series of `RENDERED` structs.

    `open_routes` is called once on the worker; `set_back` is how often the tables have been set back.
    """

    def __init__(self, open_routes: Callable[[], LiveRoutes], set_back: int = 0) -> None:
        self.open_routes, self.set_back = open_routes, set_back

    def open(self, function_context: FunctionContext) -> None:
        worker.end_with_taskmanager()
        worker.answer_soon()
        worker.end_bundles_at_once()
        self.routes = self.open_routes()
        metrics = function_context.get_metric_group()
        names = (*Kind, *(f"{reason}_records" for reason in Unsent))
        self.counters = {name: metrics.counter(name) for name in names}
        metrics.gauge("registry_age_seconds", lambda: int(self.routes.age_seconds))

    def eval(self, payload: "pd.Series[Any]", arrival: "pd.Series[Any]") -> "pd.Series[Any]":
        routes, records = self.routes(), zip(payload, times(arrival), strict=True)
        with uncollected():
            return self._counted([render(data, at, routes, self.set_back) for data, at in records])

    def _counted(self, rows: Sequence[Row]) -> "pd.Series[Any]":
        seen = Counter(row.kind for row in rows)
        reasons = Counter(f"{row.reason}_records" for row in rows if row.reason)
        for name, counter in self.counters.items():  # a series that begins at 0 shows an alarm its first record
            counter.inc(seen[name] + reasons[name])
        return as_series(rows, _FIELDS)
