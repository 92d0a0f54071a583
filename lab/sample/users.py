"""Made-up traffic about users: operators in any order and repeated, and cohort syncs of many messages; by seed.

Each update and each message has a clock of its own, so the order in which they are put decides nothing.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

from lab.sample.events import Record, cohort_message, encode, stamp, uuid

_WORDS: Final = ("서울", "부산", "VIP 💎", "일반", "a.b", "$x", "")
_NAMES: Final = ("grade", "도시", "logins", "spent", "tags", "first_seen", "a.b")
_OPERANDS: Final[dict[str, Callable[[Random], object]]] = {
    "$set": lambda rng: rng.choice((rng.choice(_WORDS), rng.randrange(9), 0.1, None, ["a"], {"b": [1]}, True)),
    "$setOnce": lambda rng: rng.choice(_WORDS),
    "$add": lambda rng: rng.choice((1, 2, -1, 0.1, 10**20, "text")),
    "$append": lambda rng: rng.choice(("a", ["b", 3], 1)),
    "$prepend": lambda rng: rng.choice(("c", ["a", "b"])),
    "$preInsert": lambda rng: rng.choice(("a", ["d", "a"])),
    "$postInsert": lambda rng: rng.choice(("b", ["e", "b"])),
    "$remove": lambda rng: rng.choice(("a", ["b", 3])),
    "$unset": lambda _: "-",
}


def updates(
    rng: Random, count: int, users: Sequence[str], project_ids: Sequence[int], day: datetime
) -> list[bytes]:
    """So many user updates within one day (aware), a tenth of them repeated, shuffled."""
    made = [
        encode(
            _update(rng, rng.choice(users), rng.choice(project_ids), day + timedelta(seconds=80_000 * n / count))
        )
        for n in range(count)
    ]
    made += rng.sample(made, count // 10)
    rng.shuffle(made)
    return made


def _update(rng: Random, user_id: str, project_id: int, upload: datetime) -> Record:
    return {
        "app": project_id,
        "event_type": rng.choice(("$identify", "$identify", "_identify")),
        "user_id": user_id,
        "device_id": f"{uuid(rng)}R",
        "amplitude_id": rng.randrange(10**11, 10**12),
        "server_upload_time": stamp(upload),
        "uuid": uuid(rng),
        "user_properties": _properties(rng),
    }


def _properties(rng: Random) -> Record:
    if rng.random() < 0.2:
        return {name: _OPERANDS["$set"](rng) for name in rng.sample(_NAMES, 2)}
    if rng.random() < 0.01:
        return {"$clearAll": "-"}
    operators = rng.sample(list(_OPERANDS), rng.choice((1, 1, 2, 3)))
    changes: Record = {
        operator: {name: _OPERANDS[operator](rng) for name in rng.sample(_NAMES, rng.choice((1, 2)))}
        for operator in operators
    }
    return changes | ({"plain": rng.randrange(9)} if rng.random() < 0.1 else {})


def cohort_sync(rng: Random, cohort_id: str, members: int, batch: int, day: datetime) -> list[bytes]:
    """A first sync of a cohort in messages of `batch` users, then changes of some of them; repeated, shuffled."""
    names = [f"member-{n}@example.com" for n in range(members)]
    whole = [names[at : at + batch] for at in range(0, members, batch)]
    made = [encode(_sync(rng, cohort_id, some, True, day)) for some in whole]
    for hour in range(1, 4):
        moved = rng.sample(names, members // 20)
        for at in range(0, len(moved), batch):
            enters = rng.random() < 0.5
            made.append(encode(_sync(rng, cohort_id, moved[at : at + batch], enters, day + timedelta(hours=hour))))
    made += rng.sample(made, max(1, len(made) // 10))
    rng.shuffle(made)
    return made


def _sync(rng: Random, cohort_id: str, users: Sequence[str], enters: bool, computed: datetime) -> Record:
    message = cohort_message(rng, cohort_id, computed, 0)
    return message | {"in_cohort": enters, "users": [{"user_id": user} for user in users]}
