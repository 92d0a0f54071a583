"""Flink's Python function that sends: a batch of events in; what became of each out, by the sender's deadline."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction

from stores.outgoing import Sending, open_targets
from udfs.export.sender import LIMITS, Answer, Due, Outcome, Sender
from udfs.functions import as_series, fields, times

DELIVERED: Final[dict[str, type]] = {
    "outcome": str,
    "reason": str,
    "words": str,
    "due": datetime,
    "answered": datetime,
}
"""The columns of what became of an event."""
_FIELDS: Final = fields(DELIVERED)


def open_sender(sending: Sending) -> Sender:
    """The sender as a worker opens it. Raises StoreError."""
    return Sender(open_targets(sending), LIMITS[sending.api])


class WriteEvents(ScalarFunction):  # type: ignore[misc]
    """(project_id, event, attempt, arrival) columns → Series of `DELIVERED` structs.

    A worker calls `open_sender` once.
    """

    def __init__(self, open_sender: Callable[[], Sender]) -> None:
        self.open_sender = open_sender

    def open(self, function_context: FunctionContext) -> None:
        self.sender, self.counted, self.took = self.open_sender(), 0, timedelta()
        metrics = function_context.get_metric_group()
        self.counters = {outcome: metrics.counter(outcome) for outcome in Outcome}
        self.requests = metrics.counter("amplitude_requests")
        metrics.gauge("closed_projects", lambda: self.sender.closed)
        metrics.gauge("sent_after_ms", lambda: self.took // timedelta(milliseconds=1))

    def eval(
        self,
        project_id: "pd.Series[int]",
        event: "pd.Series[Any]",
        attempt: "pd.Series[int]",
        arrival: "pd.Series[Any]",
    ) -> "pd.Series[Any]":
        columns = (column.tolist() for column in (project_id, event, attempt))
        answers = self.sender.send([Due(*row) for row in zip(*columns, strict=True)])
        now = datetime.now(UTC).replace(tzinfo=None)
        self.took = max((now - at for at in times(arrival[attempt == 0])), default=self.took)
        self._count(Counter(answer.outcome for answer in answers))
        return as_series([_row(answer, now) for answer in answers], _FIELDS)

    def _count(self, outcomes: Counter[Outcome]) -> None:
        for outcome, counter in self.counters.items():
            counter.inc(outcomes[outcome])
        requests = self.sender.requests
        self.requests.inc(requests - self.counted)
        self.counted = requests

    def is_deterministic(self) -> bool:
        return False  # it sends: the planner must neither repeat nor drop a call


def _row(answer: Answer, now: datetime) -> tuple[Any, ...]:
    at = answer.at or now
    due = at + timedelta(seconds=answer.seconds) if answer.outcome == Outcome.WAITING else None
    return answer.outcome, answer.reason or None, answer.words or None, due, at
