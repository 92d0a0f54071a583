"""What list operators of one user cost in order, with each pair swapped, reversed and shuffled, in this process.

Each batch is merged and dumped as the writer of profiles does it; only the table is left out.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, NamedTuple

from lab.bench.events import SEED
from lab.bench.figures import Figure, Say
from lab.sample.events import encode
from udfs.profile import Clock, Profile, Update

OPERATORS: Final = ("$append", "$prepend", "$preInsert", "$postInsert", "$remove")
LENGTHS: Final = (0, 1_000, 10_000)
UPDATES: Final = 2_048
LONG: Final = 200
"""Elements of a long operand: 512 of them, and the list that they make, are nearly the largest profile."""
ORDERS: Final[dict[str, Callable[[int], Sequence[int]]]] = {
    "in order": lambda count: range(1, count + 1),
    "each pair swapped": lambda count: [at for pair in range(1, count, 2) for at in (pair + 1, pair)],
    "reversed": lambda count: range(count, 0, -1),
    "shuffled": lambda count: Random(SEED).sample(range(1, count + 1), count),
}
_START: Final = 1_773_360_000_000_000
_ROUNDS: Final = 3


class _Case(NamedTuple):
    """Updates of one list, so many to a batch."""

    length: int
    batch: int
    updates: int = UPDATES
    elements: int = 1
    """of an operand"""

    def __str__(self) -> str:
        operands = f", operands of {self.elements:,}" if self.elements > 1 else ""
        return f"list of {self.length:,}{operands}, {self.batch:,} updates to a batch"


CASES: Final = (
    *(_Case(length, batch) for batch in (UPDATES, 30) for length in LENGTHS),
    *(_Case(1_000, batch, 512, LONG) for batch in (512, 30)),
)


def measure(say: Say) -> list[Figure]:
    """CPU time of an update in order, and in the worst of the other orders: the best of three rounds each."""
    found = []
    for case in CASES:
        say(str(case))
        for operator in OPERATORS:
            costs = {order: min(_cost(operator, order, case) for _ in range(_ROUNDS)) for order in ORDERS}
            base = costs.pop("in order")
            worst = max(costs, key=lambda order: costs[order])
            found += [
                Figure(str(case), f"{operator}, in order", base, "µs/update"),
                Figure(str(case), f"{operator}, {worst}, against in order", costs[worst] / base, "times"),
            ]
    return found


def _cost(operator: str, order: str, case: _Case) -> float:
    """Microseconds of CPU time for each update."""
    known = Profile()
    known.apply(_update(0, {"$set": {"list": [f"item-{at}" for at in range(case.length)]}}))
    known.dump()
    updates = [_update(at, {operator: {"list": _operand(at, case)}}) for at in ORDERS[order](case.updates)]
    before = time.process_time()
    for begin in range(0, case.updates, case.batch):
        for update in updates[begin : begin + case.batch]:
            known.apply(update)
        known.dump()
    return (time.process_time() - before) / case.updates * 1e6


def _operand(at: int, case: _Case) -> str | list[str]:
    """Half of the operands of one element are in the list, half are new; of long ones no two have the same."""
    if case.elements == 1:
        return f"item-{at}" if at % 2 else f"new-{at}"
    return [f"{number}" for number in range(at * case.elements, (at + 1) * case.elements)]


def _update(at: int, properties: dict[str, object]) -> Update:
    clock = Clock(_START + at * 2_000_000, -1, -1, 10**55 + at, -1)
    return Update(clock, at.to_bytes(16, "big"), "$identify", encode(properties).decode())
