"""Days of small files, and what maintenance makes of them: `python -m lab.bench maintain`, 6 min and 2 GB of disk.

A checkpoint every 30 s leaves 2 880 files a day in each partition of the event store. Such files are made here,
of one large project, which has a partition for itself on each day; commits are one a day. Then Iceberg's own
maintenance runs in this process, as `amplitude-bridge maintain` has it done.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jobs import maintain, sinks
from lab.bench.figures import Figure, Say
from lab.stack.process import StackError
from ops.maintenance.keep import Ages, upkeep
from ops.release import flink_home
from stores import files
from stores.care import STEPS, Care, Step
from stores.files import Files
from stores.history import history_of
from stores.lake import EVENT_STORE, Condition, Lake, Partition
from stores.lake_address import LakeAddress

DAYS: Final = 4
FILES_A_DAY: Final = 2_520
ROWS_A_FILE: Final = 1_000  # 33 events/s
_APART: Final = np.timedelta64(34_000, "us")
PROJECT: Final = 434_735
FIRST: Final = datetime(2026, 3, 1, tzinfo=UTC)
BENCHMARK: Final = "keeping the event store"
COLUMNS: Final = ("project_id", "name", "identity", "server_upload_time")


class Look(NamedTuple):
    """What the event store looks like."""

    files: Files
    touched: int
    """data files that a query of one project and day reads"""
    seconds: float
    """that the query takes"""
    fingerprint: tuple[int, int]
    """of all rows: how many, and the sum of their hashes"""


def measure(say: Say) -> list[Figure]:
    """Write the days, then compact them, with the same query and a fingerprint of all rows before and after."""
    with TemporaryDirectory(prefix="bench-maintain-") as folder:
        os.environ |= {"FLINK_HOME": str(flink_home.build()), "FLINK_LOG_DIR": folder}
        address = LakeAddress(f"sqlite:///{folder}/catalog.db", f"file://{folder}/lake", "amplitude", None, "none")
        lake = Lake(address)
        # the project's bucket is left out: pyiceberg knows no buckets, and there is no other project
        lake.create(EVENT_STORE, sinks.COLUMNS[EVENT_STORE], [Partition("server_upload_time", "day")])
        say(f"writing {DAYS * FILES_A_DAY:,} files of {ROWS_A_FILE:,} rows")
        _write(lake, Path(folder))
        before = _look(lake, say)
        ages = Ages(datetime.now(UTC) + timedelta(seconds=1), timedelta(0), timedelta(days=3))
        care = upkeep(lake, EVENT_STORE, history_of(lake, EVENT_STORE), {}, ages).care
        steps = [_step(address, care, step, say) for step in STEPS]
        after = _look(lake, say)
        lake.catalog.close()
    same = "ok" if before.fingerprint == after.fingerprint else "WRONG: other rows than before"
    return [
        Figure(BENCHMARK, "rows", before.fingerprint[0]),
        *_figures("before", before),
        *steps,
        *_figures("after", after),
        Figure(BENCHMARK, "a project's day, times faster", before.seconds / after.seconds),
        Figure(BENCHMARK, "fingerprint of all rows", same),
    ]


def _figures(when: str, look: Look) -> list[Figure]:
    return [
        Figure(BENCHMARK, f"data files {when}", look.files.data),
        Figure(BENCHMARK, f"their mean size {when}", look.files.bytes / look.files.data / files.MIB, "MiB"),
        Figure(BENCHMARK, f"a project's day, files touched {when}", look.touched),
        Figure(BENCHMARK, f"a project's day, {when}", look.seconds, "s"),
    ]


def _step(address: LakeAddress, care: Care, step: Step, say: Say) -> Figure:
    say(step)
    begin = time.monotonic()
    maintain.take(address, care, step)
    return Figure(BENCHMARK, step, time.monotonic() - begin, "s")


def _write(lake: Lake, folder: Path) -> None:
    """Parquet files of a thousand rows in their time's order, all of a day in one commit."""
    for day in range(DAYS):
        start = np.datetime64((FIRST + timedelta(days=day)).replace(tzinfo=None), "us")
        paths = [folder / f"{day}-{number}.parquet" for number in range(FILES_A_DAY)]
        for number, path in enumerate(paths):
            numbers = np.arange(ROWS_A_FILE) + number * ROWS_A_FILE
            pq.write_table(_rows(numbers, start + numbers * _APART), path, compression="zstd")
        lake.table(EVENT_STORE).add_files([f"file://{path}" for path in paths], check_duplicate_files=False)


def _rows(numbers: "np.ndarray[Any, Any]", times: "np.ndarray[Any, Any]") -> pa.Table:
    random = np.random.default_rng(int(numbers[0]))
    ids = [random.bytes(32).hex() for _ in numbers]
    at = pa.array(times, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "project_id": pa.array([PROJECT] * len(numbers), pa.int64()),
            "name": [f"event {number % 40}" for number in numbers],
            "identity": ids,
            "server_upload_time": at,
            "arrival": at,
            "shard": ["shardId-000000000000"] * len(numbers),
            "sequence": [one[:40] for one in ids[::-1]],
        }
    )


def _look(lake: Lake, say: Say) -> Look:
    say("reading all rows, then those of one day")
    rows, total = 0, 0
    for piece in lake.pieces(EVENT_STORE, COLUMNS):
        rows += piece.num_rows
        total += int(np.add.reduce(pd.util.hash_pandas_object(piece.to_pandas(), index=False).to_numpy()))
    where = (
        Condition("project_id", "=", PROJECT),
        Condition("server_upload_time", ">=", FIRST + timedelta(days=1)),
        Condition("server_upload_time", "<", FIRST + timedelta(days=2)),
    )
    begin = time.monotonic()
    found = lake.rows(EVENT_STORE, ("name",), where).num_rows
    seconds = time.monotonic() - begin
    if found != FILES_A_DAY * ROWS_A_FILE:
        msg = f"a day has {found:,} rows, not {FILES_A_DAY * ROWS_A_FILE:,}"
        raise StackError(msg)
    touched = len(list(lake.scan(EVENT_STORE, ("name",), where).plan_files()))
    return Look(files.files(lake, EVENT_STORE, datetime.now(UTC).date()), touched, seconds, (rows, total % 2**64))
