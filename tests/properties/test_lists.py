"""What a list operator reads when each is a batch of its own: its operand, wherever it comes."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from tests.cases import each
from tests.unit.udfs.test_lists import Read
from tests.unit.udfs.test_profile import properties, update
from udfs.profile import Profile

LENGTH, OPEN, LATE, ELEMENTS = 200, 40, 20, 5
OPERATORS = ("$append", "$prepend", "$preInsert", "$postInsert", "$remove")
ORDERS: dict[str, Callable[[], Sequence[int]]] = {
    "in order": lambda: range(OPEN * 100 + 1, OPEN * 100 + 1 + LATE),
    "each pair swapped": lambda: [OPEN * 100 + 1 + (at ^ 1) for at in range(LATE)],
    "reversed": lambda: range(99, 99 - LATE, -1),
    "shuffled": lambda: [at * 100 + 50 for at in Random(1).sample(range(OPEN), LATE)],
}
OPERANDS: dict[str, Callable[[int], Any]] = {
    "strings": lambda at: [f"{(at + number) % 997}" for number in range(ELEMENTS)],
    "objects": lambda at: [{"k": (at + number) % 997} for number in range(ELEMENTS)],
    "nested": lambda at: [[[[(at + number) % 97]]] for number in range(ELEMENTS)],
}


@each("operator", OPERATORS)
@each("operand", OPERANDS.values(), ids=OPERANDS)
@each("order", ORDERS.values(), ids=ORDERS)
def test_a_late_operator_reads_its_operand_alone(
    operator: str, operand: Callable[[int], Any], order: Callable[[], Sequence[int]]
) -> None:
    def asked(at: int) -> Any:
        return update(at, {operator: {"l": operand(at)}})

    known, straight = Profile(), Profile()
    first = [update(0, {"l": operand(0) * (LENGTH // ELEMENTS)}), *[asked(at * 100) for at in range(1, OPEN + 1)]]
    for one in first:
        known.apply(one)
    known.dump()
    known.apply(asked(10_000_000))
    known.dump()
    with pytest.MonkeyPatch.context() as patch:
        read = Read(patch, "compared", "_list")
        for at in order():
            known.apply(asked(at))
            known.dump()
    assert read.elements <= 4 * ELEMENTS * LATE
    for one in (*first, asked(10_000_000), *map(asked, order())):
        straight.apply(one)
    assert properties(known) == properties(straight)


LATE_ASKED: dict[str, Callable[[int], Any]] = {
    "$set": lambda at: {"$set": {"l": [at, f"{at}", {"k": at}, [[[[at]]]], 0]}},
    "$unset": lambda _: {"$unset": {"l": "-"}},
    "$clearAll": lambda _: {"$clearAll": "-"},
    "$setOnce": lambda at: {"$setOnce": {"l": [at]}},
    "$add": lambda at: {"$add": {"l": at}},
    "$remove": lambda at: {"$remove": {"l": [at, f"{at}", {"k": at}, [[[[at]]]], 0]}},
}


@each("late", LATE_ASKED.values(), ids=LATE_ASKED)
@each("operator", OPERATORS)
@each("operand", OPERANDS.values(), ids=OPERANDS)
def test_whatever_comes_late_applies_no_list_operator_again(
    late: Callable[[int], Any], operator: str, operand: Callable[[int], Any]
) -> None:
    known, straight = Profile(), Profile()
    opened = [update(at * 100, {operator: {"l": operand(at)}}) for at in range(1, OPEN + 1)]
    coming = [update(at, late(at)) for at in range(1, LATE + 1)]
    for one in (update(0, {"l": operand(0) * (LENGTH // ELEMENTS)}), *opened, update(50, {"l": operand(0)})):
        known.apply(one)
    known.dump()
    with pytest.MonkeyPatch.context() as patch:
        read = Read(patch, "compared", "_list")
        for one in coming:
            known.apply(one._replace(clock=one.clock._replace(uploaded=one.clock.uploaded + 50)))
            known.dump()
    assert read.elements <= 4 * ELEMENTS * LATE + OPEN * ELEMENTS  # the open ones at most once
    for one in (update(50, {"l": operand(0)}), *coming, *opened):
        late_by = 50 if one in coming else 0
        straight.apply(one._replace(clock=one.clock._replace(uploaded=one.clock.uploaded + late_by)))
    assert properties(known) == properties(straight)
