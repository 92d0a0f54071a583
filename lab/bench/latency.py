"""From put to visible row at a steady rate through the real stack, and how long the start takes.

A row is visible when the Iceberg snapshot that adds its file is committed; a record arrives when Kinesis says
so (column `arrival`). Both clocks are this machine's. The rows of a checkpoint become visible together, so half
the checkpoint interval is the least that p50 can be: production's 30 s is measured beside a short one.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lab.bench.events import DUPLICATES, PROJECTS, SEED, events, register
from lab.bench.figures import Figure, Say
from lab.bench.processes import peak_mb
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.process import StackError
from settings import Settings, load
from stores.lake import EVENT_STORE, Lake
from stores.stream import Stream

SHARDS = 2
BATCH = 10


def measure(rate: int, seconds: int, intervals: Sequence[int], say: Say) -> list[Figure]:
    """One fresh stack per checkpoint interval: an emulator that has grown slow would spoil the next one."""
    return [figure for interval in intervals for figure in _measure(rate, seconds, interval, say)]


def _measure(rate: int, seconds: int, interval: int, say: Say) -> list[Figure]:
    options = {"execution.checkpointing.interval": f"{interval}s"}
    with Stack("bench", Ports.free(), flink_options=options) as stack:
        say(f"checkpoints every {interval} s: stack is up, submitting the job")
        settings = load(stack.write_settings())
        stream = Stream(settings.stream_address)
        stream.create(SHARDS)
        register(settings)
        payloads = events(1 + rate * seconds, SEED, PROJECTS, DUPLICATES)
        sum(stream.put([_keyed(next(payloads))]))  # waits for the job: when it is visible, all has started

        submitted, begin = time.time(), time.monotonic()
        job = stack.submit(stack.settings_path)
        stack.flink.wait_until_running(job)
        running_after = time.monotonic() - begin
        first_visible = _wait_for_rows(stack, job, settings, 1, 120 + 2 * interval) / 1000 - submitted

        say(f"checkpoints every {interval} s: putting {rate} records/s for {seconds} s")
        feed_began = np.datetime64(time.time_ns() // 1000, "us")
        took = _feed(stream, payloads, rate)
        count = 1 + rate * seconds
        distinct = count - int(count * DUPLICATES)
        _wait_for_rows(stack, job, settings, distinct, 60 + 3 * interval)
        waits, rows = _waits(settings, feed_began)
        name = f"latency, checkpoints {interval} s"
        return [
            *_start_figures(stack, running_after, first_visible, interval),
            Figure(name, "records put", rate * seconds / took, "records/s"),
            Figure(name, "rows", "ok" if rows == distinct else f"WRONG: {rows:,} of {distinct:,}"),
            *(
                Figure(name, f"put to visible row, p{p}", float(np.percentile(waits, p)), "s")
                for p in (50, 95, 100)
            ),
            *(Figure(name, f"peak memory of {p}", peak_mb(pid) or 0.0, "MB") for p, pid in stack.pids().items()),
        ]


def _start_figures(stack: Stack, running: float, visible: float, interval: int) -> list[Figure]:
    name = f"start-up, checkpoints {interval} s"
    return [
        *(Figure(name, f"{process} answers after", after, "s") for process, after in stack.ready_after.items()),
        Figure(name, "flink run to all tasks RUNNING", running, "s"),
        Figure(name, "flink run to first row visible", visible, "s"),
    ]


def _keyed(payload: bytes) -> tuple[str, bytes]:
    return str(hash(payload)), payload


def _feed(stream: Stream, payloads: Iterator[bytes], rate: int) -> float:
    """Put all payloads at a rate, or as near as the emulator can; returns the seconds it took."""
    begin, done = time.monotonic(), 0
    while batch := [_keyed(payload) for payload in islice(payloads, BATCH)]:
        time.sleep(max(0.0, begin + done / rate - time.monotonic()))
        done += sum(stream.put(batch))
    return max(time.monotonic() - begin, done / rate)


def _wait_for_rows(stack: Stack, job: str, settings: Settings, wanted: int, limit: float) -> int:
    """Wait until the event store holds that many rows; the commit's time in ms. Late rows show as WRONG."""
    deadline = time.monotonic() + limit
    while True:
        snapshot = _table(settings).current_snapshot()
        rows = int(snapshot.summary["total-records"]) if snapshot and snapshot.summary else 0
        if rows >= wanted or (rows and time.monotonic() > deadline):
            return int(snapshot.timestamp_ms) if snapshot else 0
        if time.monotonic() > deadline:
            reason = stack.flink.root_cause(job) or stack.flink.job_state(job)
            msg = f"no row is visible after {limit:.0f} s: {reason}"
            raise StackError(msg)
        time.sleep(0.5)


def _waits(settings: Settings, since: "np.datetime64") -> tuple[NDArray[np.float64], int]:
    """Seconds from arrival to visibility of each row that arrived since then, and the number of all rows."""
    table = _table(settings)
    committed = {snapshot.snapshot_id: snapshot.timestamp_ms for snapshot in table.snapshots()}
    waits, rows = [], 0
    for entry in table.inspect.entries().to_pylist():
        path = entry["data_file"]["file_path"].removeprefix("file:")
        arrivals = pq.read_table(path, columns=["arrival"])["arrival"].to_numpy().astype("datetime64[us]")
        rows += len(arrivals)
        visible = np.datetime64(committed[entry["snapshot_id"]], "ms")
        waits.append((visible - arrivals[arrivals >= since]) / np.timedelta64(1, "s"))
    return np.concatenate(waits), rows


def _table(settings: Settings) -> Any:
    return Lake(settings.lake_address).table(EVENT_STORE)
