"""What every engine is given, written to files, and what must be found afterwards: an oracle of its own.

The oracle reads the lines back with `json` and shares no code with any engine.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from lab.bench.events import DUPLICATES, PROJECTS, SEED, events
from lab.bench.rivals.meter import Counts

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
    fingerprint: int
    """of all events, see `fingerprint`"""

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
    fingerprint: int | None = None
    """of the rows; None likewise"""
    totals: Counts | None = None
    """None where totals are not asked for"""


def write(folder: Path, count: int, mix: Mix) -> Given:
    """Write `count` events of this mix, deterministic, in files of 10 000 lines."""
    folder.mkdir(parents=True)
    lines = events(count, SEED, mix.project_ids, mix.duplicates, mix.size)
    for number in range(0, count, LINES_PER_FILE):
        with (folder / f"{number:09}.jsonl").open("wb") as file:
            file.writelines(line + b"\n" for line in islice(lines, LINES_PER_FILE))
    return Given(folder, count, *counted(_lines(folder)))


def counted(lines: Iterator[bytes]) -> tuple[Counts, int]:
    """Distinct events by project and month of upload, of which the first copy decides, and their fingerprint."""
    seen = set()
    counts: Counter[tuple[int, str]] = Counter()
    for line in lines:
        event = json.loads(line)
        uuid, name = event["uuid"], event["event_type"]
        key = (event["app"], f"1|{len(uuid)}:{uuid}|{len(name)}:{name}")
        if key not in seen:
            seen.add(key)
            counts[event["app"], event["server_upload_time"][:7]] += 1
    return counts, fingerprint(seen)


def fingerprint(events: Iterable[tuple[int, str]]) -> int:
    """64 bits that tell which events these are, in any order: project, and identity as the event store has it."""
    digests = (blake2b(f"{project} {identity}".encode(), digest_size=8).digest() for project, identity in events)
    return sum(int.from_bytes(one) for one in digests) % 2**64


def tally(stored: pa.Table, totals: Counts | None = None) -> Found:
    """What there is in rows with the columns project_id, month, identity."""
    distinct = stored.group_by(["project_id", "identity"]).aggregate([])
    events = zip(distinct["project_id"].to_pylist(), distinct["identity"].to_pylist(), strict=True)
    by_month = stored.group_by(["project_id", "month"]).aggregate([([], "count_all")]).to_pylist()
    counts = {(row["project_id"], row["month"]): row["count_all"] for row in by_month}
    return Found(stored.num_rows, distinct.num_rows, counts, fingerprint(events), totals)


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
    if found.fingerprint is not None and found.fingerprint != given.fingerprint:
        wrong.append("other events than those given")
    return f"WRONG: {', '.join(wrong)}" if wrong else "ok"


def _lines(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            yield from file
