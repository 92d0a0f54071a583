"""The writer of running totals: a batch of rows in, acknowledged by DynamoDB before it returns.

Vectorised so that a batch shares one bounded thread pool, and synchronous so that a checkpoint never
passes a row that is not written yet.
"""

from typing import Any

import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction

from stores.dynamodb import TablesAddress
from stores.usage import Usage, UsageTable


class WriteUsage(ScalarFunction):  # type: ignore[misc]
    """(project_id, month, records, events, update_records, updates) columns → `events`; see `stores.usage`."""

    def __init__(self, address: TablesAddress) -> None:
        self.address = address

    def open(self, function_context: FunctionContext) -> None:
        self.table = UsageTable(self.address)
        self.throttles = self.table.table.throttles()
        self.throttled = function_context.get_metric_group().counter("throttled_requests")

    def eval(self, *totals: "pd.Series[Any]") -> "pd.Series[Any]":
        rows = zip(*(column.tolist() for column in totals), strict=True)
        self.table.raise_totals(map(Usage._make, rows))
        self.throttled.inc(self.throttles.take())
        return totals[Usage._fields.index("events")]

    def is_deterministic(self) -> bool:
        return False  # it writes: the planner must neither repeat nor drop a call
