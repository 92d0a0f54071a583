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
    """`GROUP_COLUMNS` of jobs/ingest/cohorts.py → the project ids; writes who is in a cohort and who has left."""

    def __init__(self, address: TablesAddress) -> None:
        self.address = address

    def open(self, function_context: FunctionContext) -> None:
        self.members, self.cohorts = CohortMembers(self.address), Cohorts(self.address)
        self.throttles = self.members.table.throttles()
        self.names: dict[tuple[int, str], _Name] = {}
        metrics = function_context.get_metric_group()
        self.ties, self.slow = metrics.counter("members_tied"), metrics.counter("slow_cohorts")
        self.throttled = metrics.counter("throttled_requests")

    def eval(  # noqa: PLR0913, PLR0917  one argument per column
        self,
        project_id: "pd.Series[int]",
        cohort_id: "pd.Series[str]",
        name: "pd.Series[Any]",
        in_cohort: "pd.Series[bool]",
        computed_time: "pd.Series[str]",
        user_ids: "pd.Series[Any]",
    ) -> "pd.Series[int]":
        begin = time.monotonic()
        computed = [clock.microseconds(datetime.fromisoformat(text)) for text in computed_time.tolist()]
        columns = (column.tolist() for column in (project_id, cohort_id, name, in_cohort, user_ids))
        groups = list(zip(*columns, computed, strict=True))
        members = [
            Member(project, cohort, user, entered, at)
            for project, cohort, _, entered, users, at in groups
            for user in users
        ]
        self.ties.inc(self.members.write(members))
        self.throttled.inc(self.throttles.take())
        self.slow.inc(0)  # a series that begins at 0 shows an alarm its first cohort
        self._rename(((project, cohort), _Name(at, known)) for project, cohort, known, _, _, at in groups if known)
        if (took := time.monotonic() - begin) > SLOW:
            self._tell_slow(members, took)
        return project_id

    def _tell_slow(self, members: Sequence[Member], took: float) -> None:
        """Name the cohort that has most of a batch, for whoever asks why others wait."""
        cohorts = Counter((member.project_id, member.cohort_id) for member in members)
        ((project_id, cohort_id), most), *_ = cohorts.most_common(1)
        words = "cohort %r of project %d has %d of %d members of a batch that took %.1f s to write"
        log.warning(words, cohort_id, project_id, most, len(members), took)
        self.slow.inc()

    def _rename(self, names: Iterable[tuple[tuple[int, str], _Name]]) -> None:
        """Keep the newest name of each cohort, unless it is the one that this worker has written last."""
        newest: dict[tuple[int, str], _Name] = {}
        for cohort, name in names:
            newest[cohort] = max(newest.get(cohort, name), name)
        for cohort, name in newest.items():
            if cohort not in self.names or self.names[cohort] < name:
                project_id, cohort_id = cohort
                self.cohorts.rename(cohort_id, project_id, name.name, name.computed_time)
                self.names[cohort] = name

    def is_deterministic(self) -> bool:
        return False  # it writes: the planner must neither repeat nor drop a call
