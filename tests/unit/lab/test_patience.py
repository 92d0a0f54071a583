"""Deadlines follow the machine's load, and waiting ends with the state that is waited for."""

import os
import re
import time
from pathlib import Path

import pytest

from lab.stack import patience
from lab.stack.patience import Deadline, scaled, wait_until
from tests.cases import each


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until the test moves it; two cores."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda pause: clock.__setitem__(0, clock[0] + pause))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return clock


def load(monkeypatch: pytest.MonkeyPatch, one_minute: float) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (one_minute, 0.0, 0.0))


@each(("one_minute", "slower"), [(0.0, 1), (2.0, 1), (3.0, 1.5), (8.0, 4), (100.0, 10)])
def test_a_busy_machine_is_slower(one_minute: float, slower: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    load(monkeypatch, one_minute)
    assert patience.slowness() == slower
    assert scaled(60) == 60 * slower


def test_a_deadline_counts_busy_seconds_for_less(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, 0.0)
    deadline = Deadline(60)
    seconds[0] += 30
    assert deadline.left == 30
    load(monkeypatch, 6.0)
    seconds[0] += 60
    assert (deadline.left, deadline.over) == (10, False)
    seconds[0] += 30
    assert (deadline.left, deadline.over, deadline.elapsed) == (0, True, 120)


def test_waiting_returns_the_first_true_answer(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, 0.0)
    answers = iter([0, 0, 7, 8])
    assert wait_until(lambda: next(answers), 10) == 7


def test_waiting_in_vain_says_what_there_is_instead(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, 4.0)
    with pytest.raises(TimeoutError, match=r"^not reached after 20 s: 3 rows$"):
        wait_until(lambda: False, 10, lambda: "3 rows", pause=1)


@each(("look", "least", "waited"), [(0.0, 1, 1), (0.4, 1, 1), (3.0, 1, 3)])
def test_a_look_is_repeated_no_sooner_than_it_took(
    look: float, least: float, waited: float, seconds: list[float]
) -> None:
    deadline = Deadline(60)
    for _ in range(2):
        seconds[0] += look
        begin = seconds[0]
        deadline.pause(least)
        assert seconds[0] - begin == pytest.approx(waited)


ROOT = Path(__file__).resolve().parents[3]
# a lock that SQLite waits for, and for how long a test keeps a receiver down
FIXED = {"timeout=10, isolation_level=None", "down_until = time.monotonic() + DOWN"}


def test_no_deadline_of_tests_and_tools_is_fixed() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("lab/proofs", "lab/sample", "lab/stack", "ops", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"time\.monotonic\(\) \+|\btimeout=[0-9]", line) and not any(one in line for one in FIXED)
        if path != Path(__file__)
    ]
    assert not found, "take Deadline, scaled or wait_until of lab/stack/patience.py: " + "; ".join(found)
