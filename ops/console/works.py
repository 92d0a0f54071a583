"""What goes on after a page was left: replays, each in a thread, with its progress. What is done is done once.

A work ends with this process: it is begun again by hand, and whatever it does may be repeated.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any, Final

from errors import OneLineError

_KEPT: Final = 200
log = logging.getLogger("console")


@dataclass
class Work:
    """Something that goes on, or has ended."""

    what: str
    """such as `replay`"""
    by: str
    """the account that has begun it"""
    total: int | None = None
    """how much there is to do; None: that is not known yet"""
    done: int = 0
    result: Any = None
    """what came of it"""
    failed: str = ""
    """why it has ended before its end, in one line"""
    running: bool = True

    def count(self, total: int, steps: Iterable[int]) -> None:
        """Go through the steps, each of which has done so much of the total."""
        self.total = total
        for one in steps:
            self.done += one


class Works:
    """Works by what they are about: one at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._works: OrderedDict[Hashable, Work] = OrderedDict()

    def get(self, key: Hashable) -> Work | None:
        """The newest work about this, running or not."""
        return self._works.get(key)

    def start(self, key: Hashable, work: Work, do: Callable[[Work], Any]) -> bool:
        """Begin a work, unless one about the same is running; whether it has begun."""
        with self._lock:
            known = self._works.get(key)
            if known and known.running:
                return False
            self._works[key] = work
            self._works.move_to_end(key)
            for old in [one for one, done in self._works.items() if not done.running][: len(self._works) - _KEPT]:
                del self._works[old]
        Thread(target=_run, args=(work, do), name="console-work", daemon=True).start()
        return True


def _run(work: Work, do: Callable[[Work], Any]) -> None:
    try:
        work.result = do(work)
    except OneLineError as error:
        work.failed = str(error)
    except Exception:
        log.exception("a %s that %s has begun", work.what, work.by)
        work.failed = "unforeseen: the log of the console has it"
    finally:
        work.running = False
