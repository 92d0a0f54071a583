"""What a list operator reads when each is a batch of its own: its operand, wherever it comes."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from msgspec import Raw

from tests.cases import each
from tests.unit.udfs.test_profile import properties, update
from udfs import lists
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


class Read:
    """Counts the elements that a function of `lists` finds in what it is given."""

    def __init__(self, patch: pytest.MonkeyPatch, *names: str) -> None:
        self.elements = 0
        for name in names:
            patch.setattr(lists, name, self._counting(getattr(lists, name)))

    def _counting(self, function: Callable[[Raw], Any]) -> Callable[[Raw], Any]:
        def counting(value: Raw) -> Any:
            found = function(value)
            self.elements += len(found)
            return found

        return counting


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
        read = Read(patch, "compared", "_elements")
        for at in order():
            known.apply(asked(at))
            known.dump()
    assert read.elements <= 4 * ELEMENTS * LATE
    for one in (*first, asked(10_000_000), *map(asked, order())):
        straight.apply(one)
    assert properties(known) == properties(straight)


SAME = {
    "keys in another order": ('{"a":1,"b":[2.0]}', '{ "b": [2.0], "\\u0061": 1}', True),
    "integers and fractions": ("[1]", "[1.0]", False),
    "fractions are not rounded": ('{"a":0.10}', '{"a":0.1}', False),
    "integers beyond any machine's": ('{"a":' + "9" * 5000 + "}", '{"a": ' + "9" * 5000 + "}", True),
    "minus zero": ('{"a":-0}', '{"a":0}', False),
    "a date": ('{"a":"2026-01-05"}', '{"a": "2026-01-\\u00305"}', True),
    "the later of two equal keys": ('{"a":1,"a":2}', '{"a":2}', True),
    "control characters in keys": (
        '{"\\u0001":1,"a":2,"b":' + "9" * 5000 + "}",
        '{"a":2,"b":' + "9" * 5000 + ',"\\u0001":1}',
        True,
    ),
}


@each(("one", "other", "equal"), SAME.values(), ids=SAME)
def test_what_is_equal(one: str, other: str, equal: bool) -> None:
    assert (lists.canonical(Raw(one)) == lists.canonical(Raw(other))) == equal
    assert lists.compared(Raw(f"[{one}]")) == [lists.canonical(Raw(one))]


@each("text", ['["item-0",{"a":1}]', '[{"at":"2026-01-05"}]', '[{"a":-0.5,"b":-0e1}]', "[1e-05,[-1e-0]]"])
def test_ordinary_texts_are_compared_at_once(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        read = Read(patch, "_list", "_object")
        lists.compared(Raw(text))
    assert read.elements == 0
