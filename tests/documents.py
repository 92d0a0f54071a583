"""The project's YAML files, each read once however many tests look at it; none may change what it gets."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


@cache
def document(name: str) -> Any:
    """What a file holds, by its path from the project's folder; libyaml reads it ten times as fast as Python."""
    return yaml.load((ROOT / name).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
