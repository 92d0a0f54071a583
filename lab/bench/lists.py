"""What operators of one user cost in order, with each pair swapped, reversed and shuffled, in this process.

Each batch is merged and dumped as the writer of profiles does it; only the table is left out. The first
update behind a read is also measured with the table: DynamoDB Local is a process of its own.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from lab.bench.events import SEED
from lab.bench.figures import Figure, Say
from lab.sample.events import encode
from lab.stack import emulators
from lab.stack.local import ROOT
from lab.stack.process import Process, free_port
from stores.dynamodb import TablesAddress
from stores.profiles import Key, Profiles
from udfs.profile import Clock, Profile, Update
from udfs.write_profiles import Change, ProfileMerger

OPERATORS: Final = ("$append", "$prepend", "$preInsert", "$postInsert", "$remove")
IN_TURN: Final = "all in turn"
LENGTHS: Final = (0, 1_000, 10_000)
UPDATES: Final = 2_048
NESTED: Final = 55
LONG: Final = 200
"""Elements of a long operand: 512 of them, and the list that they make, are nearly the largest profile."""
OPEN: Final = 490
"""Operators that are open before those that are measured: with these, fewer than a profile holds open."""
_GAP: Final = 1_000  # between the places of two of these


class _Case(NamedTuple):
    """Updates of one list, so many to a batch, behind and among others that are open."""

    length: int
    batch: int
    operands: str = "a string"
    updates: int = UPDATES
    opened: int = 0
    anew: bool = False
    """whether the profile is read again for each batch"""

    def __str__(self) -> str:
        among = f", {self.opened:,} open before" if self.opened else ""
        anew = ", read anew for each" if self.anew else ""
        return (
            f"list of {self.length:,}, operands of {self.operands}{among}, {self.batch:,} updates to a batch{anew}"
        )


OPERANDS: Final[dict[str, Callable[[int], Any]]] = {
    # half of them are in the list, half are new
    "a string": lambda at: f"item-{at}" if at % 2 else f"new-{at}",
    # no two have the same
    f"{LONG} strings": lambda at: [f"{number}" for number in range(at * LONG, (at + 1) * LONG)],
    "10 objects": lambda at: [{"k": (7 * at + number) % 997} for number in range(10)],
    "400 objects": lambda at: [{"k": (7 * at + number) % 997} for number in range(400)],
    f"a value {NESTED} levels deep": lambda at: _nested(at, NESTED),
}


def _behind(case: _Case) -> int:
    return case.opened * _GAP + 1


def _shuffled(case: _Case) -> Sequence[int]:
    """Places anywhere among those that are open, or if there are none in any order."""
    if not case.opened:
        return Random(SEED).sample(range(1, case.updates + 1), case.updates)
    return [at * _GAP + 1 for at in Random(SEED).sample(range(case.opened), case.updates)]


ORDERS: Final[dict[str, Callable[[_Case], Sequence[int]]]] = {
    "in order": lambda case: [_behind(case) + at for at in range(case.updates)],
    "each pair swapped": lambda case: [_behind(case) + (at ^ 1) for at in range(case.updates)],
    "reversed": lambda case: [1 + at for at in reversed(range(case.updates))],
    "shuffled": _shuffled,
}
CASES: Final = (
    *(_Case(length, batch) for batch in (UPDATES, 30) for length in LENGTHS),
    *(_Case(1_000, batch, f"{LONG} strings", 512) for batch in (512, 30)),
    *(_Case(length, 1, updates=20, opened=OPEN) for length in LENGTHS),
    *(
        _Case(1_000, batch, operands, max(20, 2 * batch), OPEN - 2 * batch)
        for operands in tuple(OPERANDS)[2:]
        for batch in (1, 30)
    ),
    *(_Case(1_000, 1, operands, 10, OPEN, anew=True) for operands in OPERANDS),
)
OTHERS: Final[dict[str, Callable[[int, int], Any]]] = {
    "$set": lambda _, length: {"list": _items(length)},
    "$unset": lambda *_: {"list": "-"},
    "$clearAll": lambda *_: "-",
    "$setOnce": lambda at, _: {"list": at},
    "$add": lambda *_: {"list": 1},
    "$remove": lambda at, _: {"list": [*_items(at % 997), {"k": at % 997}]},
}
"""Operators that come late among list operators, by what they are given: a number, and the length of the list."""
AMONG: Final = ((1_000, "a string"), (10_000, "a string"), (1_000, "10 objects"), (1_000, "400 objects"))
PROPERTIES: Final = 10_000
_START: Final = 1_773_360_000_000_000
_ROUNDS: Final = 5


def measure(say: Say) -> list[Figure]:
    """CPU time of an update in order, and in the worst of the other orders: the best of some rounds each."""
    found = []
    for case in CASES:
        say(str(case))
        for operator in (*OPERATORS, IN_TURN):
            rounds = [{order: _cost(operator, order, case) for order in ORDERS} for _ in range(_ROUNDS)]
            costs = {order: min(one[order] for one in rounds) for order in ORDERS}
            base = costs.pop("in order")
            worst = max(costs, key=lambda order: costs[order])
            found += [
                Figure(str(case), f"{operator}, in order", base, "µs/update"),
                Figure(str(case), f"{operator}, {worst}, against in order", costs[worst] / base, "times"),
            ]
    return [*found, *_others(say), _properties(), *_with_the_table(say)]


def _others(say: Say) -> list[Figure]:
    """One update a batch before 400 list operators that are open, against one behind them."""
    found = []
    for late in OTHERS:
        for length, operands in AMONG:
            say(name := f"{late}, list of {length:,}, before 400 open operators in turn, operands of {operands}")
            rounds = [[_other(late, length, operands, behind) for behind in (True, False)] for _ in range(3)]
            in_order, before = map(min, zip(*rounds, strict=True))
            found += [
                Figure(name, "behind them", in_order, "µs/update"),
                Figure(name, "before them, against behind", before / in_order, "times"),
            ]
    return found


def _other(late: str, length: int, operands: str, behind: bool) -> float:
    """Microseconds of CPU time; behind them, what would take them out is a `$set` of another property."""
    known = Profile()
    known.apply(_update(0, {"$set": {"list": _items(length)}}))
    for at in range(1, 401):
        known.apply(_update(at * _GAP, {_named(IN_TURN, at): {"list": OPERANDS[operands](at)}}))
    known.dump()
    beside = behind and late in {"$set", "$unset", "$clearAll"}
    asked: dict[str, object] = {"$set": {"other": _items(length)}} if beside else {}
    updates = [_update(at + behind * 401 * _GAP, asked or {late: OTHERS[late](at, length)}) for at in range(1, 21)]
    before = time.process_time()
    for update in updates:
        known.apply(update)
        known.dump()
    return (time.process_time() - before) / len(updates) * 1e6


def _properties() -> Figure:
    """One update a batch of a user with very many properties."""
    known = Profile()
    known.apply(_update(0, {f"property {number}": number for number in range(PROPERTIES)}))
    known.dump()
    before = time.process_time()
    for at in range(1, 101):
        known.apply(_update(at, {f"property {at * 97}": at}))
        known.dump()
    return Figure(
        "properties", f"{PROPERTIES:,}, one update a batch", (time.process_time() - before) * 10, "ms/update"
    )


def _with_the_table(say: Say) -> list[Figure]:
    """What the writer's process does for an update of a user whom it does not know."""
    with _dynamodb() as endpoint:
        table = Profiles(TablesAddress("local", endpoint, "bench-"))
        table.create()
        found = [_of_properties(table)]
        for operands in OPERANDS:
            for operator in (IN_TURN, "$postInsert"):
                say(name := f"the writer, unknown user, {OPEN} open {operator}, operands of {operands}")
                key = Key(1, name)
                _write(table, key, [_opened(operator, at, OPERANDS[operands]) for at in range(OPEN + 1)])
                asked = {"$postInsert": {"list": OPERANDS[operands](777)}}
                rounds = [
                    [_write(table, key, [_update(at + place * _GAP, asked)]) for place in (OPEN + 1, 1)]
                    for at in range(1, 6)
                ]
                in_order, before = map(min, zip(*rounds, strict=True))
                found += [
                    Figure(name, "$postInsert behind them", in_order, "ms/update"),
                    Figure(name, "$postInsert before them, against behind", before / in_order, "times"),
                ]
    return found


