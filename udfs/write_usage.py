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
    """(project_id, month, records, events) columns → the `events` written; see `stores.usage`."""

    def __init__(self, address: TablesAddress) -> None:
        self.address = address

    def open(self, function_context: FunctionContext) -> None:
        self.table = UsageTable(self.address)

    def eval(
        self,
        project_id: "pd.Series[int]",
        month: "pd.Series[str]",
        records: "pd.Series[int]",
        events: "pd.Series[int]",
    ) -> "pd.Series[Any]":
        columns = (project_id.tolist(), month.tolist(), records.tolist(), events.tolist())
        self.table.raise_totals(Usage(*row) for row in zip(*columns, strict=True))
        return events

    def is_deterministic(self) -> bool:
        return False  # it writes: the planner must neither repeat nor drop a call
