"""Puts events that wait in `outbox` on the stream of message events again, once they are due.

The job that delivers is the one front door: this process only puts records. To put one twice is harmless, for the
job knows an attempt that it has seen. So what was put is remembered here in memory alone.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import prometheus_client
import pyarrow as pa
import pyarrow.compute as pc

from ops.answers.waiting import waiting
from ops.maintenance.due import Key, Memory, chosen
from ops.maintenance.leader import Leader, stand_by
from settings import Settings
from stores.destinations import Destinations
from stores.history import history_of, times_set_back
from stores.lake import EXPORT_LEDGER, OUTBOX, Condition, Lake
from stores.leases import REDELIVER
from stores.stream import PUT_RECORDS_MAX, Stream
from udfs.export.answers import State
from udfs.export.redelivery import again
from udfs.export.sender import Outcome

PER_SECOND: Final = 1_000
"""Events a second at most, as many as a shard takes: message events of now go by the same stream."""
_UNSETTLED: Final = 60 * PER_SECOND
"""Events that may be put without a row yet that settles them; with more the job is behind, not this process."""
_EVERY: Final = 5.0  # seconds
_LOOK_BACK: Final = timedelta(days=8)
"""How long after its arrival an event may come to wait at first: longer than a stream is kept as a rule."""
_FRESH: Final = 120.0
"""Seconds for which one look proves health."""
log = logging.getLogger("redeliver")


class Metrics:
    """What `redeliver` tells of itself; docs/data.md says what each means."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        gauge = prometheus_client.Gauge
        self.last_look = gauge(
            "redeliver_last_look_timestamp_seconds", "End of the last look", registry=self.registry
        )
        self.put = prometheus_client.Counter(
            "redeliver_events_put", "Events put on the stream again", registry=self.registry
        )
        self.waiting = gauge("redeliver_events_waiting", "Events that wait", ["state"], registry=self.registry)
        self.oldest = gauge(
            "redeliver_longest_wait_seconds", "Since the oldest of them arrived", ["state"], registry=self.registry
        )
        self.last_look.set_to_current_time()
        self.leads = False

    def looked(self, waits: pa.Table, states: dict[int, str], now: datetime) -> None:
        """Note what waits."""
        found = waits.group_by("project_id").aggregate([("arrival", "min"), ("arrival", "count")]).to_pylist()
        for state in State:
            own = [one for one in found if states.get(one["project_id"]) == state]
            self.waiting.labels(state).set(sum(one["arrival_count"] for one in own))
            waits_for = [(now - one["arrival_min"]).total_seconds() for one in own]
            self.oldest.labels(state).set(max(waits_for, default=0.0))
        self.last_look.set_to_current_time()

    def health(self) -> str:
        """Why what waits is not looked after; empty when it is, or this process stands by."""
        age = time.time() - self.last_look._value.get()
        return f"the last look at what waits was {age:.0f} s ago" if self.leads and age > _FRESH else ""


class Redeliverer:
    """Looks at what waits, and puts what is due; remembers what it has put."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.lake, self.stream = Lake(settings.lake_address), Stream(settings.export_stream_address)
        self.destinations, self.metrics = Destinations(settings.tables_address), metrics
        self.memory = Memory()
        self._waits: pa.Table | None = None
        self._snapshot = self._set_back = 0
        self._since: datetime | None = None

    def look(self, stopped: Callable[[], bool] = lambda: False) -> Counter[int]:
        """Put what is due now; how many events of each project. Raises StoreError."""
        now = datetime.now(UTC)
        self._forget_what_was_set_back()
        waits, states = self._current(now), {one.project_id: one.state for one in self.destinations.list()}
        self.metrics.looked(waits, states, now)
        due = chosen(waits, states, self.memory, now, max(0, _UNSETTLED - self.memory.unsettled(now)))
        put = Counter[int]()
        begin = time.monotonic()
        records = self._records(waits, due)
        while some := list(islice(records, PUT_RECORDS_MAX)):
            for _ in self.stream.put((key.event_id, data) for key, data in some):
                pass
            self.memory.note((key for key, _ in some), datetime.now(UTC))
            put.update(key.project_id for key, _ in some)
            self.metrics.put.inc(len(some))
            time.sleep(max(0.0, begin + put.total() / PER_SECOND - time.monotonic()))
            if stopped():
                break
        return put

    def _forget_what_was_set_back(self) -> None:
        """Begin anew where the tables were set back: the job sends nothing of what was put before."""
        if (set_back := times_set_back(self.lake, EXPORT_LEDGER)) != self._set_back:
            self.memory, self._waits, self._since, self._set_back = Memory(), None, None, set_back

    def _current(self, now: datetime) -> pa.Table:
        """What waits as of the table's newest snapshot."""
        commits = history_of(self.lake, OUTBOX)
        snapshot = commits[0].snapshot if commits else 0
        if self._waits is None or snapshot != self._snapshot:
            self._waits, self._snapshot = waiting(self.lake, self._since), snapshot
            self.memory.forget(self._waits)
            # what is older has no event that waits; rows that settle an event have its arrival
            oldest = self._waits["arrival"][0].as_py() if len(self._waits) else now
            self._since = min(oldest, now - _LOOK_BACK)
        return self._waits

    def _records(self, waits: pa.Table, due: Iterable[Key]) -> Iterator[tuple[Key, bytes]]:
        """The records that put events on the stream again."""
        wanted = set(due)
        if not wanted:
            return
        ids = pa.array({key.event_id for key in wanted}, pa.string())
        arrivals = pc.min_max(waits.filter(pc.is_in(waits["event_id"], ids))["arrival"])
        first, last = (arrivals[name].as_py() for name in ("min", "max"))
        where = [Condition("arrival", ">=", first), Condition("arrival", "<", last + timedelta(microseconds=1))]
        columns = (*Key._fields, "outcome", "event", "arrival", "shard", "sequence")
        for piece in self.lake.pieces(OUTBOX, columns, where):
            rows = piece.filter(pc.is_in(piece["event_id"], ids))
            for row in rows.filter(pc.field("outcome") == Outcome.WAITING.value).to_pylist():
                key = Key(row["project_id"], row["event_id"], row["attempt"])
                if key in wanted:
                    wanted.discard(key)
                    yield key, again(row, row["event"], key.attempt + 1, set_back=self._set_back)


def redeliverer(settings: Settings) -> Leader:
    """The claim to put what waits."""
    return Leader(settings, REDELIVER, "redelivers what waits in these tables")


def watch(settings: Settings, metrics: Metrics, stopped: threading.Event) -> None:
    """Put what is due again and again, as long as this process has the lease, until stopped."""

    def lead(leader: Leader) -> None:
        redelivering, metrics.leads = Redeliverer(settings, metrics), True

        def over() -> bool:
            return stopped.is_set() or leader.lost.is_set()

        while not over():
            for project_id, events in sorted(redelivering.look(over).items()):
                log.info("project %d: %d events put on the stream again", project_id, events)
            stopped.wait(_EVERY)
        metrics.leads = False

    stand_by(lambda: redeliverer(settings), lead, log, stopped)
