"""The live tail: one reader of the stream's tip for all who look, however many they are.

A shard gives all who poll it five reads and 2 MB a second, and the job's connector is one of them. So a shard is
read every 2 s at most, and for a tenth of those bytes; a read that Kinesis throttles makes the pause longer, and
what cannot be read in time is left out. When nobody has looked for a minute, nothing is read.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from typing import Final, NamedTuple

from ops.answers.judged import Judged, judged
from settings import Settings
from stores.cohorts import Cohorts
from stores.errors import StoreError, ThrottledError
from stores.projects import Projects
from stores.registry import Registry, registered
from stores.stream import Record, Stream
from udfs.intake import MacKeys

KEPT: Final = 200
"""Records of a project that are kept, the newest."""
BEFORE: Final = timedelta(minutes=5)
"""How long before the first look the first records are."""
UNLOOKED: Final = 60.0
"""Seconds after the last look, in which reading goes on."""
PAUSE: Final = 2.0
"""Seconds between two reads of a shard, at least."""
_LONGEST_PAUSE: Final = 60.0
_BYTES_A_SECOND: Final = 200_000
"""Of a shard; the most that one read may bring is 10 MB."""
_RECORDS_AT_ONCE: Final = 200
_FIRST: Final = 10  # records of the first read of a shard: how large they are is not known yet
_RECORDS_OF_ALL: Final = 2_000
"""Records of all shards together that are read within a pause: to judge one takes 50 µs."""
_LATE: Final = 5
"""Reads in a row after which a shard is behind, before what is between is left out."""
_LIST_SECONDS: Final = 60.0
_REGISTRY_SECONDS: Final = 15.0
_TURN: Final = 0.25  # seconds in which the reader looks whether a shard is due
_MOST_BYTES: Final = 64 * 2**20
_ENTRY_BYTES: Final = 1_024
log = logging.getLogger("console")

Key = int | None
"""A project; None are the records that no registered project owns."""


@dataclass
class _Place:
    """Where the reading of a shard is."""

    due: float = 0.0
    iterator: str | None = None
    since: datetime | None = None
    """where the next iterator begins; None: at the end"""
    at_once: int = _FIRST
    failed: int = 0
    late: int = 0
    ended: bool = False


class Tip:
    """Reads what is new on a stream. Not thread-safe."""

    def __init__(self, stream: Stream, now: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._now = stream, now
        self._places: dict[str, _Place] = {}
        self._list_at = 0.0
        self.skipped = False
        """whether records were left out, because there are more than are read"""

    def read(self) -> list[Record]:
        """One read of each shard that is due. Raises StoreError when the shards cannot be listed."""
        if self._now() >= self._list_at:
            self._list()
        due = [(shard, place) for shard, place in self._places.items() if not place.ended]
        return [one for shard, place in due if place.due <= self._now() for one in self._page(shard, place)]

    def _list(self) -> None:
        self._list_at = self._now() + _LIST_SECONDS
        begin = datetime.now(UTC) - BEFORE
        listed = [one.shard for one in self._stream.shards()]
        self._places = {shard: self._places.get(shard) or _Place(since=begin) for shard in listed}

    def _page(self, shard: str, place: _Place) -> list[Record]:
        try:
            place.iterator = place.iterator or self._stream.iterator(shard, place.since)
            page = self._stream.page(shard, place.iterator, place.at_once)
        except StoreError as error:
            place.failed += 1
            place.due = self._now() + min(PAUSE * 2**place.failed, _LONGEST_PAUSE)
            if not isinstance(error, ThrottledError):  # an iterator that has expired, or a stream that is away
                place.iterator, place.since = None, None
                log.warning("live tail: %s", error)
            return []
        place.failed, place.iterator, place.ended = 0, page.next, page.next is None
        self._slow_down(place, page.records)
        place.late = place.late + 1 if page.behind else 0
        if place.late >= _LATE:
            place.iterator, place.since, place.late, self.skipped = None, None, 0, True
        return page.records

    def _slow_down(self, place: _Place, records: list[Record]) -> None:
        size = sum(len(one.data) for one in records)
        place.due = self._now() + max(PAUSE, size / _BYTES_A_SECOND)
        most = max(1, min(_RECORDS_AT_ONCE, _RECORDS_OF_ALL // len(self._places)))
        if records:
            place.at_once = max(1, min(most, int(PAUSE * _BYTES_A_SECOND * len(records) / max(size, 1))))


class Looked(NamedTuple):
    """What the tail has of a project."""

    records: list[Judged]
    """the newest first"""
    skipped: bool
    """whether records were left out, because there are more than are read"""
    away: str
    """why nothing is read, in one line; empty as long as something is"""


class Tail:
    """The newest records of each project. Thread-safe; its thread runs as long as somebody looks."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now, self._lock = settings, now, Lock()
        self._rings: dict[Key, deque[Judged]] = {}
        self._bytes, self._looked_at, self._running = 0, 0.0, False
        self._skipped, self._away = False, ""
        self._closed = Event()

    def look(self, project_id: Key) -> Looked:
        """What is there of a project, at once; from now on there will be more."""
        with self._lock:
            self._looked_at = self._now()
            if not self._running:
                self._running = True
                Thread(target=self._run, name="live-tail", daemon=True).start()
            return Looked([*self._rings.get(project_id, ())][::-1], self._skipped, self._away)

    def close(self) -> None:
        """Read no more."""
        self._closed.set()

    def add(self, found: Iterable[Judged]) -> None:
        """Keep records, and let older ones go."""
        with self._lock:
            for one in found:
                ring = self._rings.setdefault(one.project_id, deque())
                ring.append(one)
                self._bytes += _cost(one)
                if len(ring) > KEPT:
                    self._bytes -= _cost(ring.popleft())
            while self._bytes > _MOST_BYTES:
                for ring in self._rings.values():
                    for _ in range((len(ring) + 1) // 2):
                        self._bytes -= _cost(ring.popleft())

    def _run(self) -> None:
        tip = Tip(Stream(self._settings.stream_address._replace(attempts=1)), self._now)
        registry, read_at, keys = _Nothing, -_REGISTRY_SECONDS, MacKeys(self._settings.intake.mac_keys_file)
        while self._go_on():
            try:
                if self._now() - read_at >= _REGISTRY_SECONDS:
                    registry, read_at = self._registry(), self._now()
                self.add([one for record in tip.read() for one in judged(record, registry, keys)])
                self._skipped, self._away = tip.skipped, ""
            except Exception as error:
                # also what no store raises: a thread that dies would leave pages that wait for ever
                log.warning("live tail: %s", error)
                self._away = str(error) if isinstance(error, StoreError) else "unforeseen"
                self._closed.wait(PAUSE)
            self._closed.wait(_TURN)

    def _go_on(self) -> bool:
        """Whether somebody looks; what is kept is old when somebody comes again, and goes."""
        with self._lock:
            if self._now() - self._looked_at <= UNLOOKED and not self._closed.is_set():
                return True
            self._rings.clear()
            self._bytes, self._running, self._skipped, self._away = 0, False, False, ""
            return False

    def _registry(self) -> Registry:
        tables = self._settings.tables_address
        return registered(Projects(tables), Cohorts(tables))


_Nothing: Final[Registry] = {}


def _cost(one: Judged) -> int:
    return _ENTRY_BYTES + len(one.sample or b"")
