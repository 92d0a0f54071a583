"""µs per record of the one Python function on the hot path, in this process: no JVM, no Flink.

Three tables in one: what `decode` costs by the kind of record; what the common record pays for the checks that
only odd ones need, each timed alone over the same batch less the bare loop; and the steps of a PyFlink worker on
one Arrow batch: bytes into Series, `Decode.eval`, columns into Arrow, Arrow into bytes, with PyFlink's own
conversions. CPU time, the best of several: the least disturbed.
"""

import json
import re
import time
import timeit
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
from pyflink.table import DataTypes
from pyflink.table.types import to_arrow_type
from pyflink.table.utils import arrow_to_pandas, pandas_to_arrow

from jobs.columns import row_type
from lab.bench.events import PROJECTS, SEED, events
from lab.bench.figures import Figure
from lab.sample import broken, envelopes
from lab.sample.events import cohort_message, encode, person, user_update
from stores.project import linked
from udfs import attribute, classify, clock, ids, parse, text
from udfs.attribute import Registry
from udfs.decode import decode, leaves
from udfs.functions import Decode
from udfs.model import DECODED

BATCH = 1_000  # python.fn-execution.arrow.batch.size in flink-conf/config.yaml
REPEATS = 15
INSIDE = 100
"""Records in one envelope, users in one cohort message."""
_DAY = datetime(2026, 3, 13, tzinfo=UTC)
_ARRIVAL = _DAY.replace(tzinfo=None)
_COHORT = "cohort-1"
_REGISTRY: Registry = {
    _COHORT: linked(PROJECTS[0], f"notifly-{PROJECTS[0]}"),
    **{project_id: linked(project_id, f"notifly-{project_id}") for project_id in PROJECTS},
}
_SCHEMA = pa.schema([("row", to_arrow_type(row_type(DECODED)))])
_KIND = list(DECODED).index("kind")


class Variant(NamedTuple):
    """Records of one sort, the kind that each must get, and how many are in each."""

    name: str
    payloads: Sequence[bytes]
    kind: str
    inside: int = 1


class _Metrics:
    """A counter of metrics; also the context and the group that hand it out."""

    def get_metric_group(self) -> "_Metrics":
        return self

    def counter(self, _: str) -> "_Metrics":
        return self

    def gauge(self, _: str, __: Callable[[], int]) -> None:
        """Show nothing."""

    def inc(self, n: int = 1) -> None:
        """Count nothing."""


class LiveRegistry:
    """The bench's projects, always just read."""

    age_seconds = 0.0

    def __call__(self) -> Registry:
        return _REGISTRY


def measure(say: Callable[[str], None]) -> list[Figure]:
    """Time every variant, every check and every step."""
    say(f"decoding batches of {BATCH:,} in this process")
    payloads = list(events(BATCH, SEED, PROJECTS, 0.0))
    variants = _variants(payloads)
    figures = [_figure(f"decode: {one.name}", _per_record(one)) for one in variants]
    figures += _checks(payloads, float(figures[0].value))
    figures += [_figure(name, _seconds(step) / BATCH) for name, step in _steps(payloads).items()]
    return figures


