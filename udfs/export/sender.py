"""Sends the events of many projects at once, under one deadline: each event is accepted, refused or has to wait.

No project holds up another. Each one has a bounded number of requests on their way, and what has no answer at
the deadline waits. A project that has cost a deadline is not waited for again: until one event, sent beside the
others, has had an answer, its events wait at once. A late answer is passed over: Amplitude knows an event again
that it has taken already, by device_id and insert_id.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple, Protocol

from udfs.export.answers import (
    FAILED_SECONDS,
    FORBIDDEN,
    QUOTA_SECONDS,
    STOPPED,
    STOPPED_SECONDS,
    THROTTLED_SECONDS,
    UNSENT,
    Refused,
    State,
    Waits,
)
from udfs.export.deliver import Delivered, deliver

DEADLINE: Final = 5.0
"""Seconds that one call takes at most."""
PER_PROJECT: Final = 4
"""Requests of one project that are on their way at a time."""
PROBE_SECONDS: Final = 30.0
"""How often a project that gives no answer is tried, with one event."""
LONGEST_WAIT: Final = 3_600.0
"""Seconds between two attempts that fail."""
_THREADS: Final = 256
_LAST_POST: Final = 0.3
"""Seconds before the deadline after which nothing is posted any more."""
_MARGIN: Final = 0.2
"""Seconds before the deadline at which requests are given up."""
_AGAIN: Final = 1.0
"""Seconds in which what is left of a batch may be posted again; one bad event, sought in halves, takes many."""
_SLOW: Final = 1.0
"""Seconds after which no answer is a host that hangs; a refused connection costs nobody anything."""
_TRY: Final = 0.9 * STOPPED_SECONDS
"""Seconds between two tries of a project that is stopped: what comes every `STOPPED_SECONDS` may be early."""
_MOST_FORBIDDEN: Final = 100
"""403s in a row, of which each costs a request, before a project is stopped: its texts must all be disliked."""
_MOST_NOT_INGESTED: Final = 10
"""Attempts, which take an hour and a half, after which an event that Amplitude does not count is refused.

It may be one that was taken by an attempt without an answer: so this ends long before Amplitude's 7 days.
"""
_SETTLED: Final = 60.0
"""Seconds without a 429 after which a project is no longer throttled; its workers do not see each other's."""

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What became of an event that was to be sent."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    WAITING = "waiting"


_SECONDS: Final = {
    Waits.QUOTA: QUOTA_SECONDS,
    Waits.THROTTLED: THROTTLED_SECONDS,
    Waits.FAILED: FAILED_SECONDS,
    Waits.NOT_INGESTED: FAILED_SECONDS,
}
"""By reason how long an event waits at first; where the project is stopped, until it is no longer."""
_DOUBLED: Final = (Waits.FAILED, Waits.NOT_INGESTED)


class Limits(NamedTuple):
    """The most that one request holds."""

    events: int
    bytes: int
    """of events and what stands between them"""


LIMITS: Final = {"batch": Limits(1_000, 20_000_000 - 1_000), "http_v2": Limits(1_000, 1_000_000 - 1_000)}
"""By API; Amplitude takes 2 000 events in 20 MB or 1 MB (docs/amplitude.md §6)."""


BATCH: Final = PER_PROJECT * LIMITS["batch"].events
"""Events of one call: if all are one project's, its requests go at once, and nobody waits for a second round."""


class Due(NamedTuple):
    """An event that is to be sent."""

    project_id: int
    event: bytes
    """JSON, as it was rendered the first time"""
    attempt: int
    """0 at first"""


class Answer(NamedTuple):
    """What became of it."""

    outcome: Outcome
    reason: str = ""
    """of `answers.Refused` or `Waits`"""
    words: str = ""
    """what Amplitude said"""
    seconds: float = 0.0
    """how long it has to wait at least; where the project is stopped, until it is no longer"""
    at: datetime | None = None
    """when it was settled, naive UTC: others of the same call may take longer; None where nothing was sent"""


class Target(Protocol):
    """An Amplitude project as a worker sends to it."""

    @property
    def state(self) -> str:
        """One of `State`: how it stands with it, as far as is known here."""

    @property
    def words(self) -> str:
        """Why."""

    def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
        """Send events; the answer's status, None when there was none within that time, and its body."""

    def become(self, state: State, words: str) -> None:
        """Note at once how it stands with it, and let others know; waits for nobody."""


