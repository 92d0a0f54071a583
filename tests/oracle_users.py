"""What profiles and memberships must be after a list of records: the fold in clock order, by `json` alone.

Written from docs/amplitude.md §2.3, §3.1 and §8.1; it shares no code with the job. Fractions are Decimal.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

Profiles: TypeAlias = dict[tuple[int, str], dict[str, Any]]
Members: TypeAlias = dict[tuple[str, str], tuple[float, bool]]
ORDER = (
    *("$clearAll", "$unset", "$set", "$setOnce", "$add"),
    *("$append", "$prepend", "$preInsert", "$postInsert", "$remove"),
)


def read(payload: bytes | str) -> Any:
    return json.loads(payload, parse_float=Decimal)


def profiles(payloads: Iterable[bytes]) -> Profiles:
    """Properties by project and user, of user updates with a uuid and a time of their own each."""
    distinct = {(record["app"], record["uuid"]): record for record in map(read, payloads)}
    users: Profiles = {}
    for record in sorted(distinct.values(), key=lambda one: datetime.fromisoformat(one["server_upload_time"])):
        apply(users.setdefault((record["app"], record["user_id"]), {}), record["user_properties"])
    return users


def apply(user: dict[str, Any], changes: dict[str, Any]) -> None:
    plain = {name: value for name, value in changes.items() if name not in ORDER}
    for operator in ORDER:
        if operator == "$clearAll" and operator in changes:
            user.clear()
        operands = changes.get(operator, {}) if operator != "$clearAll" else {}
        for name, operand in (plain | operands if operator == "$set" else operands).items():
            one(user, operator, name, operand)


def one(user: dict[str, Any], operator: str, name: str, operand: Any) -> None:
    if operator == "$unset":
        user.pop(name, None)
    elif operator == "$set":
        user[name] = operand
    elif operator == "$setOnce":
        user.setdefault(name, operand)
    elif operator == "$add":
        if is_number(operand) and is_number(user.get(name, 0)):
            user[name] = user.get(name, 0) + operand
    elif operator != "$remove" or isinstance(user.get(name), list):
        user[name] = listed(operator, user.get(name, []), operand if isinstance(operand, list) else [operand])


def listed(operator: str, value: Any, given: list[Any]) -> list[Any]:
    value = value if isinstance(value, list) else [value]
    absent = [item for at, item in enumerate(given) if not has(value + given[:at], item)]
    return {
        "$append": value + given,
        "$prepend": given + value,
        "$preInsert": absent + value,
        "$postInsert": value + absent,
        "$remove": [item for item in value if not has(given, item)],
    }[operator]


def has(items: list[Any], item: Any) -> bool:
    return json.dumps(item, default=str) in [json.dumps(one, default=str) for one in items]


def is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def members(payloads: Iterable[bytes]) -> Members:
    """The newest computation of each user of each cohort; leaving wins a tie."""
    found: Members = {}
    for message in map(read, payloads):
        time = float(message.get("computed_time") or message.get("compute_time"))
        for user in message["users"]:
            key = message["cohort_id"], user["user_id"]
            known = found.get(key)
            newest = (time, message["in_cohort"])
            if known is None or time > known[0] or (time == known[0] and not message["in_cohort"]):
                found[key] = newest
    return found
