"""What pages read of the stores, shared: however many are open, a question is asked once in so many seconds."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, TypeVar

MOST: Final = 1_000
"""Answers that are kept; the one that was asked for longest ago goes first."""
_FAILED: Final = 2.0  # seconds for which a store that is away is not asked again

_T = TypeVar("_T")


@dataclass
class _Answer:
    future: Future[Any] = field(default_factory=Future)
    at: float = 0.0  # when it came, by the monotonic clock
    seconds: float = float("inf")  # for which it counts; as long as nothing has come, everybody waits


class Reads:
    """Answers by what was asked. Thread-safe."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._lock = most, Lock()
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()

    def get(self, key: Hashable, seconds: float, question: Callable[[], _T]) -> _T:
        """What the question came to, no older than these seconds. Who asks meanwhile waits for the same one.

        Raises what the question raises.
        """
        answer, mine = self._answer(key)
        if mine:
            try:
                answer.future.set_result(question())
            except BaseException as error:
                answer.future.set_exception(error)
                seconds = min(seconds, _FAILED)
            answer.at, answer.seconds = time.monotonic(), seconds
        found: _T = answer.future.result()
        return found

    def forget(self, key: Hashable) -> None:
        """Ask anew next time: what was read has been changed here."""
        with self._lock:
            self._answers.pop(key, None)

    def _answer(self, key: Hashable) -> tuple[_Answer, bool]:
        """The answer to this question, and whether the caller has to find it."""
        with self._lock:
            found = self._answers.get(key)
            mine = found is None or time.monotonic() - found.at > found.seconds
            if found is None or mine:
                found = self._answers[key] = _Answer()
            self._answers.move_to_end(key)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
            return found, mine
