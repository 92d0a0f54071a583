"""Which elements of lists are equal, and that ordinary ones are compared without being taken apart."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from tests.cases import each
from tests.unit.udfs.test_profile import update
from udfs import lists
from udfs.profile import Profile, Update


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


MIXED = {
    "all": ("$append", "$prepend", "$preInsert", "$postInsert", "$remove"),
    "inserts": ("$postInsert",),
    "inserts and removals": ("$postInsert", "$remove"),
}


def opened(operators: tuple[str, ...], size: int) -> Profile:
    """Ten operators on a list, that each name the same elements, as a worker reads them."""
    known, elements = Profile(), [{"k": number} for number in range(size)]
    for at in range(1, 11):
        known.apply(update(at * 100, {operators[at % len(operators)]: {"l": elements}}))
    return Profile.load(*known.dump())


def calls(known: Profile, late: Update) -> int:
    """How many functions of Python are called until the value with a late update is there."""
    count = 0

    def counting(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counting)
    try:
        known.apply(late)
        known.dump()
    finally:
        sys.setprofile(None)
    return count


@each("operators", MIXED.values(), ids=MIXED)
def test_the_first_late_operator_behind_a_read_does_no_step_by_element(operators: tuple[str, ...]) -> None:
    late = update(50, {"$postInsert": {"l": [{"k": -1}]}})
    few, many = (calls(opened(operators, size), late) for size in (10, 100))
    assert many <= few + 100  # each element of the list may be found in what put it


@each("operators", MIXED.values(), ids=MIXED)
def test_what_takes_many_operators_out_does_no_step_by_element(operators: tuple[str, ...]) -> None:
    late, counts = update(50, {"$postInsert": {"l": [{"k": -1}]}}), list[int]()
    for size in (10, 100):
        known = opened(operators, size)
        calls(known, late)
        counts.append(calls(known, update(550, {"$unset": {"l": "-"}})))
    assert counts[1] <= counts[0] + 100
