"""µs per record of the one Python function on the hot path, in this process: no JVM, no Flink.

Steps are those of a PyFlink worker on one Arrow batch: bytes into Series, `Decode.eval`, columns into Arrow,
Arrow into bytes, with PyFlink's own conversions. CPU time, the best of five: the least disturbed.
"""

import time
import timeit
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyflink.table import DataTypes
from pyflink.table.types import to_arrow_type
from pyflink.table.utils import arrow_to_pandas, pandas_to_arrow

from bench.events import events
from bench.figures import Figure
from bench.throughput import PROJECTS, SEED
from jobs.topology import row_type
from stores.projects import Project
from udfs import parse
from udfs.decode import Decode, decode
from udfs.model import DECODED

BATCH = 2_000  # python.fn-execution.arrow.batch.size in flink-conf/config.yaml
REPEATS = 5
_REGISTRY = {project_id: Project(project_id, f"notifly-{project_id}") for project_id in PROJECTS}
_SCHEMA = pa.schema([("row", to_arrow_type(row_type(DECODED)))])


class _Counter:
    """A counter of metrics; also the context and the group that hand it out."""

    def get_metric_group(self) -> "_Counter":
        return self

    def counter(self, _: str) -> "_Counter":
        return self

    def inc(self, n: int = 1) -> None:
        """Count nothing."""


def open_registry() -> Callable[[], Mapping[int, Project]]:
    """The bench's projects."""
    return lambda: _REGISTRY


def measure(say: Callable[[str], None]) -> list[Figure]:
    """Time every step over one batch of valid events."""
    say(f"decoding batches of {BATCH:,} in this process")
    payloads = list(events(BATCH, SEED, PROJECTS, 0.0))
    # one field that Amplitude has not documented sends a record the careful way
    odd = [payload[:-1] + b',"not_documented":1}' for payload in payloads]
    arrival = datetime(2026, 3, 13, tzinfo=UTC).replace(tzinfo=None)
    arrivals = [arrival] * BATCH
    source = pa.record_batch({"payload": payloads, "arrival": pa.array(arrivals, pa.timestamp("ms"))})
    types = [DataTypes.BYTES(), DataTypes.TIMESTAMP_LTZ(3)]

    function = Decode(open_registry)
    function.open(_Counter())
    series = arrow_to_pandas("UTC", types, [source])
    decoded = function.eval(*series)
    batch = pandas_to_arrow(_SCHEMA, "UTC", [None], [decoded])
    assert set(batch["row"].field("kind").to_pylist()) == {"event"}
    steps: dict[str, Callable[[], Any]] = {
        "parse, quick way": lambda: [parse.parse(data) for data in payloads],
        "parse, careful way": lambda: [parse.parse(data) for data in odd],
        "decode, quick way": lambda: [decode(data, arrival, _REGISTRY) for data in payloads],
        "decode, careful way": lambda: [decode(data, arrival, _REGISTRY) for data in odd],
        "Arrow to Series": lambda: arrow_to_pandas("UTC", types, [source]),
        "Decode.eval, quick way (decode, counts, Series)": lambda: function.eval(*series),
        "Series to Arrow": lambda: pandas_to_arrow(_SCHEMA, "UTC", [None], [decoded]),
        "Arrow to bytes": lambda: _write(batch),
    }
    best = {
        name: min(timeit.repeat(step, timer=time.process_time, number=1, repeat=REPEATS))
        for name, step in steps.items()
    }
    return [Figure("decode", name, seconds / BATCH * 1e6, "µs/record") for name, seconds in best.items()]


def _write(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()
