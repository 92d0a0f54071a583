"""A realistic sample of what Amplitude puts on the shared stream, with the numbers it must lead to.

Two tenants, redeliveries, late events, two months, an unregistered project and broken records. `Truth` is
tallied from labels given while each record is made, never by reading bytes back: it is a count independent
of the job. Deterministic for a seed and `now`.
"""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from random import Random
from typing import Literal

from ops.sample_events import Record, encode, later, make_event, person, uuid, with_oddities, with_rung, with_shape


@dataclass(frozen=True)
class SampleProject:
    """An Amplitude project of the sample and the Notifly project it belongs to."""

    project_id: int
    notifly_project: str


PROJECTS = (SampleProject(434735, "acme-shop"), SampleProject(100011471, "dalle-market"))


UNKNOWN_APP = 203138


@dataclass(frozen=True)
class Put:
    """One record as given to PutRecords."""

    partition_key: str
    data: bytes


@dataclass(frozen=True)
class ProjectTruth:
    """What must be found for one project: records = events + duplicates."""

    records: int
    events: int
    duplicates: int


@dataclass(frozen=True)
class Truth:
    """What the job must make of the sample; `usage` counts distinct events by (project, month)."""

    received: int
    projects: dict[int, ProjectTruth]
    usage: dict[tuple[int, str], int]
    rejected: dict[str, int]
    quarantined: dict[int, int]


@dataclass
class Sample:
    """The puts in the order to make them, and what must come of them."""

    puts: list[Put]
    truth: Truth


def generate(records: int = 3200, seed: int = 1, now: datetime | None = None) -> Sample:
    """Make `records` puts: 5 % redelivered, 1 % broken, 1 % of an unknown project.

    Uploads lie in the UTC month of `now` (up to `now`, which must be aware) and in the month before.
    """
    rng = Random(seed)
    broken = unknown = lookalikes = records // 100
    repeats = records // 20
    length = records - broken - unknown - lookalikes - repeats
    made = _originals(rng, _uploads(rng, length, (now or datetime.now(UTC)).astimezone(UTC)))
    made += _lookalikes(rng, made, lookalikes)
    items = [
        *(_Item(one.at, one.put, "event", one.project_id, one.month) for one in made),
        *(_redelivery(rng, rng.choice(made), length) for _ in range(repeats)),
        *(_unregistered(rng, rng.choice(made), length) for _ in range(unknown)),
        *(_Item(rng.uniform(0, length), put, "rejected", reason) for reason, put in _broken(rng, broken)),
    ]
    items.sort(key=lambda item: item.at)
    return Sample([item.put for item in items], _tally(items))


@dataclass(frozen=True)
class _Made:
    """A distinct event: where it stands in the stream and what it is known to be."""

    at: float
    event: Record
    put: Put
    project_id: int
    month: str


@dataclass(frozen=True)
class _Item:
    """A put and the label it is tallied by: `subject` is a project id, or the reason of a rejection."""

    at: float
    put: Put
    outcome: Literal["event", "duplicate", "rejected", "quarantined"]
    subject: int | str
    month: str = ""


def _uploads(rng: Random, count: int, now: datetime) -> list[datetime]:
    """Sorted upload instants, with the first and the last microsecond of a month among them."""
    current = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last_of_previous = current - timedelta(microseconds=1)
    previous = last_of_previous.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    uploads = [previous, last_of_previous, current][:count]
    while len(uploads) < count:
        start, end = (current, now) if rng.random() < 0.6 else (previous, last_of_previous)
        uploads.append(start + (end - start) * rng.random())
    return sorted(uploads)


def _originals(rng: Random, uploads: Sequence[datetime]) -> list[_Made]:
    shared = [person(rng) for _ in range(20)]
    people = {one.project_id: shared + [person(rng) for _ in range(300)] for one in PROJECTS}
    made = []
    for number, upload in enumerate(uploads):
        project_id = rng.choices(PROJECTS, weights=(2, 1))[0].project_id
        event = make_event(rng, number, project_id, rng.choice(people[project_id]), upload)
        event = with_oddities(rng, with_rung(rng, with_shape(rng, event)))
        put = Put(event.get("device_id") or uuid(rng), encode(event))
        made.append(_Made(number, event, put, project_id, f"{upload:%Y-%m}"))
    return made


def _lookalikes(rng: Random, made: Sequence[_Made], count: int) -> list[_Made]:
    """Events that share ids with another one and are yet distinct: by tenant, by event type, by device."""
    return [_lookalike(rng, origin) for origin in rng.sample(made, count)]


