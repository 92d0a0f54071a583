"""What the job did not take: how much, the newest, one in full, and the state of each.

No more than a few files are in memory at a time, and payloads are read of one letter only.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers import replayed
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


def find(lake: Lake, handle: Handle) -> Letter:
    """One dead letter with its payload. Raises StoreError when there is none."""
    where = [Condition(column, "=", value) for column, value in handle._asdict().items()]
    found = lake.rows(DEAD_LETTERS, ("*",), where, limit=1).to_pylist()
    if not found:
        msg = f"no dead letter at {handle}: `dead-letters list` prints the handles"
        raise StoreError(msg)
    letter: Letter = found[0]
    return letter


def key_of(letter: Letter) -> str:
    """What tells a letter from all others, as the table `replays` has it."""
    return letter_key(*(letter[name] for name in ("shard", "sequence", "sub_index", "project_id", "reason")))


def handle_of(letter: Letter) -> Handle:
    """Where a letter stands in the stream."""
    return Handle(letter["shard"], letter["sequence"], letter["sub_index"])
