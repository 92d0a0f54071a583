"""The state of a dead letter: it waits, or it was replayed, and then what became of it.

A letter is told by where it stands, its project and its reason, so payloads are not read. What became of a replay
is found by where Kinesis has put it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from settings import Settings
from stores.lake import COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Condition, Lake
from stores.replays import Replay, Replays
from udfs.model import Kind

State = Literal["waiting", "replayed", "all"]
_KEY: Final = ("shard", "sequence", "sub_index", "project_id", "reason")
_TEXT: Final = pa.large_string()
_TAKEN: Final = {EVENT_STORE: Kind.EVENT, USER_UPDATES: Kind.USER_UPDATE, COHORT_MESSAGES: Kind.COHORT}
_CLOCKS: Final = timedelta(days=1)  # how much earlier than this machine Kinesis may say that a replay arrived


def window(where: Sequence[Condition]) -> tuple[datetime | None, datetime | None]:
    """When the letters of these conditions arrived: from, and before."""
    bounds = {one.comparison: one.value for one in where if one.column == "arrival"}
    return bounds.get(">="), bounds.get("<")


def pieces(
    settings: Settings, columns: Sequence[str], where: Sequence[Condition], state: State
) -> Iterator[pa.Table]:
    """Dead letters in a state, a few files at a time. Raises StoreError."""
    lake = Lake(settings.lake_address)
    letters = () if state == "all" else Replays(settings.tables_address).letters(*window(where))
    replayed = pa.array((letter.rpartition(" ")[0] for letter in letters), _TEXT)
    if not replayed:
        yield from () if state == "replayed" else lake.pieces(DEAD_LETTERS, columns, where)
        return
    for piece in lake.pieces(DEAD_LETTERS, [*dict.fromkeys((*columns, *_KEY))], where):
        among = pc.is_in(_keys(piece), value_set=replayed)
        yield piece.filter(among if state == "replayed" else pc.invert(among)).select(columns)


def _keys(letters: pa.Table) -> pa.ChunkedArray:
    """`letter_key` of each."""
    parts = (pc.fill_null(letters[name].cast(_TEXT), "") for name in _KEY)
    return pc.binary_join_element_wise(*parts, pa.scalar(":", _TEXT))


def outcomes(lake: Lake, replays: Sequence[Replay]) -> dict[str, str]:
    """By key of the letter: what became of its replay, in words. Raises StoreError."""
    if not replays:
        return {}
    since = min(max(_time(one.arrival), _time(one.replayed_at) - _CLOCKS) for one in replays)
    found = _found(lake, {one.put_sequence for one in replays}, since)
    missing: dict[str, str] = {}
    for one in replays:
        if one.put_sequence not in found:
            missing[one.put_shard] = max(one.put_sequence, missing.get(one.put_shard, ""))
    behind = {shard for shard, sequence in missing.items() if passed(lake, shard, sequence, since)}
    return {one.key: found.get(one.put_sequence) or nothing(one.put_shard in behind) for one in replays}


def _found(lake: Lake, sequences: set[str], since: datetime) -> dict[str, str]:
    """By sequence number: what the tables have of it."""
    bounds = [
        Condition("arrival", ">=", since),
        Condition("sequence", ">=", min(sequences)),
        Condition("sequence", "<", max(sequences) + "0"),
    ]
    wanted = pa.array(sequences, _TEXT)
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for table, kind in (*_TAKEN.items(), (DEAD_LETTERS, None)):
        columns = ("sequence",) if kind else ("sequence", "reason")
        for piece in lake.pieces(table, columns, bounds):
            for row in piece.filter(pc.is_in(piece["sequence"], value_set=wanted)).to_pylist():
                counts[row["sequence"]][kind or f"not taken again, {row['reason']}"] += 1
    return {sequence: ", ".join(_several(*one) for one in words.items()) for sequence, words in counts.items()}


def _several(word: str, n: int) -> str:
    return word if n == 1 else f"{n:,} times {word}"


def passed(lake: Lake, shard: str, sequence: str, since: datetime) -> bool:
    """Whether something is stored that came behind a record of a shard."""
    later = [
        Condition("arrival", ">=", since),
        Condition("shard", "=", shard),
        Condition("sequence", ">=", sequence + "0"),
    ]
    return any(lake.rows(table, ("sequence",), later, limit=1).num_rows for table in (*_TAKEN, DEAD_LETTERS))


def nothing(overtaken: bool) -> str:
    """What has become of a record of which no table has anything, in words."""
    return "a copy of what was taken" if overtaken else "not seen yet: on its way, or a copy of what was taken"


def _time(iso: str) -> datetime:
    return datetime.fromisoformat(iso)