class _Line:
    """What a worker remembers of one project between calls; times are of the monotonic clock."""

    def __init__(self) -> None:
        self.closed_until = 0.0
        """0 while it is open"""
        self.hangs = False
        self.try_due = 0.0
        """when it may be tried again while it is stopped"""
        self.forbidden = 0
        """403s since the last 200, and since the state has changed"""
        self.state: str = State.OK
        self.since = 0.0
        """since when this worker knows of the state"""
        self.probing = threading.Lock()

    def hang(self, now: float) -> None:
        self.hangs, self.closed_until = True, now + PROBE_SECONDS

    def throttle(self, now: float) -> None:
        self.hangs, self.closed_until, self.since = False, now + THROTTLED_SECONDS, now

    def open(self) -> None:
        self.hangs, self.closed_until = False, 0.0


class _Job:
    """The events of one project in one call, by their places in it, and what is known of them so far."""

    def __init__(
        self, target: Target, line: _Line, due: Iterable[list[int]] = (), lanes: int = PER_PROJECT
    ) -> None:
        self.target, self.line, self.due = target, line, deque(due)
        self.lanes = min(lanes, len(self.due))
        self.answered: list[tuple[list[int], Delivered, datetime]] = []
        """places, what became of them, and when"""


class Sender:
    """Sends rows; one for each worker, used by one thread. `targets` gives those that are known now, at once."""

    def __init__(
        self,
        targets: Callable[[], Mapping[int, Target]],
        limits: Limits = LIMITS["batch"],
        deadline: float = DEADLINE,
    ) -> None:
        self._targets, self._limits, self._deadline = targets, limits, deadline
        self._lines: dict[int, _Line] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "sender")
        self._lock = threading.Lock()
        self.requests = 0
        """so far"""

    @property
    def closed(self) -> int:
        """Projects that nothing is sent to for a while, because they give no answer or throttle."""
        return sum(line.closed_until > 0 for line in list(self._lines.values()))

    def send(self, rows: Sequence[Due]) -> list[Answer]:
        """Send each row once; one answer for each, in order, within the deadline."""
        begin, targets = time.monotonic(), self._targets()
        until = begin + self._deadline
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.project_id, []).append(place)
        jobs = {
            project_id: self._job(targets[project_id], project_id, rows, own, begin)
            for project_id, own in places.items()
            if project_id in targets
        }
        lanes = {
            self._pool.submit(self._work, job, rows, until): job for job in jobs.values() for _ in range(job.lanes)
        }
        for lane in wait(lanes, timeout=until - time.monotonic()).not_done:
            lane.cancel()  # where it has not begun, and nobody knows whether the project answers
            if not lane.cancelled():
                lanes[lane].line.hang(time.monotonic())
        return list(self._answers(rows, places, jobs))

    def _job(self, target: Target, project_id: int, rows: Sequence[Due], own: list[int], now: float) -> _Job:
        """What is to be posted of a project's rows now."""
        line = self._lines.setdefault(project_id, _Line())
        if target.state != line.state:
            line.state, line.since, line.forbidden = target.state, now, 0
        if target.state == State.PAUSED or now < line.closed_until:
            return _Job(target, line)
        if target.state in STOPPED:
            if now < line.try_due:
                return _Job(target, line)
            line.try_due = now + _TRY
            return _Job(target, line, [own[:1], *self._batches(rows, own[1:])], lanes=1)
        if line.hangs:
            if line.probing.acquire(blocking=False):
                self._pool.submit(self._probe, target, line, rows[own[0]].event)
            return _Job(target, line)
        return _Job(target, line, self._batches(rows, own), 1 if line.closed_until else PER_PROJECT)

    def _batches(self, rows: Sequence[Due], own: Iterable[int]) -> Iterator[list[int]]:
        batch, size = list[int](), 0
        for place in own:
            more = len(rows[place].event) + 1
            if batch and (len(batch) == self._limits.events or size + more > self._limits.bytes):
                yield batch
                batch, size = [], 0
            batch.append(place)
            size += more
        if batch:
            yield batch

    def _work(self, job: _Job, rows: Sequence[Due], until: float) -> None:
        """Post a project's batches one after the other, beside other threads that do the same."""
        last = until - _LAST_POST
        while time.monotonic() < last and not self._stopped(job):
            try:
                batch = job.due.popleft()
            except IndexError:
                return
            enough = min(last, time.monotonic() + _AGAIN)
            try:
                post = partial(self._post, job, until - _MARGIN)
                delivered = deliver([rows[place].event for place in batch], post, partial(_over, enough))
                job.answered.append((batch, delivered, datetime.now(UTC).replace(tzinfo=None)))
                self._heed(job, delivered)
            except Exception as error:  # its text may hold what was sent
                log.error("a batch was not sent, it waits: %s", type(error).__name__)

    def _post(self, job: _Job, until: float, events: Sequence[bytes]) -> tuple[int | None, bytes]:
        begin = time.monotonic()
        with self._lock:
            self.requests += 1
        status, body = job.target.post(events, until - begin)
        if status == FORBIDDEN:
            job.line.forbidden += 1
        elif status == 200 and events:
            job.line.forbidden = 0
        now = time.monotonic()
        if status is None and now - begin > min(_SLOW, self._deadline / 2):
            job.line.hang(now)
        return status, body

    def _stopped(self, job: _Job) -> bool:
        """Whether what is left of a project has to wait, because of what Amplitude has said meanwhile."""
        state = job.target.state
        return bool(job.answered) and (state in UNSENT or job.line.closed_until > 0)

    def _heed(self, job: _Job, found: Delivered) -> None:
        """Note what an answer says of the project as a whole."""
        now, target, line = time.monotonic(), job.target, job.line
        if found.state == State.OK and line.forbidden >= _MOST_FORBIDDEN:
            words = f"HTTP {FORBIDDEN} to each of {line.forbidden} requests, but not to one without events"
            found = found._replace(state=State.BLOCKED, words=words)
        if found.state in STOPPED:
            line.try_due = now + _TRY
        elif found.state == State.THROTTLED:
            line.throttle(now)
        elif found.accepted:
            line.open()
        settled = target.state in STOPPED or now > line.since + _SETTLED
        if found.state != State.OK:
            self._tell(target, found.state, found.words)
        elif found.accepted and settled:
            self._tell(target, State.OK, "")

    def _tell(self, target: Target, state: State, words: str) -> None:
        if target.state not in {state, State.PAUSED}:
            target.become(state, words)

    def _probe(self, target: Target, line: _Line, event: bytes) -> None:
        """Send one event that waits all the same, to learn whether the project answers again."""
        try:
            with self._lock:
                self.requests += 1
            status, _ = target.post([event], 2 * self._deadline)
            if status is None:
                line.hang(time.monotonic())
            else:
                line.open()
        finally:
            line.probing.release()

    def _answers(
        self, rows: Sequence[Due], places: Mapping[int, list[int]], jobs: Mapping[int, _Job]
    ) -> Iterator[Answer]:
        known: dict[int, Answer] = {}
        for project_id, own in places.items():
            job = jobs.get(project_id)
            known |= dict.fromkeys(own, _unsent(job))
            for batch, found, when in list(job.answered) if job else ():
                known |= {place: _answer(at, found, when) for at, place in enumerate(batch)}
        for place, row in enumerate(rows):
            yield _backed_off(known[place], row.attempt)


