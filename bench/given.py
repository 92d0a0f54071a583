"""What every engine is given, written to files, and what must be found afterwards: an oracle of its own.

The oracle reads the lines back with `json` and shares no code with any engine.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from bench.events import DUPLICATES, PROJECTS, SEED, events
from bench.rivals.meter import Counts

LINES_PER_FILE = 10_000


class Mix(NamedTuple):
    """What the events are like: bytes each, share of copies, projects, and whether one has half of the traffic."""

    size: int = 1500
    duplicates: float = DUPLICATES
    projects: int = len(PROJECTS)
    skewed: bool = False

    @property
    def project_ids(self) -> Sequence[int]:
        """The projects, each as often as its share says."""
        first = PROJECTS.start
        every = range(first, first + self.projects)
        return [*every, *[first] * (self.projects - 2)] if self.skewed else every


class Given(NamedTuple):
    """A folder of files with one event per line, how many lines, and the events that are in them."""

    folder: Path
    records: int
    counts: Counts

    @property
    def distinct(self) -> int:
        """How many of the events differ."""
        return sum(self.counts.values())


class Found(NamedTuple):
    """What an engine has stored: rows, how many of them differ, and what they and its own totals count."""

    rows: int
    distinct: int
    counts: Counts | None = None
    """None when nothing is stored that could be counted"""
    totals: Counts | None = None
    """None where totals are not asked for"""


def write(folder: Path, count: int, mix: Mix) -> Given:
    """Write `count` events of this mix, deterministic, in files of 10 000 lines."""
    folder.mkdir(parents=True)
    lines = events(count, SEED, mix.project_ids, mix.duplicates, mix.size)
    for number in range(0, count, LINES_PER_FILE):
        with (folder / f"{number:09}.jsonl").open("wb") as file:
            file.writelines(line + b"\n" for line in islice(lines, LINES_PER_FILE))
    return Given(folder, count, counted(_lines(folder)))


def counted(lines: Iterator[bytes]) -> Counts:
    """Distinct events by project and month of upload; the first copy decides the month."""
    seen = set()
    counts: Counter[tuple[int, str]] = Counter()
    for line in lines:
        event = json.loads(line)
        key = (event["app"], event["uuid"], event["event_type"])
        if key not in seen:
            seen.add(key)
            counts[event["app"], event["server_upload_time"][:7]] += 1
    return counts


def tally(stored: pa.Table, totals: Counts | None = None) -> Found:
    """What there is in rows with the columns project_id, month, identity."""
    distinct = stored.group_by(["project_id", "identity"]).aggregate([]).num_rows
    by_month = stored.group_by(["project_id", "month"]).aggregate([([], "count_all")]).to_pylist()
    counts = {(row["project_id"], row["month"]): row["count_all"] for row in by_month}
    return Found(stored.num_rows, distinct, counts, totals)


def verdict(given: Given, found: Found) -> str:
    """ok when every event is stored once and every count is the oracle's, else WRONG and what differs."""
    wrong = [
        f"{number:,} {what} instead of {given.distinct:,}"
        for what, number in {"rows": found.rows, "distinct": found.distinct}.items()
        if number != given.distinct
    ]
    for what, counts in {"rows by project and month": found.counts, "totals": found.totals}.items():
        if counts is None:
            continue
        differ = sum(counts.get(key) != given.counts.get(key) for key in counts.keys() | given.counts.keys())
        if differ:
            wrong.append(f"{differ:,} {what} differ")
    return f"WRONG: {', '.join(wrong)}" if wrong else "ok"


def _lines(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            yield from file