def _lookalike(rng: Random, origin: _Made) -> _Made:
    event, project_id = dict(origin.event), origin.project_id
    match rng.randrange(3):
        case 0:
            project_id = next(one.project_id for one in PROJECTS if one.project_id != project_id)
            event["app"] = project_id
        case 1:
            event["event_type"] = f"[Merged] {event['event_type']}"
        case _:
            event |= {"device_id": uuid(rng)} | ({"uuid": uuid(rng)} if event.get("uuid") else {})
    return _Made(origin.at + rng.random(), event, Put(uuid(rng), encode(event)), project_id, origin.month)


def _redelivery(rng: Random, made: _Made, length: int) -> _Item:
    """The same event again on another shard, at once or much later, sometimes with a new processed_time."""
    event = made.event
    if rng.random() < 0.3:
        event = event | {"processed_time": later(event["processed_time"], rng.randint(1, 10**10))}
    at = made.at + 0.5 if rng.random() < 0.5 else rng.uniform(made.at, max(length, made.at))
    put = Put(_key_on_another_shard(rng, made.put.partition_key), encode(event))
    return _Item(at, put, "duplicate", made.project_id)


def _unregistered(rng: Random, made: _Made, length: int) -> _Item:
    put = Put(uuid(rng), encode(made.event | {"app": UNKNOWN_APP, "uuid": uuid(rng)}))
    return _Item(rng.uniform(0, length), put, "quarantined", UNKNOWN_APP)


def _tally(items: Sequence[_Item]) -> Truth:
    subjects = Counter((item.outcome, item.subject) for item in items)
    projects = {}
    for project in (one.project_id for one in PROJECTS):
        distinct, repeats = subjects["event", project], subjects["duplicate", project]
        projects[project] = ProjectTruth(distinct + repeats, distinct, repeats)
    return Truth(
        received=len(items),
        projects=projects,
        usage=dict(Counter((int(one.subject), one.month) for one in items if one.outcome == "event")),
        rejected={str(reason): n for (outcome, reason), n in subjects.items() if outcome == "rejected"},
        quarantined={int(app): n for (outcome, app), n in subjects.items() if outcome == "quarantined"},
    )


def _broken(rng: Random, count: int) -> list[tuple[str, Put]]:
    """Broken records with their reasons; the first few hold one of every reason."""
    example = make_event(rng, 0, PROJECTS[0].project_id, person(rng), datetime(2026, 3, 10, tzinfo=UTC))
    ranked = [
        (rank, reason, data)
        for reason, forms in (_unreadable(example) | _unusable(example)).items()
        for rank, data in enumerate(forms)
    ]
    ranked.sort(key=lambda form: form[0])
    forms = [(reason, data) for _, reason, data in ranked]
    return [(reason, Put(uuid(rng), data)) for reason, data in (forms[n % len(forms)] for n in range(count))]


def _unreadable(example: Record) -> dict[str, list[bytes]]:
    whole = encode(example)
    ascii_only = json.dumps(example).encode()
    deep = b'{"app":434735,"event_type":"deep","event_properties":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    return {
        "empty": [b"", b" \r\n\t"],
        "invalid_utf8": [
            json.dumps(example | {"city": "서울"}, ensure_ascii=False).encode("euc-kr", "replace"),
            whole.decode().encode("utf-16"),
            gzip.compress(whole, mtime=0),
        ],
        "invalid_json": [
            ascii_only[: len(ascii_only) // 2],
            whole + b"\n" + whole,
            b"test",
            whole[:-1] + b",}",
        ],
        "not_an_object": [b"null", b"[" + whole + b"]", b'"event"', b"42"],
        "duplicate_key": [
            whole[:-1] + b',"app":100011471}',
            whole[:-1] + b',"\\u0061pp":434735}',
            b'{"uuid":"1",' + whole[1:],
        ],
        "too_deep": [deep, b"[" * 100_000],
    }


def _unusable(example: Record) -> dict[str, list[bytes]]:
    def having(key: str, *values: object) -> list[bytes]:
        return [encode(example | {key: value}) for value in values]

    def lacking(key: str) -> bytes:
        return encode({name: value for name, value in example.items() if name != key})

    return {
        "app_missing": [lacking("app"), *having("app", None)],
        "app_invalid": having("app", True, "some app id", 434735.0, -1, "", 2**63, "٤٣٤", [434735]),
        "event_type_missing": [lacking("event_type"), *having("event_type", None)],
        "event_type_invalid": having("event_type", "", 7, ["Play Song"]),
        "unsupported_kind": having("event_type", "$identify", "$groupidentify", "_identify"),
    }


def _key_on_another_shard(rng: Random, key: str) -> str:
    """A key at least a third of the hash range away and in its other half: never on the same even shard."""
    origin = _hash_key(key)
    while True:
        other = uuid(rng)
        distance = abs(_hash_key(other) - origin)
        if distance > 2**128 // 3 and _hash_key(other) >> 127 != origin >> 127:
            return other


def _hash_key(partition_key: str) -> int:
    return int.from_bytes(md5(partition_key.encode(), usedforsecurity=False).digest(), "big")
