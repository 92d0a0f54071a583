"""The replays of dead letters: who asked for which, when, and what the letters came back as."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.answers.replayed import outcomes
from settings import Settings
from stores.lake import Lake
from stores.replays import Asked, Replay, Replays


@dataclass(frozen=True)
class Done:
    """One command that replayed, and what became of its letters."""

    asked: Asked | None
    """None for all that an earlier version has replayed, which noted no command"""
    first: str
    """when its first letter was put, and its last; ISO 8601, UTC"""
    last: str
    letters: int
    outcomes: Mapping[str, int]
    """letters by what they came back as, in words"""


def replays(settings: Settings, since: datetime | None = None) -> list[Done]:
    """All commands that put a letter since then, the newest first; a letter counts for its newest replay.

    Raises StoreError.
    """
    begin = since.astimezone(UTC).isoformat(timespec="milliseconds") if since else ""
    of: dict[Asked | None, list[Replay]] = defaultdict(list)
    for one in Replays(settings.tables_address).of_arrivals():
        if one.replayed_at >= begin:
            of[one.command].append(one)
    lake = Lake(settings.lake_address)
    done = [_done(lake, asked, letters) for asked, letters in of.items()]
    return sorted(done, key=lambda one: one.first, reverse=True)


def _done(lake: Lake, asked: Asked | None, letters: list[Replay]) -> Done:
    became = outcomes(lake, letters)
    times = [one.replayed_at for one in letters]
    counts = Counter(became[one.key] for one in letters)
    return Done(asked, min(times), max(times), len(letters), dict(counts.most_common()))
