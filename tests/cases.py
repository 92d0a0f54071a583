"""A table of cases as one test: pytest takes longer for a test than most rules do. A wrong row is a subtest."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Rule = Callable[..., None]
Ids = Iterable[object] | Callable[[Any], object]


def each(names: str | tuple[str, ...], rows: Iterable[Any], ids: Ids | None = None) -> Callable[[Rule], Rule]:
    """Like `pytest.mark.parametrize`, but one test walks all rows, and each wrong one fails by its id or values.

    The rows share the fixtures, so none of these may hand anything from one row to the next.
    """
    columns, found = (names,) if isinstance(names, str) else names, list(rows)
    values = [(row,) for row in found] if isinstance(names, str) else found
    labels = map(ids, found) if callable(ids) else ids or [f"{one!r:.100}" for one in found]
    table = [(f"{label}", dict(zip(columns, row, strict=True))) for label, row in zip(labels, values, strict=True)]

    def decorate(test: Rule) -> Rule:
        rule, inner = getattr(test, "table", (test, [("", {})]))
        product = [(f"{label} {more}".strip(), row | other) for label, row in table for more, other in inner]

        @functools.wraps(rule)
        def walk(subtests: pytest.Subtests, **fixtures: Any) -> None:
            for label, row in product:
                try:
                    rule(**row, **fixtures)
                except BaseException:  # of pytest.fail too
                    with subtests.test(label):
                        raise

        asked = [one for name, one in inspect.signature(rule).parameters.items() if name not in product[0][1]]
        own = inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY)
        walk.__signature__ = inspect.Signature([*asked, own])
        walk.table = rule, product
        return walk

    return decorate
