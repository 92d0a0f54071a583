"""What the intake tells Prometheus: of all its processes together, by files that they share."""

from collections import Counter as Counts
from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from stores.put_records import Outcome

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 4.0)
_NOWHERE = CollectorRegistry()  # the files are what is read, not the objects

_REQUESTS = Counter("intake_requests", "Requests", ["endpoint", "status"], registry=_NOWHERE)
_LATENCY = Histogram(
    "intake_request_seconds", "From the head to the answer", ["endpoint"], registry=_NOWHERE, buckets=_SECONDS
)
_BYTES = Counter("intake_body_bytes", "Bytes of bodies that were taken", ["endpoint"], registry=_NOWHERE)
_RECORDS = Counter("intake_records", "Records in calls of PutRecords, by outcome", ["outcome"], registry=_NOWHERE)
_CALLS = Histogram("intake_put_seconds", "Calls of PutRecords", registry=_NOWHERE, buckets=_SECONDS)
_WAITING = Gauge(
    "intake_waiting_bytes", "Bytes that wait for the stream", registry=_NOWHERE, multiprocess_mode="livesum"
)


class Metrics:
    """Those of one process; docs/data.md says what each means."""

    def __init__(self) -> None:
        self._of = cache(_series)
        for outcome in Outcome:  # a series that begins at 0 shows an alarm its first record
            _RECORDS.labels(outcome.value).inc(0)

    def answered(self, endpoint: str, status: int, seconds: float, taken: int) -> None:
        """Note a request, and how many bytes of it were taken."""
        requests, latency, of_bodies = self._of(endpoint, status)
        requests.inc()
        latency.observe(seconds)
        of_bodies.inc(taken)

    def called(self, outcomes: Sequence[Outcome], seconds: float, waiting: int) -> None:
        """Note a call of PutRecords, and how many bytes wait."""
        for outcome, records in Counts(outcomes).items():
            _RECORDS.labels(outcome.value).inc(records)
        _CALLS.observe(seconds)
        _WAITING.set(waiting)


def _series(endpoint: str, status: int) -> tuple[Counter, Histogram, Counter]:
    """Those of a request; to find them by their labels takes longer than to add to them."""
    return _REQUESTS.labels(endpoint, str(status)), _LATENCY.labels(endpoint), _BYTES.labels(endpoint)


def page() -> bytes:
    """All of it, in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
