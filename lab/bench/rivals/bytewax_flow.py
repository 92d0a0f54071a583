"""Bytewax, the dataflow engine for Python: one worker, recovery on, a snapshot every 10 s as our checkpoints.

As its documentation recommends for speed, lines are decoded a batch at a time and state is a
`StatefulBatchLogic`: first copies in hash buckets of project, uuid and event type, running totals per project and
month. The sink does as its own DirSink: it closes a file at each snapshot, and after a crash removes what it wrote
since the last one.

Not guaranteed: a reader sees rows that a resume takes back and writes once more. Files, totals and recovery store
(SQLite) are not committed together. A snapshot pickles every bucket whole, so its cost grows with all keys ever
seen, and none expires. It can only be rescaled by a stop, and a lost machine takes its recovery store along.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.files import DirSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from lab.bench.rivals import rows
from lab.bench.rivals.meter import Meter, report

BUCKETS = 64
ROWS_PER_FILE = 10_000  # as plain.py, so that both compress alike
SNAPSHOT_INTERVAL = timedelta(seconds=10)
TOTALS = "totals.json"

Keyed = tuple[bytes, Any]
"""What copies have in common, and the event."""


class FirstCopies(StatefulBatchLogic[Keyed, Any, frozenset[bytes]]):
    """The events of a bucket whose key is new; state is every key of the bucket seen so far."""

    def __init__(self, resume_state: frozenset[bytes] | None) -> None:
        self._seen = set(resume_state or ())

    def on_batch(self, values: list[Keyed]) -> tuple[list[Any], bool]:
        """Forward first copies; the bucket is kept."""
        first = []
        for key, event in values:
            if key not in self._seen:
                self._seen.add(key)
                first.append(event)
        return first, StatefulBatchLogic.RETAIN

    def snapshot(self) -> frozenset[bytes]:
        """The keys, apart from those that come later."""
        return frozenset(self._seen)


class Totals(StatefulBatchLogic[int, int, int]):
    """The running total of one project and month."""

    def __init__(self, resume_state: int | None) -> None:
        self._total = resume_state or 0

    def on_batch(self, values: list[int]) -> tuple[list[int], bool]:
        """Add a batch's counts and forward the new total."""
        self._total += sum(values)
        return [self._total], StatefulBatchLogic.RETAIN

    def snapshot(self) -> int:
        """The total."""
        return self._total


class ParquetPart(StatefulSinkPartition[Any, int]):
    """Files numbered from the one to resume at, closed when full and at each snapshot."""

    def __init__(self, folder: Path, resume_state: int | None) -> None:
        self._folder, self._number = folder, resume_state or 0
        self._events: list[Any] = []
        for path in folder.glob("*.parquet"):
            if int(path.stem) >= self._number:
                path.unlink()

    def write_batch(self, values: list[Any]) -> None:
        """Keep them until there are enough for a file."""
        self._events += values
        if len(self._events) >= ROWS_PER_FILE:
            self._flush()

    def snapshot(self) -> int:
        """The number of the next file; all before it are on disk."""
        self._flush()
        return self._number

    def close(self) -> None:
        """At the end of the input."""
        self._flush()

    def _flush(self) -> None:
        if self._events:
            rows.write(self._events, self._folder / f"{self._number:06}.parquet")
            self._number += 1
            self._events = []


class TotalsPart(StatefulSinkPartition[tuple[str, int], dict[str, int]]):
    """The newest totals in one file, replaced at each snapshot."""

    def __init__(self, path: Path, resume_state: dict[str, int] | None) -> None:
        self._path, self._totals = path, resume_state or {}

    def write_batch(self, values: list[tuple[str, int]]) -> None:
        """Totals are absolute: the last one of a project and month is the one."""
        self._totals |= dict(values)

    def snapshot(self) -> dict[str, int]:
        """The totals, on disk."""
        draft = self._path.with_suffix(".part")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(self._totals, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        return dict(self._totals)

    def close(self) -> None:
        """At the end of the input."""
        self.snapshot()


class OnePart(FixedPartitionedSink[Any, Any]):
    """A sink with a single partition, made by `part(path, resume_state)`."""

    def __init__(self, part: Any, path: Path) -> None:
        self._part, self._path = part, path

    def list_parts(self) -> list[str]:
        """The one partition."""
        return ["all"]

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> StatefulSinkPartition[Any, Any]:
        """The partition as it was at the last snapshot."""
        return self._part(self._path, resume_state)


def flow(folder: Path, out: Path, meter: Meter) -> Dataflow:
    """The dataflow from a folder of lines into `out`."""

    def decode(lines: list[str]) -> Iterable[tuple[str, Keyed]]:
        meter.start()
        for event in map(rows.decode, lines):
            key = rows.key(event)
            yield str(key[0] % BUCKETS), (key, event)

    graph = Dataflow("events")
    lines = op.input("lines", graph, DirSource(folder, "*.jsonl"))
    decoded = op.flat_map_batch("decode", lines, decode)
    # (bucket, (key, event))
    first = op.stateful_batch("first-copy", decoded, FirstCopies)
    # (bucket, event)
    op.output("event-store", first, OnePart(ParquetPart, out / "events"))
    counted = op.flat_map_batch("count", first, counts)
    # ("project month", events)
    totals = op.stateful_batch("totals", counted, Totals)
    op.output("usage", op.map("name", totals, lambda total: (total[0], total)), OnePart(TotalsPart, out / TOTALS))
    return graph


def counts(values: list[tuple[str, Any]]) -> Iterable[tuple[str, int]]:
    """How many events of a batch each project and month has."""
    found = Counter(rows.month(event) for _, event in values)
    return [(f"{project} {month}", count) for (project, month), count in found.items()]


def main(folder: Path, out: Path) -> None:
    """Run the dataflow to the end of its input."""
    recovery = out / "recovery"
    if not recovery.is_dir():
        recovery.mkdir(parents=True)
        init_db_dir(recovery, 1)
    (out / "events").mkdir(exist_ok=True)
    meter = Meter()
    cli_main(
        flow(folder, out, meter),
        epoch_interval=SNAPSHOT_INTERVAL,
        recovery_config=RecoveryConfig(recovery),
    )
    cost = meter.stop()
    found = json.loads((out / TOTALS).read_text(encoding="utf-8"))
    report(cost, {(int(name.split()[0]), name.split()[1]): total for name, total in found.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
