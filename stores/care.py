"""What one table of the lake needs of Iceberg's maintenance: planned beside the job, carried out in a JVM."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

Step = Literal["compact", "manifests", "expire", "orphans"]
STEPS: Final[Sequence[Step]] = ("compact", "manifests", "expire", "orphans")
"""In the order in which they are done: what compaction leaves behind is what the others remove, in time."""
MARK: Final = "jobs.maintain: done "
"""What a line begins with that tells of a finished step: table and step follow."""


class Care(NamedTuple):
    """What to do with one table; times are milliseconds since 1970."""

    table: str
    steps: Sequence[Step]
    day_column: str
    """by whose day the table is partitioned"""
    over_before: str
    """ISO 8601: the days that end before it are over"""
    expire_before: int
    """snapshots from before it may expire"""
    keep_last: int
    """so many snapshots of the history stay, however old"""
    orphans_before: int
    """files that nobody refers to may go when they are older"""
