"""What reaches PutRecords, and in which order; who is told what when it does not."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any

import pytest

from lab.stack.patience import scaled
from ops.intake import batcher as module
from ops.intake.batcher import CROWD, WAITING_BYTES, Batcher
from ops.intake.errors import IntakeError
from stores.put_records import Outcome
from tests.cases import each

TAKEN, THROTTLED, AWAY = Outcome.TAKEN, Outcome.THROTTLED, Outcome.AWAY
Pairs = Sequence[tuple[str, bytes]]


class Stream:
    """Takes records, but for those that it is told to refuse: outcomes by data, in turn."""

    def __init__(self, refused: dict[bytes, list[Outcome]] | None = None) -> None:
        self.refused, self.calls = refused or {}, list[Pairs]()
        self.taken: list[tuple[str, bytes]] = []
        self.lock = threading.Lock()

    def __call__(self, records: Pairs) -> tuple[list[Outcome], str]:
        with self.lock:
            self.calls.append(records)
            outcomes = [self._outcome(data) for _, data in records]
            self.taken += [record for record, one in zip(records, outcomes, strict=True) if one is TAKEN]
        return outcomes, "" if all(one is TAKEN for one in outcomes) else "refused"

    def _outcome(self, data: bytes) -> Outcome:
        waiting = self.refused.get(data)
        return waiting.pop(0) if waiting else TAKEN

    def called(self, outcomes: Sequence[Outcome], seconds: float, waiting: int) -> None:
        assert outcomes
        assert seconds >= 0
        assert waiting >= 0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", (0.001, 0.01))


def put(stream: Stream, *records: tuple[str, bytes]) -> list[object]:
    """What becomes of records that are put at the same time: None, or why not."""

    async def together() -> list[object]:
        batcher = Batcher(stream, stream)
        try:
            waiting: list[Coroutine[Any, Any, None]] = [batcher.put(*record) for record in records]
            return await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            batcher.close()

    return asyncio.run(together())


def test_records_of_many_requests_are_one_call() -> None:
    stream = Stream()
    records = [(f"user {n}", b"%d" % n) for n in range(100)]
    assert put(stream, *records) == [None] * 100
    assert stream.calls == [records]


def test_a_call_holds_at_most_500_records_and_4_mib() -> None:
    stream = Stream()
    assert put(stream, *((f"{n}", b"") for n in range(501))) == [None] * 501
    assert sorted(map(len, stream.calls)) == [1, 500]
    long = Stream()
    assert put(long, *((f"{n}", bytes(2**20 - 9)) for n in range(9))) == [None] * 9
    assert sorted(map(len, long.calls)) == [1, 4, 4]


def test_only_what_failed_is_put_again() -> None:
    stream = Stream({b"b": [THROTTLED, AWAY]})
    assert put(stream, ("1", b"a"), ("2", b"b"), ("3", b"c")) == [None] * 3
    assert [[data for _, data in call] for call in stream.calls] == [[b"a", b"b", b"c"], [b"b"], [b"b"]]


def test_a_record_never_overtakes_another_of_its_key() -> None:
    rng = Random(1)
    records = [(f"user {rng.randrange(20)}", b"%d" % n) for n in range(140)]
    stream = Stream({data: [THROTTLED] * rng.choice([0, 0, 1, 3]) for _, data in records})
    assert max(Counter(key for key, _ in records).values()) > CROWD  # the last of these are spread
    assert put(stream, *records) == [None] * 140
    assert all(len({key for key, _ in call}) == len(call) for call in stream.calls)
    for key in {key for key, _ in records}:
        assert [one for one in stream.taken if one[0] == key] == [one for one in records if one[0] == key][:CROWD]
    assert sorted(data for _, data in stream.taken) == sorted(data for _, data in records)


@each(("outcome", "status", "code"), [(THROTTLED, 429, "throttled"), (AWAY, 503, "stream_away")])
def test_what_is_refused_until_the_deadline_is_told(outcome: Outcome, status: int, code: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DEADLINE", scaled(0.05))
        (refused, taken) = put(Stream({b"a": [outcome] * 1000}), ("1", b"a"), ("2", b"b"))
    assert isinstance(refused, IntakeError)
    assert (refused.status, refused.code, taken) == (status, code, None)
    assert int(refused.headers["Retry-After"]) >= 1


def test_what_is_behind_a_record_that_was_given_up_is_put_all_the_same() -> None:
    stream = Stream({b"a": [AWAY] * 1000})

    async def one_after_another() -> None:
        batcher = Batcher(stream, stream)
        first = asyncio.create_task(batcher.put("1", b"a"))
        await asyncio.sleep(scaled(0.04))
        second = asyncio.create_task(batcher.put("1", b"b"))
        with pytest.raises(IntakeError):
            await first
        await second
        batcher.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DEADLINE", scaled(0.08))
        asyncio.run(one_after_another())
    assert stream.taken == [("1", b"b")]


def test_more_than_may_wait_is_refused_at_once() -> None:
    stream, half = Stream(), bytes(WAITING_BYTES // 2)
    *taken, refused = put(stream, ("1", half), ("2", half), ("3", b"a"))
    assert taken == [None, None]
    assert isinstance(refused, IntakeError)
    assert refused.status == 429


def test_a_call_that_raises_is_an_answer_too() -> None:
    class Broken(Stream):
        def __call__(self, records: Pairs) -> tuple[list[Outcome], str]:
            if not self.calls:
                self.calls.append(records)
                raise RuntimeError
            return super().__call__(records)

    assert put(Broken(), ("1", b"a")) == [None]


def test_silence_is_trouble_only_while_somebody_sends() -> None:
    found = []

    async def away() -> None:
        batcher = Batcher(Stream({b"a": [AWAY] * 3}), Stream())
        begin = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            for seconds in (0, 6, 40):
                patch.setattr(batcher, "_asked", begin)
                patch.setattr(batcher, "_unanswered_since", begin)
                patch.setattr(module.time, "monotonic", lambda at=begin + seconds: at)
                found.append(bool(batcher.trouble()))
        await batcher.put("1", b"a")
        found.append(bool(batcher.trouble()))
        batcher.close()

    asyncio.run(away())
    assert found == [False, True, False, False]
