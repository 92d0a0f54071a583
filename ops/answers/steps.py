"""What was looked at, and what to do. It is asked side by side: a back end that hangs holds up no other."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stores.errors import StoreError

State = Literal["ok", "warning", "failed", "not checked"]
AWAY: Final = "cannot be looked at: "


@dataclass(frozen=True)
class Step:
    """What was looked at, what came of it, and, unless all is well, what to do."""

    name: str
    state: State
    words: str
    fix: str = ""


def side_by_side(
    questions: Mapping[str, Callable[[], Step]], seconds: float, otherwise: Callable[[str, str], Step]
) -> list[Step]:
    """What each question comes to, in their order.

    Where there is no answer, `otherwise` gives it by the question's name and one line that says why. What has not
    answered within the seconds is left alone; its thread ends with the program.
    """
    found: dict[str, Step] = {}

    def ask(name: str, question: Callable[[], Step]) -> None:
        try:
            found[name] = question()
        except StoreError as error:
            found[name] = otherwise(name, str(error))
        except Exception as error:
            # what no store foresees: the other answers are wanted all the same
            found[name] = otherwise(name, f"unforeseen: {' '.join(repr(error).split())}")

    begin = time.monotonic()
    threads = [threading.Thread(target=ask, args=one, daemon=True) for one in questions.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, begin + seconds - time.monotonic()))
    late = f"within {seconds:.0f} s"
    return [found.get(name) or otherwise(name, f"no answer about {name} {late}") for name in questions]


def once(found: Iterable[Step]) -> Iterator[Step]:
    """Each finding; where the same back end is away for several, the first alone has failed."""
    first: dict[str, str] = {}
    for one in found:
        if one.words.startswith(AWAY) and (other := first.setdefault(one.words, one.name)) != one.name:
            yield Step(one.name, "not checked", f"{AWAY}see {other}")
        else:
            yield one