def _over(until: float) -> bool:
    return time.monotonic() > until


def _unsent(job: _Job | None) -> Answer:
    """The answer for a row that has none of Amplitude's."""
    if job is None:
        return Answer(Outcome.WAITING, Waits.NO_DESTINATION, "the project has no destination", FAILED_SECONDS)
    state, words = job.target.state, job.target.words
    if state in UNSENT:
        return Answer(Outcome.WAITING, Waits(state), words)
    if job.line.closed_until and not job.line.hangs:
        return Answer(Outcome.WAITING, Waits.THROTTLED, words, THROTTLED_SECONDS)
    return Answer(Outcome.WAITING, Waits.FAILED, "no answer in time", FAILED_SECONDS)


def _answer(place: int, found: Delivered, when: datetime) -> Answer:
    """The answer for the event at a place of a batch."""
    if place in found.accepted:
        return Answer(Outcome.ACCEPTED, at=when)
    if why := found.refused.get(place):
        return Answer(Outcome.REFUSED, why.reason, why.words, at=when)
    reason, words = found.later[place]
    return Answer(Outcome.WAITING, reason, words, _SECONDS.get(reason, 0.0), when)


def _backed_off(answer: Answer, attempt: int) -> Answer:
    """The answer, with a wait that is not the same for all and, where something failed, doubles each time."""
    if answer.reason == Waits.NOT_INGESTED and attempt + 1 >= _MOST_NOT_INGESTED:
        return Answer(Outcome.REFUSED, Refused.NOT_INGESTED, answer.words, at=answer.at)
    seconds = answer.seconds
    if answer.reason in _DOUBLED:
        seconds = min(seconds * 2 ** min(attempt, 10), LONGEST_WAIT)
    return answer._replace(seconds=seconds * random.uniform(0.9, 1.1))  # noqa: S311
