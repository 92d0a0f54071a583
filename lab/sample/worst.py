"""One user's worst beside a sample: list operators that arrive out of order and repeated, and what they make."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from lab.sample.events import encode, stamp, uuid
from lab.sample.generator import Put, Sample, Truth
from lab.sample.others import PROJECTS

USER: Final = "worst@example.com"
PROPERTY: Final = "seen"
PROJECT: Final = PROJECTS[0].project_id
_LENGTH: Final = 5_000  # of the list before the first operator
_OPERATORS: Final = ("$append", "$prepend", "$preInsert", "$postInsert", "$remove")


class Worst(NamedTuple):
    """A sample with the user's updates among its puts, and the list that the user must have in the end."""

    sample: Sample
    expected: list[str]


def beside(sample: Sample, updates: int, seed: int) -> Worst:
    """So many list operators of one user evenly among a sample's puts, each pair swapped and a tenth repeated."""
    # not the seed itself: the sample is made by that, and the two would draw the same uuids
    rng, listed = Random(f"worst {seed}"), [f"item-{at}" for at in range(_LENGTH)]
    made = [_update(rng, 0, {"$set": {PROPERTY: listed}})]
    for at in range(1, updates + 1):
        operator, operand = rng.choice(_OPERATORS), f"item-{rng.randrange(2 * _LENGTH)}"
        made.append(_update(rng, at, {operator: {PROPERTY: operand}}))
        listed = _after(listed, operator, operand)
    arriving = [made[at ^ 1] if at ^ 1 < len(made) else made[at] for at in range(len(made))]
    again = rng.sample(made, updates // 10)
    puts = [Put(uuid(rng), data) for data in (*arriving, *again)]
    return Worst(Sample(_among(sample.puts, puts), _counted(sample, len(made), len(puts))), listed)


def _update(rng: Random, at: int, properties: dict[str, object]) -> bytes:
    upload = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=at)
    return encode(
        {
            "app": PROJECT,
            "event_type": "$identify",
            "user_id": USER,
            "server_upload_time": stamp(upload),
            "uuid": uuid(rng),
            "user_properties": properties,
        }
    )


def _after(listed: list[str], operator: str, operand: str) -> list[str]:
    if operator == "$remove":
        return [one for one in listed if one != operand]
    if operator.endswith("Insert") and operand in listed:
        return listed
    return [operand, *listed] if operator in {"$prepend", "$preInsert"} else [*listed, operand]


def _among(puts: Sequence[Put], more: Sequence[Put]) -> list[Put]:
    """Both in their order, evenly mixed."""
    places = [
        (at / len(own), number, put) for number, own in enumerate((puts, more)) for at, put in enumerate(own)
    ]
    return [put for *_, put in sorted(places, key=lambda place: place[:2])]


def _counted(sample: Sample, distinct: int, puts: int) -> Truth:
    truth = sample.truth

    def more(counts: dict[int, int], added: int) -> dict[int, int]:
        return counts | {PROJECT: counts.get(PROJECT, 0) + added}

    return replace(
        truth,
        received=truth.received + puts,
        outcomes=truth.outcomes + puts,
        update_records=more(truth.update_records, puts),
        user_updates=more(truth.user_updates, distinct),
        profiles=more(truth.profiles, 1),
    )
