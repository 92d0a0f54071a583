"""Whole records of every variant that docs/amplitude.md knows, and the row that each must become, by value."""

import json
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

from stores.project import linked
from tests.builders import ARRIVAL
from tests.cases import each
from udfs.decode import decode
from udfs.model import DECODED

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json") if not path.stem.endswith(".expected"))
REGISTRY = {
    434735: linked(434735, "acme"),
    100011471: linked(100011471, "globex"),
    203138: linked(203138, "initech"),
    "gs72ns": linked(434735, "acme"),
}
IN_COLUMNS = {"event", "user_update"}


def exact(text: str) -> Any:
    """JSON with numbers as they are spelled: 0.0 is not 0."""
    return json.loads(text, parse_float=lambda digits: ("float", Decimal(digits)))


def readable(name: str, value: Any) -> Any:
    """A column's value as the expected rows spell it."""
    if DECODED[name] is dict:
        return exact(value)
    if isinstance(value, float):
        return "float", Decimal(repr(value))
    return value.isoformat(" ", "microseconds") if isinstance(value, datetime) else value


@each("name", NAMES)
def test_row(name: str) -> None:
    payload = (FOLDER / f"{name}.json").read_bytes()
    decoded = dict(zip(DECODED, decode(payload, ARRIVAL.replace(tzinfo=None), REGISTRY), strict=True))
    row = {column: readable(column, value) for column, value in decoded.items() if value is not None}
    assert row.pop("payload", None) == (None if row["kind"] in IN_COLUMNS else payload)
    if "identity" in row:
        assert row.pop("identity_hash") == blake2b(row["identity"].encode(), digest_size=16).digest()
    assert row == exact((FOLDER / f"{name}.expected.json").read_text(encoding="utf-8"))


def test_every_variant_is_there_and_described() -> None:
    described = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(NAMES) == 16
    assert [name for name in NAMES if name not in described] == []
