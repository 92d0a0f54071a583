"""What the job would do with the records of one file: outcomes by name, counts, and the first of each problem."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ops.answers.reasons import REASONS
from udfs.model import Kind, Reason

GROUPS: Final = 100
"""Kinds of problems that are told apart, and names in JSON."""
DROPPED: Final = "dropped"
"""The outcome of what the Kinesis connector does not hand over."""
OUTCOMES: Final = {
    "accepted": "stored as events",
    "duplicate": "copies of what comes earlier in this file: each is taken once",
    Kind.USER_UPDATE: "kept in the history, and merged into profiles where they are of a known user",
    Kind.COHORT: "cohort messages: memberships, and a history of them",
    Kind.CONTROL: "recognised and counted; no events of a customer's",
    Kind.FILTERED: "counted; the filters of their project keep them out",
    Kind.NOT_LINKED: "counted; their project was not linked when Amplitude uploaded them",
    Kind.QUARANTINED: "kept; their owner is not known",
    Kind.REJECTED: "kept; unusable as they came",
    DROPPED: "lost to the job: the connector drops them, and no dead letter tells of it",
}
LOST: Final = (DROPPED, Kind.NOT_LINKED, Kind.QUARANTINED, Kind.REJECTED)

Row = Mapping[str, Any]
"""A row of `DECODED` by column."""


@dataclass
class Group:
    """Records that are not taken for the same reason, of the same project."""

    reason: Reason
    project_id: int | None
    first: int
    detail: str
    records: int = 0

    def words(self) -> list[tuple[str, str]]:
        """What a person needs to know about it, by name."""
        project = [] if self.project_id is None else [("project", str(self.project_id))]
        return [*project, ("detail", self.detail), *REASONS[self.reason]._asdict().items()]


@dataclass
class Summary:
    """What the job would do with the records of one file, in counts and first examples."""

    form: str | None = None
    """what envelope the file is"""
    note: str | None = None
    """in which way the file as one record would fare otherwise"""
    by_connector: bool = False
    """whether the Kinesis connector opens it, before the job sees it"""
    outcomes: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    groups: dict[tuple[Reason, int | None], Group] = field(default_factory=dict)
    filters: Counter[str] = field(default_factory=Counter)
    """events that stay out, by the filter's words"""
    ungrouped: int = 0
    """records that are not taken in yet other ways than those of `groups`"""
    last: Row = field(default_factory=dict)

    @property
    def records(self) -> int:
        """All of them."""
        return self.outcomes.total()

    @property
    def lost(self) -> int:
        """Those that do not reach their customer."""
        return sum(self.outcomes[kind] for kind in LOST)

    def drop(self, records: int) -> None:
        """Count what the job never sees."""
        if records:
            self.first[DROPPED] = self.records
            self.outcomes[DROPPED] = records

    def add(self, row: Row, *, copy: bool) -> None:
        """Count one more record; `copy` says that its like was there before."""
        at, self.last = self.records, row
        outcome = "duplicate" if copy else "accepted" if row["kind"] == Kind.EVENT else row["kind"]
        self.outcomes[outcome] += 1
        self.first.setdefault(outcome, at)
        if outcome == "accepted":
            self.names[row["name"]] += 1
        if row["repairs"] and not copy:
            self.repairs.update(row["repairs"].split())
        if row["reason"] == Reason.FILTERED:
            self.filters[row["detail"]] += 1
        if row["reason"]:
            key = (Reason(row["reason"]), row["project_id"])
            if key not in self.groups and len(self.groups) < GROUPS:
                self.groups[key] = Group(*key, at, row["detail"])
            if group := self.groups.get(key):
                group.records += 1
            else:
                self.ungrouped += 1
