"""What a profile holds in memory of its late operators: counted in bytes, and let go of."""

import tracemalloc
from collections.abc import Callable
from typing import Any

from tests.cases import each
from tests.unit.udfs.test_profile import update
from udfs.profile import Profile

HOUR = 60 * 60 * 10**6
Asked = Callable[[int], tuple[int, dict[str, Any]]]
HELD: dict[str, tuple[int, Asked]] = {
    "what is gone, in order": (
        40,
        lambda at: (at // 2 * 29 * HOUR + at, {("$append", "$remove")[at % 2]: {"p": [f"{at // 2}" * 20_000]}}),
    ),
    "what is gone, all of it late": (
        40,
        lambda at: (at - 29 * HOUR, {("$append", "$remove")[at % 2]: {"p": [f"{at // 2}" * 20_000]}}),
    ),
    "removals of what is not there": (20, lambda at: (-at, {"$remove": {"p": [f"{at}-{n}" for n in range(200)]}})),
    "small properties": (4, lambda at: (-at, {"$append": {f"p{n}": 1 for n in range(100)}})),
    "numbers": (4, lambda at: (-at, {"$add": {f"p{n}": 1 for n in range(100)}})),
    "set once": (4, lambda at: (-at, {"$setOnce": {f"p{n}": 1 for n in range(100)}})),
    "elements beside a larger property": (
        20,
        lambda at: (-at, {"$postInsert": {"p": [f"{at}"]}, "$set": {"q": "z" * 10_000}}),
    ),
    "the same elements again": (20, lambda at: (-at, {"$postInsert": {"p": [f"{n}" for n in range(400)]}})),
    "elements of a list, taken out": (
        40,
        lambda at: (at - 100, {"$remove" if at else "$set": {"p": [*range(at, at + 1000 // (at + 1))]}}),
    ),
    "characters beyond ASCII": (10, lambda at: (-at, {"$preInsert": {"p": [f"{at}😀" + "z" * 1000]}})),
}


def taken() -> Profile:
    """A profile of a small property that came beside a large operand, which was refused."""
    profile = Profile()
    profile.apply(update(0, {"$set": {"a": 1}, "$setOnce": {"b": 1}, "$add": {"c": "x" * 2**20}}))
    return profile


def read() -> Profile:
    """A profile that was read with a large property, which is large no more."""
    profile = Profile()
    profile.apply(update(0, {"$set": {"a": "x" * 2**20, "c": 1}, "$setOnce": {"b": 1}}))
    profile = Profile.load(*profile.dump())
    profile.apply(update(1, {"$set": {"a": 1}}))
    profile.dump()
    return profile


@each("make", [taken, read])
def test_a_value_holds_nothing_of_the_text_that_it_came_in(make: Callable[[], Profile]) -> None:
    tracemalloc.start()
    try:
        profile = make()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert profile.dump()[0].startswith('{"a":1,"b":1')
    assert held < 2**16


@each(("count", "asked"), HELD.values(), ids=HELD)
def test_what_is_held_is_counted_and_can_be_let_go(count: int, asked: Asked) -> None:
    profile, text = Profile(), 0
    profile.apply(update(1000 * HOUR, {"other": 1}))
    profile.dump()
    tracemalloc.start()
    try:
        for number in range(count):
            at, changes = asked(number)
            profile.apply(update(1000 * HOUR + at, changes))
            text = sum(map(len, profile.dump()))
        counted, before = profile.size, tracemalloc.get_traced_memory()[0]
        profile.forget()
        held = before - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert counted / 2 - 2**14 <= held <= counted * 2
    assert profile.size == 0
    assert held <= 2**19 + 24 * text
