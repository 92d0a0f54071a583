"""Collects the records of many requests into few PutRecords calls, and waits until Kinesis has them.

A call holds each partition key once, and a key is in one call at a time: PutRecords may refuse one record and take
the next, so nothing else keeps the records of a user in their order.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import uniform
from typing import Final, Protocol
from uuid import uuid4

from ops.intake.errors import IntakeError, away, throttled
from stores.put_records import Outcome
from stores.stream import PUT_BYTES_MAX, PUT_RECORDS_MAX

CALLS: Final = 4
"""PutRecords calls at a time, of one process."""
LINGER: Final = 0.01
"""Seconds for which a record waits for others before a call begins."""
DEADLINE: Final = 3.0
"""Seconds after which a request is answered that Kinesis has not taken; Amplitude waits for 4."""
CROWD: Final = 8
"""Records that may wait under one key. Who sends more at a time knows no order among them: the next are spread."""
WAITING_BYTES: Final = 64 * 2**20
"""What may wait in one process; a request beyond it is refused at once."""
_PAUSE: Final = (0.05, 0.25)  # seconds before a record is put again, by chance so that not all come at once
_OLD, _RECENT = 5.0, 30.0  # seconds
log = logging.getLogger("intake")

Put = Callable[[Sequence[tuple[str, bytes]]], tuple[list[Outcome], str]]


class Noted(Protocol):
    """What hears of each call."""

    def called(self, outcomes: Sequence[Outcome], seconds: float, waiting: int) -> None:
        """Note a PutRecords call, and how many bytes wait."""


class _Record:
    """A record that waits, or is in a call."""

    __slots__ = ("data", "done", "key", "outcome")

    def __init__(self, key: str, data: bytes, done: asyncio.Future[None]) -> None:
        self.key, self.data, self.done = key, data, done
        self.outcome: Outcome | None = None  # of the last try


class Batcher:
    """Puts records on the stream; all methods are called in one event loop."""

    def __init__(self, put: Put, noted: Noted) -> None:
        self._put, self._noted = put, noted
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(CALLS, "put-records")
        self._queues: dict[str, deque[_Record]] = {}  # by key, the first one in a call or next
        self._ready: dict[str, None] = {}  # keys that wait for a call, in order
        self._calls = 0
        self._timer: asyncio.TimerHandle | None = None
        self._said = ""
        self.waiting_bytes = 0
        self._asked = self._unanswered_since = 0.0

    async def put(self, key: str, data: bytes) -> None:
        """Return once Kinesis has the record. Raises IntakeError: 429 when it throttles, 503 when it is away."""
        if self.waiting_bytes + len(data) > WAITING_BYTES:
            raise throttled("more is sent than the stream takes: send it again later")
        self._asked = time.monotonic()
        self._unanswered_since = self._unanswered_since or self._asked
        if len(self._queues.get(key, ())) >= CROWD:
            key = uuid4().hex
        record = _Record(key, data, self._loop.create_future())
        self.waiting_bytes += len(data)
        expiry = self._loop.call_later(DEADLINE, self._give_up, record)
        queue = self._queues.setdefault(key, deque())
        queue.append(record)
        if len(queue) == 1:
            self._await_call(key)
        try:
            await record.done
        finally:
            expiry.cancel()
            self.waiting_bytes -= len(data)

    def trouble(self) -> str:
        """Why nothing reaches the stream; empty when it does, or when nobody sends.

        Being throttled is no trouble of this process: another one would be throttled too.
        """
        now = time.monotonic()
        if self._unanswered_since and now - self._unanswered_since > _OLD and now - self._asked < _RECENT:
            return f"Kinesis has answered no put for {now - self._unanswered_since:.0f} s: {self._said}".rstrip(
                ": "
            )
        return ""

    def close(self) -> None:
        """End the threads; what waits is put no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _give_up(self, record: _Record) -> None:
        if not record.done.done():
            record.done.set_exception(_refusal(record.outcome))

    def _await_call(self, key: str) -> None:
        self._ready[key] = None
        if len(self._ready) >= PUT_RECORDS_MAX:
            self._begin_calls()
        elif self._timer is None:
            self._timer = self._loop.call_later(LINGER, self._begin_calls)

    def _begin_calls(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._ready and self._calls < CALLS:
            if batch := self._take():
                self._calls += 1
                pairs = [(record.key, record.data) for record in batch]
                call = self._loop.run_in_executor(self._pool, self._timed, pairs)
                call.add_done_callback(lambda done, batch=batch: self._ended(batch, done))  # type: ignore[misc]

    def _take(self) -> list[_Record]:
        """The next record of each key that waits, as many as a call takes."""
        batch: list[_Record] = []
        size = 0
        while self._ready and len(batch) < PUT_RECORDS_MAX:
            key = next(iter(self._ready))
            record = self._next_of(key)
            if record:
                size += len(record.data)
                if batch and size > PUT_BYTES_MAX:
                    break
                batch.append(record)
            del self._ready[key]
        return batch

    def _next_of(self, key: str) -> _Record | None:
        """The first record of a key that somebody still waits for."""
        queue = self._queues[key]
        while queue and queue[0].done.done():
            queue.popleft()
        if queue:
            return queue[0]
        del self._queues[key]
        return None

    def _timed(self, pairs: Sequence[tuple[str, bytes]]) -> tuple[list[Outcome], str, float]:
        begin = time.monotonic()
        try:
            outcomes, said = self._put(pairs)
        except Exception as error:  # our bug: the requests must still be answered
            log.exception("a call of PutRecords failed")
            outcomes, said = [Outcome.AWAY] * len(pairs), repr(error)
        return outcomes, said, time.monotonic() - begin

    def _ended(self, batch: Sequence[_Record], call: "asyncio.Future[tuple[list[Outcome], str, float]]") -> None:
        self._calls -= 1
        if call.cancelled():
            return
        outcomes, said, seconds = call.result()
        self._noted.called(outcomes, seconds, self.waiting_bytes)
        if any(outcome is not Outcome.AWAY for outcome in outcomes):
            self._unanswered_since = 0.0
        if said and said != self._said:
            log.warning("Kinesis: %s", said)
        self._said = said
        for record, outcome in zip(batch, outcomes, strict=True):
            self._settle(record, outcome)
        self._begin_calls()

    def _settle(self, record: _Record, outcome: Outcome) -> None:
        """Answer who waits for the record; or put it again later, and what is behind it after that."""
        record.outcome = outcome
        if outcome is not Outcome.TAKEN:
            self._loop.call_later(uniform(*_PAUSE), self._await_call, record.key)  # noqa: S311  no secret
            return
        if not record.done.done():
            record.done.set_result(None)
        if self._next_of(record.key):
            self._await_call(record.key)


def _refusal(last: Outcome | None) -> IntakeError:
    if last is Outcome.THROTTLED:
        return throttled("the stream takes no more at the moment: send it again")
    return away(f"the stream has not answered for {DEADLINE:.0f} s: send it again, under the same Request-Id")
