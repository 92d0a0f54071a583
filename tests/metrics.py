"""The metrics that docs/data.md names."""

import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import NamedTuple

from udfs.model import Kind, Reason, Repair

ROOT = Path(__file__).resolve().parents[1]
CODES = {"<kind>": Kind, "<reason>": Reason, "<repair>": Repair}
_JOB, _TASK = {"job_name"}, {"task_id", "subtask_index"}
_LABELS = {
    "job": _JOB,
    "task": _JOB | _TASK,
    "operator": _JOB | _TASK | {"operator_id", "operator_name"},
}


class Metric(NamedTuple):
    """A row of the table."""

    unit: str
    labels: Set[str]
    says: str


def documented() -> dict[str, Metric]:
    """The table, a row with `<kind>`, `<reason>` or `<repair>` spelt out for each of them."""
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").partition("\n## Metrics (Prometheus)\n")[2]
    rows = re.findall(
        r"^\| `((?:flink|usage_watch|redeliver|intake)_[^`]+)` \| (.+?) \|(.*?)\| (.+) \|$", page, re.MULTILINE
    )
    return {name: Metric(unit, _labels(cell), says) for row, unit, cell, says in rows for name in _names(row)}


def of_the_way_back() -> set[str]:
    """Those that the export job alone has."""
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").partition("\n`render: python` and `deliver")[2]
    return set(re.findall(r"^\| `(flink_[^`]+)` \|", page.partition("\n`amplitude-bridge")[0], re.MULTILINE))


def _names(row: str) -> Iterator[str]:
    code = next((code for code in CODES if code in row), None)
    yield from [row.replace(code, one) for one in CODES[code]] if code else [row]


def _labels(cell: str) -> set[str]:
    words = [word.strip(" `") for word in cell.split(",") if word.strip()]
    return set().union(*(_LABELS.get(word, {word}) for word in words))