def _of_properties(table: Profiles) -> Figure:
    key = Key(1, "properties")
    _write(table, key, [_update(0, {f"property {number}": number for number in range(PROPERTIES)})])
    cost = min(_write(table, key, [_update(at, {f"property {at * 97}": at})]) for at in range(1, 4))
    return Figure("the writer, unknown user", f"{PROPERTIES:,} properties", cost, "ms/update")


def _write(table: Profiles, key: Key, updates: Sequence[Update]) -> float:
    """Milliseconds of CPU time for a batch, by a writer that knows nobody."""
    merger, changes = ProfileMerger(table), [Change(key, update, None, None) for update in updates]
    before = time.process_time()
    merger.merge(changes)
    return (time.process_time() - before) * 1e3


@contextmanager
def _dynamodb() -> Iterator[str]:
    emulator = emulators.dynamodb(ROOT, free_port())
    with TemporaryDirectory() as folder:
        env = {**os.environ, **emulator.env}
        process = Process(emulator.name, emulator.command, Path(folder) / "log", env, emulator.cwd or Path(folder))
        try:
            process.wait_until(emulator.answers, seconds=60)
            yield emulator.endpoint
        finally:
            process.kill()


def _opened(operator: str, at: int, operand: Callable[[int], Any]) -> Update:
    """An operator with room before and behind it; the first is the list itself."""
    asked = {_named(operator, at): {"list": operand(at)}} if at else {"$set": {"list": _items(1_000)}}
    return _update(at * _GAP, asked)


def _items(count: int) -> list[str]:
    return [f"item-{at}" for at in range(count)]


def _cost(operator: str, order: str, case: _Case) -> float:
    """Microseconds of CPU time for each update."""
    known, operand = Profile(), OPERANDS[case.operands]
    known.apply(_update(0, {"$set": {"list": _items(case.length)}}))
    for at in range(1, case.opened + 1):
        known.apply(_update(at * _GAP, {_named(operator, at): {"list": operand(at)}}))
    known.dump()
    places = enumerate(ORDERS[order](case), case.opened + 1)
    updates = [_update(place, {_named(operator, at): {"list": operand(at)}}) for at, place in places]
    before = time.process_time()
    for begin in range(0, case.updates, case.batch):
        for update in updates[begin : begin + case.batch]:
            known.apply(update)
        stored = known.dump()
        if case.anew:
            known = Profile.load(*stored)
    return (time.process_time() - before) / case.updates * 1e6


def _named(operator: str, at: int) -> str:
    return OPERATORS[at % len(OPERATORS)] if operator == IN_TURN else operator


def _nested(value: Any, levels: int) -> Any:
    return [_nested(value, levels - 1)] if levels else value


def _update(at: int, properties: Mapping[str, object]) -> Update:
    clock = Clock(_START + at * 2_000, -1, -1, 10**55 + at, -1)
    return Update(clock, at.to_bytes(16, "big"), "$identify", encode(properties).decode())
