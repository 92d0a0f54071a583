"""Shared reads: a question is asked once, however many wait for its answer."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ops.console.reads import Reads


def test_who_asks_meanwhile_waits_for_the_same_answer() -> None:
    reads, asked, may_answer = Reads(), [], threading.Event()

    def question() -> int:
        asked.append(1)
        may_answer.wait(5)
        return 7

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(reads.get, "key", 60, question) for _ in range(20)]
        while not asked:
            time.sleep(0.001)
        may_answer.set()
        assert [one.result(5) for one in answers] == [7] * 20
    assert len(asked) == 1


def test_an_answer_is_asked_for_anew_once_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, now = Reads(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    numbers = iter(range(10))
    found = []
    for now[0] in (0.0, 4.9, 5.1, 9.0):
        found.append(reads.get("key", 5, lambda: next(numbers)))
    assert found == [0, 0, 1, 1]


def test_a_failure_is_everybodys_and_soon_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, now = Reads(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for now[0] in (0.0, 1.9):
        with pytest.raises(ZeroDivisionError):
            reads.get("key", 60, lambda: 1 // 0 if now[0] == 0 else 2)
    now[0] = 2.1
    assert reads.get("key", 60, lambda: 2) == 2


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    reads = Reads(most=2)
    for key in ("a", "b", "a", "c"):
        reads.get(key, 60, lambda key=key: key)
    assert [reads.get(key, 60, lambda: "anew") for key in ("a", "c", "b")] == ["a", "c", "anew"]


def test_what_was_changed_is_asked_for_anew() -> None:
    reads = Reads()
    reads.get("key", 60, lambda: 1)
    reads.forget("key")
    assert reads.get("key", 60, lambda: 2) == 2
