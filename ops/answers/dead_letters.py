"""What the job did not take: how much, the newest, one in full, and the state of each.

No more than a few files are in memory at a time, and payloads are read of one letter only.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers import replayed
from ops.answers.ledger import summed
from settings import Settings
from stores.errors import StoreError
from stores.lake import DEAD_LETTERS, Condition, Lake
from stores.replays import Replay, Replays, letter_key

LIGHT: Final = (
    *("arrival", "kind", "reason", "project_id", "payload_length"),
    *("shard", "sequence", "sub_index", "request_id", "detail"),
)
"""All columns but the payload and its hash."""
BY: Final = {"kind": "kind", "project": "project_id", "reason": "reason", "hour": "arrival"}
"""By what letters are counted: the column of each."""

Letter = dict[str, Any]
"""A row of the table by column."""


class Handle(NamedTuple):
    """Where a dead letter stands in the stream; with `sub_index` a part of an envelope."""

    shard: str
    sequence: str
    sub_index: int | None

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part is not None)


def handle_in(text: str) -> Handle | None:
    """The place that a text names, SHARD:SEQUENCE or SHARD:SEQUENCE:SUB_INDEX; None where it names none."""
    found = re.fullmatch(r"([^:\s]{1,128}):([0-9]{1,128})(?::([0-9]{1,9}))?", text)
    return Handle(found[1], found[2], int(found[3]) if found[3] else None) if found else None


def count(pieces: Iterable[pa.Table], by: Sequence[str]) -> Counter[tuple[Any, ...]]:
    """How many dead letters there are, by the values of these columns."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for piece in pieces:
        named = piece.select([BY[name] for name in by]).rename_columns(list(by))
        if "hour" in by:
            hours = pc.floor_temporal(named["hour"], unit="hour")
            named = named.set_column(by.index("hour"), "hour", hours)
        for row in named.group_by(list(by)).aggregate([([], "count_all")]).to_pylist():
            counts[tuple(row[name] for name in by)] += row["count_all"]
    return counts


def newest(pieces: Iterable[pa.Table], limit: int) -> tuple[list[Letter], int]:
    """The newest dead letters without their payloads, and how many there are in all."""
    order = [("arrival", "descending"), ("sequence", "descending"), ("sub_index", "ascending")]
    kept, total = None, 0
    for piece in pieces:
        total += piece.num_rows
        together = piece if kept is None else pa.concat_tables([kept, piece])
        kept = together.sort_by(order).slice(0, limit).combine_chunks()
    return ([] if kept is None else kept.select(LIGHT).to_pylist()), total


def states(
    settings: Settings, letters: Sequence[Letter], among: Sequence[Condition] | None
) -> dict[str, dict[str, str]]:
    """By key: the state of each of these letters; `among` says when those that may have been replayed arrived."""
    keys = {key_of(letter) for letter in letters}
    replays = () if among is None else Replays(settings.tables_address).of_arrivals(*replayed.window(among))
    found = [one for one in replays if one.key in keys]
    became = replayed.outcomes(Lake(settings.lake_address), found)
    return {key: {"state": "waiting"} for key in keys} | {one.key: _state(one, became[one.key]) for one in found}


def _state(one: Replay, outcome: str) -> dict[str, str]:
    as_what = f"{one.put_shard}:{one.put_sequence}"
    return {"state": "replayed", "replayed_at": one.replayed_at, "replayed_as": as_what, "outcome": outcome}


def find(lake: Lake, handle: Handle, project_id: int | None = None) -> Letter:
    """One dead letter with its payload, of any project unless one is named. Raises StoreError where none is."""
    where = [Condition(column, "=", value) for column, value in handle._asdict().items()]
    where += [] if project_id is None else [Condition("project_id", "=", project_id)]
    found = lake.rows(DEAD_LETTERS, ("*",), where, limit=1).to_pylist()
    if not found:
        msg = f"no dead letter at {handle}: `dead-letters list` prints the handles"
        raise StoreError(msg)
    letter: Letter = found[0]
    return letter


@dataclass(frozen=True)
class Day:
    """The dead letters that arrived on a UTC day, replayed ones too, by reason."""

    day: date
    reasons: Mapping[str, int]

    @property
    def records(self) -> int:
        """All of them."""
        return sum(self.reasons.values())


def daily(lake: Lake, since: datetime, until: datetime, project_id: int | None = None) -> list[Day]:
    """Each UTC day from that of `since` to that of `until`, both aware; of one project, or of all.

    Out of the ledger, which has counted all of them. Raises StoreError.
    """
    first, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    where = [Condition("hour", ">=", datetime(first.year, first.month, first.day, tzinfo=UTC))]
    where += [Condition("hour", "<", until)]
    if project_id is not None:
        where.append(Condition("project_id", "=", project_id))
    counts: dict[date, Counter[str]] = {}
    for row in summed(lake, ("hour", "reason"), where):
        if row["reason"]:
            counts.setdefault(row["hour"].astimezone(UTC).date(), Counter())[row["reason"]] += row["records"]
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [Day(day, dict(counts.get(day, Counter()).most_common())) for day in days]


def key_of(letter: Letter) -> str:
    """What tells a letter from all others, as the table `replays` has it."""
    return letter_key(*(letter[name] for name in ("shard", "sequence", "sub_index", "project_id", "reason")))


def handle_of(letter: Letter) -> Handle:
    """Where a letter stands in the stream."""
    return Handle(letter["shard"], letter["sequence"], letter["sub_index"])
