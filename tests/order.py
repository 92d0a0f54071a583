"""In which order files of tests begin: two workers take them in turn, and neither shall begin a long one last."""

from collections.abc import Sequence

import pytest


def longest_first(items: list[pytest.Item], longest: Sequence[str]) -> None:
    """Sort tests by the place of their file among the `longest`, named without `test_`; the others come behind."""

    def turn(item: pytest.Item) -> int:
        name = item.path.stem.removeprefix("test_")
        return longest.index(name) if name in longest else len(longest)

    items.sort(key=turn)
