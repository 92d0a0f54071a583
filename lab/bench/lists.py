"""What list operators of one user cost in order, with each pair swapped, reversed and shuffled, in this process.

Each batch is merged and dumped as the writer of profiles does it; only the table is left out.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from lab.bench.events import SEED
from lab.bench.figures import Figure, Say
from lab.sample.events import encode
from udfs.profile import Clock, Profile, Update

OPERATORS: Final = ("$append", "$prepend", "$preInsert", "$postInsert", "$remove")
LENGTHS: Final = (0, 1_000, 10_000)
UPDATES: Final = 2_048
BATCHES: Final = (UPDATES, 30)
ORDERS: Final[dict[str, Callable[[int], Sequence[int]]]] = {
    "in order": lambda count: range(1, count + 1),
    "each pair swapped": lambda count: [at for pair in range(1, count, 2) for at in (pair + 1, pair)],
    "reversed": lambda count: range(count, 0, -1),
    "shuffled": lambda count: Random(SEED).sample(range(1, count + 1), count),
}
_START: Final = 1_773_360_000_000_000
_ROUNDS: Final = 3


def measure(say: Say) -> list[Figure]:
    """CPU time of an update in order, and in the worst of the other orders: the best of three rounds each."""
    found = []
    for batch in BATCHES:
        for length in LENGTHS:
            say(f"lists of {length:,}, {batch:,} updates to a batch")
            for operator in OPERATORS:
                costs = {
                    order: min(_cost(operator, length, order, batch) for _ in range(_ROUNDS)) for order in ORDERS
                }
                base, name = costs.pop("in order"), f"list of {length:,}, {batch:,} updates to a batch"
                worst = max(costs, key=lambda order: costs[order])
                found += [
                    Figure(name, f"{operator}, in order", base, "µs/update"),
                    Figure(name, f"{operator}, {worst}, against in order", costs[worst] / base, "times"),
                ]
    return found


def _cost(operator: str, length: int, order: str, batch: int) -> float:
    """Microseconds of CPU time for each of `UPDATES` updates."""
    known = Profile()
    known.apply(_update(0, {"$set": {"list": [f"item-{at}" for at in range(length)]}}))
    known.dump()
    # half of the operands are in the list, half are new
    values = {at: f"item-{at}" if at % 2 else f"new-{at}" for at in range(1, UPDATES + 1)}
    updates = [_update(at, {operator: {"list": values[at]}}) for at in ORDERS[order](UPDATES)]
    before = time.process_time()
    for begin in range(0, UPDATES, batch):
        for update in updates[begin : begin + batch]:
            known.apply(update)
        known.dump()
    return (time.process_time() - before) / UPDATES * 1e6


def _update(at: int, properties: dict[str, object]) -> Update:
    clock = Clock(_START + at * 2_000_000, -1, -1, 10**55 + at, -1)
    return Update(clock, at.to_bytes(16, "big"), "$identify", encode(properties).decode())
