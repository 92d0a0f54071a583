"""A plain Python consumer, the yardstick of cost per event: msgspec, LMDB, pyarrow, one thread.

Micro-batches of 10 000 lines. Keys, counts and position are one LMDB transaction; a batch's Parquet file is named
by its number and written before that commits, so a batch repeated after a crash overwrites its own file.

Not guaranteed: files and LMDB are no one transaction, so a reader may see rows that are not counted yet, and two
copies when a batch is cut at another line the second time (input that has grown in between). One process on one
disk: no rescaling, no failover, no stream behind it. Keys never expire, and no table format: no snapshots, no
schema evolution.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import lmdb

from lab.bench.rivals import rows
from lab.bench.rivals.meter import Counts, Meter, report

BATCH = 10_000
_MAP_BYTES = 2**34  # address space, not disk


class Store:
    """The folder of Parquet files, and the LMDB of keys, counts and the number of batches done."""

    def __init__(self, out: Path) -> None:
        self._events = out / "events"
        self._events.mkdir(parents=True, exist_ok=True)
        self._env = lmdb.open(str(out / "state"), map_size=_MAP_BYTES, max_dbs=2)
        self._keys = self._env.open_db(b"keys")
        self._counts = self._env.open_db(b"counts")

    @property
    def done(self) -> int:
        """How many batches are stored."""
        with self._env.begin() as txn:
            return int(txn.get(b"done", b"0"))

    def counts(self) -> Counts:
        """Events stored by project and month."""
        with self._env.begin(db=self._counts) as txn:
            return {_project_month(bytes(name)): int(count) for name, count in txn.cursor()}

    def add(self, number: int, events: list[Any]) -> None:
        """Store the first copies of a batch and count them, or nothing of it."""
        with self._env.begin(write=True) as txn:
            first = [event for event in events if txn.put(rows.key(event), b"", overwrite=False, db=self._keys)]
            if first:
                rows.write(first, self._events / f"{number:06}.parquet")
            for (project, month), count in Counter(map(rows.month, first)).items():
                name = f"{project} {month}".encode()
                before = int(txn.get(name, b"0", db=self._counts))
                txn.put(name, b"%d" % (before + count), db=self._counts)
            txn.put(b"done", b"%d" % (number + 1))


def batches(folder: Path, size: int = BATCH) -> Iterator[list[bytes]]:
    """The input's lines, `size` at a time."""
    lines = chain.from_iterable(map(_lines, rows.files(folder)))
    while batch := list(islice(lines, size)):
        yield batch


def main(folder: Path, out: Path) -> None:
    """Consume what is not stored yet."""
    meter, store = Meter(), Store(out)
    done = store.done
    for number, lines in enumerate(islice(batches(folder), done, None), done):
        meter.start()
        store.add(number, list(map(rows.decode, lines)))
    report(meter.stop(), store.counts())


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _project_month(name: bytes) -> tuple[int, str]:
    project, month = name.decode().split()
    return int(project), month


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