def _variants(payloads: Sequence[bytes]) -> list[Variant]:
    rng = Random(SEED)
    people = [person(rng) for _ in range(50)]
    updates = [encode(user_update(rng, rng.choice(PROJECTS), rng.choice(people), _DAY)) for _ in range(BATCH)]
    cohorts = [encode(cohort_message(rng, _COHORT, _DAY, INSIDE)) for _ in range(BATCH // INSIDE)]
    groups = [payloads[at : at + INSIDE] for at in range(0, BATCH, INSIDE)]
    return [
        Variant("event, typical (1.5 KB, Korean, emoji)", payloads, "event"),
        Variant("event, ASCII only", [re.sub(rb"[\x80-\xff]", b"x", one) for one in payloads], "event"),
        Variant("event without uuid (identity rung 2)", [_without_uuid(one) for one in payloads], "event"),
        Variant(
            "event with an undocumented field",
            [one[:-1] + b',"not_documented":1}' for one in payloads],
            "event",
        ),
        Variant(
            r"event, all but ASCII as \u escapes",
            [json.dumps(json.loads(one), separators=(",", ":")).encode() for one in payloads],
            "event",
        ),
        Variant("user update", updates, "user_update"),
        Variant(f"cohort message of {INSIDE} users", cohorts, "cohort"),
        Variant(
            f"event in a gzip of {INSIDE}, opened",
            [envelopes.gzipped_lines(group) for group in groups],
            "event",
            INSIDE,
        ),
        Variant(
            f"event in NDJSON of {INSIDE}, opened",
            [envelopes.lines(group) for group in groups],
            "event",
            INSIDE,
        ),
        Variant("dead letter: JSON cut in half", [one[: len(one) // 2] for one in payloads], "rejected"),
        Variant("test record", broken.control({})["test_record"][:1] * BATCH, "control"),
    ]


def _without_uuid(payload: bytes) -> bytes:
    return re.sub(rb'"uuid":"[^"]*",', b"", payload, count=1)


def _per_record(one: Variant) -> float:
    found = [row[_KIND] for payload in one.payloads for _, row in leaves(payload, _ARRIVAL, _REGISTRY)]
    assert found == [one.kind] * len(one.payloads) * one.inside, one.name
    if one.inside > 1:
        return _seconds(lambda: [list(leaves(data, _ARRIVAL, _REGISTRY)) for data in one.payloads]) / len(found)
    return _seconds(lambda: [decode(data, _ARRIVAL, _REGISTRY) for data in one.payloads]) / len(found)


def _checks(payloads: Sequence[bytes], typical: float) -> list[Figure]:
    """What a plain event pays for odd ones: each check as the product does it, less the bare loop."""
    events = [parsed[0] for data in payloads if (parsed := parse.quick(data))]
    objects = [parsed[1] for data in payloads if (parsed := parse.quick(data))]
    assert len(events) == BATCH
    sentinels, special = ids.SENTINELS, classify.SPECIAL
    loop = _seconds(lambda: [None for _ in payloads])
    found = _seconds(lambda: [_REGISTRY.get(e.app) for e in events])
    checks: dict[str, tuple[Callable[[], Any], float]] = {
        "may it be nested too deep": (lambda: [text.may_be_deep(data) for data in payloads], loop),
        "escapes that may disguise a key": (
            lambda: [b"\\" in data and parse._ODD_ESCAPE.search(data) for data in payloads],
            loop,
        ),
        "ids that mean nobody": (
            lambda: [
                e.uuid in sentinels
                or e.user_id in sentinels
                or e.device_id in sentinels
                or e.insert_id in sentinels
                for e in events
            ],
            loop,
        ),
        "names that are not a customer's": (lambda: [e.event_type.startswith(special) for e in events], loop),
        "objects that are none": (lambda: [[s for s in spelled if s[0] != "{"] for spelled in objects], loop),
        "linked when uploaded, beyond finding the project": (
            lambda: [attribute.owner(_REGISTRY, e.app, e.server_upload_time) for e in events],
            found,
        ),
        "uploaded at a time that can be (asked twice)": (
            lambda: [
                clock.EARLIEST <= e.server_upload_time <= _ARRIVAL
                and clock.EARLIEST <= e.server_upload_time <= _ARRIVAL
                for e in events
            ],
            loop,
        ),
    }
    seconds = {name: max(0.0, _seconds(check) - bare) / BATCH for name, (check, bare) in checks.items()}
    total = sum(seconds.values())
    return [
        *(_figure(f"check: {name}", one) for name, one in seconds.items()),
        _figure("checks: sum", total),
        Figure("decode", "checks: share of decoding a typical event", total * 1e8 / typical, "%"),
    ]


def _steps(payloads: Sequence[bytes]) -> dict[str, Callable[[], Any]]:
    source = pa.record_batch({"payload": payloads, "arrival": pa.array([_ARRIVAL] * BATCH, pa.timestamp("ms"))})
    types = [DataTypes.BYTES(), DataTypes.TIMESTAMP_LTZ(3)]
    function = Decode(LiveRegistry)
    function.open(_Metrics())
    series = arrow_to_pandas("UTC", types, [source])
    decoded = function.eval(*series)
    batch = pandas_to_arrow(_SCHEMA, "UTC", [None], [decoded])
    assert set(batch["row"].field("kind").to_pylist()) == {"event"}
    return {
        "step: parse, quick way": lambda: [parse.quick(data) for data in payloads],
        "step: Arrow to Series": lambda: arrow_to_pandas("UTC", types, [source]),
        "step: Decode.eval (decode, counts, Series)": lambda: function.eval(*series),
        "step: Series to Arrow": lambda: pandas_to_arrow(_SCHEMA, "UTC", [None], [decoded]),
        "step: Arrow to bytes": lambda: _write(batch),
    }


def _seconds(step: Callable[[], Any]) -> float:
    return min(timeit.repeat(step, timer=time.process_time, number=1, repeat=REPEATS))


def _figure(name: str, seconds: float) -> Figure:
    return Figure("decode", name, seconds * 1e6, "µs/record")


def _write(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()
