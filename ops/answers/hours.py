"""What became of records, hour by hour: out of the ledger, which counts all of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ops.answers.ledger import summed
from stores.lake import Condition, Lake
from udfs.model import Kind

STORED: Final = "stored"
DUPLICATE: Final = "duplicate"
OUTCOMES: Final = (
    *(STORED, DUPLICATE, Kind.USER_UPDATE.value, Kind.COHORT.value),
    *(kind.value for kind in (Kind.CONTROL, Kind.FILTERED, Kind.NOT_LINKED, Kind.QUARANTINED, Kind.REJECTED)),
)
"""`stored` are events, `duplicate` copies of events and of user updates; each record has one of them."""
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Hour:
    """The records that arrived within an hour, by outcome; an outcome that none had is not there."""

    begin: datetime
    """aware, UTC"""
    outcomes: Mapping[str, int]

    @property
    def records(self) -> int:
        """All of them."""
        return sum(self.outcomes.values())


def by_hour(lake: Lake, since: datetime, until: datetime, project_id: int | None = None) -> list[Hour]:
    """Each hour from that of `since` to that of `until`, both aware; of one project, or of all records.

    Raises StoreError.
    """
    first, last = (at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) for at in (since, until))
    where = [Condition("hour", ">=", first), Condition("hour", "<", last + _HOUR)]
    if project_id is not None:
        where.append(Condition("project_id", "=", project_id))
    counts: dict[datetime, Counter[str]] = {}
    for row in summed(lake, ("hour", "kind"), where):
        of_hour = counts.setdefault(row["hour"].astimezone(UTC), Counter())
        of_hour.update(_outcomes(row["kind"], row["records"], row["first_copies"]))
    hours = ((last - first) // _HOUR) + 1
    begins = [first + n * _HOUR for n in range(hours)]
    return [Hour(begin, dict(+counts.get(begin, Counter()))) for begin in begins]


def _outcomes(kind: str, records: int, first_copies: int) -> dict[str, int]:
    match kind:
        case Kind.EVENT:
            return {STORED: first_copies, DUPLICATE: records - first_copies}
        case Kind.USER_UPDATE:
            return {kind: first_copies, DUPLICATE: records - first_copies}
        case _:
            return {kind: records}
