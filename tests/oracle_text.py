"""The text of one record for the oracle: an object by nothing but `json`, or why there is none."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.oracle_envelope import LARGEST_RECORD
from tests.oracle_pieces import AROUND, BETWEEN, BOM, COMPRESSED, ENCODED, Fault

Record: TypeAlias = dict[str, Any]

WITHOUT_DUPLICATES = ("app", "uuid", "event_type", "user_id")
WITHOUT_DUPLICATES_IF_NO_UUID = ("device_id", "$insert_id", "event_id", "client_event_time")
DEEPEST = 64
NO_IDS = ("", "anonymous", "nil", "null", "none", "n/a", "na", "undefined", "unknown", "{}", "lmy47d", "0", "-1",
          "00000000-0000-0000-0000-000000000000")  # fmt: skip


class Huge(float):
    """A number of thousands of digits: Python refuses to make an integer of it. No rule looks at its size."""

    digits: str


def parsed(data: bytes) -> Record | Fault:
    """The object, or the reason why there is none that can be told whose and which it is."""
    if len(data) > LARGEST_RECORD:
        return Fault("too_large")
    if BETWEEN.fullmatch(data):
        return Fault("empty")
    latest: list[tuple[str, Any]] = []

    def remember(pairs: list[tuple[str, Any]]) -> Record:
        latest[:] = [(clean(key), value) for key, value in pairs]  # objects end inside out: the outermost stays
        return dict(latest)

    text = _text_of(data)
    record = text if isinstance(text, Fault) else _read(text, remember)
    if isinstance(record, Fault):
        return record
    if not isinstance(record, dict):
        return Fault("not_an_object")
    if _depth(text) > DEEPEST:
        return Fault("too_deep")
    keys = Counter(key for key, _ in latest)
    by_uuid = identifier(record, "uuid")
    once = WITHOUT_DUPLICATES if by_uuid else WITHOUT_DUPLICATES + WITHOUT_DUPLICATES_IF_NO_UUID
    once = (*once, "cohort_id", "in_cohort", "computed_time", "users")
    aliases = {"event_type": "event_name", "computed_time": "compute_time"}
    once += tuple(alias for name, alias in aliases.items() if record.get(name) is None)
    return Fault("duplicate_key") if any(keys[key] > 1 for key in once) else record


def identifier(record: Record, key: str) -> str:
    """Empty when the value is none, or a word that stands for none; of an integer its digits."""
    value = record.get(key)
    if isinstance(value, Huge):
        return value.digits
    if type(value) is int:
        value = str(value)
    return clean(value) if isinstance(value, str) and value.replace("\0", "").lower() not in {*NO_IDS, ""} else ""


def clean(text: str) -> str:
    """Lone surrogates, which no UTF-8 can carry, become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _text_of(data: bytes) -> str | Fault:
    if ENCODED.match(data):
        return Fault("invalid_utf8")
    try:
        return data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError:
        compressed = COMPRESSED.match(data, AROUND.match(data).end())
        return Fault("compression_unknown" if compressed else "invalid_utf8")


def _read(text: str, object_of: Callable[[list[tuple[str, Any]]], object]) -> object:
    try:
        return json.loads(text, object_pairs_hook=object_of, parse_constant=lambda _: None, parse_int=_int)
    except RecursionError:
        return Fault("too_deep")
    except json.JSONDecodeError:
        return Fault("invalid_json")


def _int(digits: str) -> int | Huge:
    if len(digits) < 4000:
        return int(digits)
    huge = Huge(digits)
    huge.digits = digits
    return huge


def _depth(text: str) -> int:
    """Levels of brackets in JSON, those in strings left out."""
    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
