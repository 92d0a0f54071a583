"""The writer of cohort memberships: a batch of users in, acknowledged by DynamoDB before it returns."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction

from stores.cohorts import CohortMembers, Cohorts, Member
from stores.dynamodb import TablesAddress
from udfs import clock

log = logging.getLogger(__name__)

SLOW: Final = 1.0
"""Seconds of a batch from which on the cohort that has most of it is named in the log."""


class _Name(NamedTuple):
    """A cohort's name; the newer one is the greater."""

    computed_time: int
    name: str


class WriteMembers(ScalarFunction):  # type: ignore[misc]
    """`MEMBER_COLUMNS` of jobs/ingest/cohorts.py → the project ids; writes who is in a cohort and who has left."""

    def __init__(self, address: TablesAddress) -> None:
        self.address = address

    def open(self, function_context: FunctionContext) -> None:
        self.members, self.cohorts = CohortMembers(self.address), Cohorts(self.address)
        self.names: dict[str, _Name] = {}
        metrics = function_context.get_metric_group()
        self.ties, self.slow = metrics.counter("members_tied"), metrics.counter("slow_cohorts")

    def eval(self, *columns: "pd.Series[Any]") -> "pd.Series[Any]":
        begin = time.monotonic()
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        at = [clock.microseconds(datetime.fromisoformat(row[4])) for row in rows]
        self.ties.inc(
            self.members.write(
                Member(project_id, cohort_id, user_id, in_cohort, time)
                for (project_id, cohort_id, _, in_cohort, _, user_id), time in zip(rows, at, strict=True)
            )
        )
        self._rename((row[1], _Name(time, row[2])) for row, time in zip(rows, at, strict=True) if row[2])
        if (took := time.monotonic() - begin) > SLOW:
            self._tell_slow(rows, took)
        return columns[0]

    def _tell_slow(self, rows: Sequence[tuple[Any, ...]], took: float) -> None:
        """Name the cohort that has most of a batch, for whoever asks why others wait."""
        ((project_id, cohort_id), most), *_ = Counter(row[:2] for row in rows).most_common(1)
        words = "cohort %r of project %d has %d of %d members of a batch that took %.1f s to write"
        log.warning(words, cohort_id, project_id, most, len(rows), took)
        self.slow.inc()

    def _rename(self, names: Iterable[tuple[str, _Name]]) -> None:
        """Keep the newest name of each cohort, unless it is the one that this worker has written last."""
        newest: dict[str, _Name] = {}
        for cohort_id, name in names:
            newest[cohort_id] = max(newest.get(cohort_id, name), name)
        for cohort_id, name in newest.items():
            if cohort_id not in self.names or self.names[cohort_id] < name:
                self.cohorts.rename(cohort_id, name.name, name.computed_time)
                self.names[cohort_id] = name

    def is_deterministic(self) -> bool:
        return False  # it writes: the planner must neither repeat nor drop a call
