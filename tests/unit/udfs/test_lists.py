"""Which elements of lists are equal, and that ordinary ones are compared without being taken apart."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from tests.cases import each
from udfs import lists


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
