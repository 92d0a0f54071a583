"""What a benchmark reports: figures with a name and a unit, shown as one table or written as JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

Say = Callable[[str], None]
"""Tells the person who waits how far it is."""


class Figure(NamedTuple):
    """One measured number, or one word such as ok/WRONG, and what exactly it is."""

    benchmark: str
    what: str
    value: float | str
    unit: str = ""

    @property
    def wrong(self) -> bool:
        """Whether this is a check that has failed."""
        return isinstance(self.value, str) and self.value.startswith("WRONG")

    @property
    def shown(self) -> str:
        """The value as a reader wants it: three or four digits that mean something."""
        if isinstance(self.value, str):
            return self.value
        digits = 0 if isinstance(self.value, int) or abs(self.value) >= 1000 else 1
        return f"{self.value:,.{2 if abs(self.value) < 10 and digits else digits}f}"


def of(benchmark: str, values: Mapping[str, float | str], unit: str = "") -> list[Figure]:
    """Several figures of one unit by what they are."""
    return [Figure(benchmark, what, value, unit) for what, value in values.items()]


def show(figures: Sequence[Figure], console: Console) -> None:
    """All figures in one table, a rule between benchmarks."""
    table = Table("benchmark", "figure")
    table.add_column("value", justify="right", max_width=40)
    table.add_column("unit")
    for before, figure in zip([None, *figures], figures, strict=False):
        first = before is None or before.benchmark != figure.benchmark
        if first and before:
            table.add_section()
        style = "red" if figure.wrong else None
        table.add_row(figure.benchmark if first else "", figure.what, figure.shown, figure.unit, style=style)
    console.print(table)


def write(figures: Sequence[Figure], machine: str, path: Path) -> None:
    """The same figures for programs."""
    content = {"machine": machine, "figures": [figure._asdict() for figure in figures]}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
