"""A realistic sample of what Amplitude puts on the shared stream, with the numbers it must lead to.

Two tenants, redeliveries, late events, two months, envelopes, user updates, cohorts, an unregistered project and
broken records. `Truth` is tallied from labels given while each record is made, never by reading bytes back: it is
a count independent of the job. Deterministic for a seed and `now`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from random import Random
from typing import NamedTuple

from lab.sample import envelopes
from lab.sample.events import (
    Record,
    encode,
    later,
    make_event,
    person,
    uuid,
    with_oddities,
    with_rung,
    with_shape,
)
from lab.sample.others import COHORTS, PROJECTS, UNKNOWN_APP, Label, others

_RECENT = timedelta(minutes=1)
_BOM = b"\xef\xbb\xbf"


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
    """puts"""
    outcomes: int
    """records that get an outcome: each part of an envelope is one"""
    projects: dict[int, ProjectTruth]
    usage: dict[tuple[int, str], int]
    dead_letters: dict[tuple[str, str], int]
    """by kind and reason"""
    quarantined: dict[int, int]
    """dead letters of unregistered projects"""
    update_records: dict[int, int]
    """user updates, copies included"""
    user_updates: dict[int, int]
    """distinct ones"""
    profiles: dict[int, int]
    """users who have one, by project"""
    cohort_messages: dict[int, int]
    cohort_changes: dict[str, int]
    """users in the messages, by cohort"""
    members: dict[str, int]
    """by cohort"""


@dataclass
class Sample:
    """The puts in the order to make them, and what must come of them."""

    puts: list[Put]
    truth: Truth


def generate(records: int = 3200, seed: int = 1, now: datetime | None = None, *, spread: bool = False) -> Sample:
    """Make `records` puts: 5 % redelivered, 2 % broken, 1 % of an unknown project, 1 % envelopes and other kinds.

    Uploads end at `now`, which must be aware: most lie in the minute before it, a few in the month before, as of
    devices that were offline. With `spread` they lie all over both months.
    """
    rng = Random(seed)
    now = (now or datetime.now(UTC)).astimezone(UTC)
    unknown = lookalikes = envelopes = records // 100
    repeats = records // 20
    rest = others(rng, records, now)
    length = records - len(rest) - unknown - lookalikes - envelopes - repeats
    sizes = [rng.randint(2, 6) for _ in range(envelopes)]
    made = _originals(rng, _uploads(rng, length + sum(sizes), now, spread=spread))
    singles, inside = _parted(rng, made, sizes)
    wrapped = [_enveloped(rng, number, members) for number, members in enumerate(inside)]
    repeated_whole = [rng.choice(wrapped) for _ in range(envelopes // 8)]
    made += (twins := _lookalikes(rng, made, lookalikes))
    items = [
        *(_Item(one.at, one.put, (one.label,)) for one in (*singles, *twins)),
        *wrapped,
        *(_redelivery(rng, rng.choice(made), length) for _ in range(repeats - len(repeated_whole))),
        *(_redelivered(rng, item) for item in repeated_whole),
        *(_unregistered(rng, rng.choice(made), length) for _ in range(unknown)),
        *(_Item(rng.uniform(0, length), Put(uuid(rng), data), (label,)) for data, label in rest),
    ]
    items.sort(key=lambda item: item.at)
    return Sample([item.put for item in items], _tally(items))


class _Made(NamedTuple):
    """A distinct event: where it stands in the stream and what it is known to be."""

    at: float
    event: Record
    put: Put
    label: Label


class _Item(NamedTuple):
    """A put, and a label for each record in it."""

    at: float
    put: Put
    labels: tuple[Label, ...]


def _uploads(rng: Random, count: int, now: datetime, *, spread: bool) -> list[datetime]:
    """Sorted upload instants, with the first and the last microsecond of a month among them."""
    current = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last_of_previous = current - timedelta(microseconds=1)
    previous = last_of_previous.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    recent, share = (current, 0.6) if spread else (max(current, now - _RECENT), 0.98)
    uploads = [previous, last_of_previous, current][:count]
    while len(uploads) < count:
        start, end = (recent, now) if rng.random() < share else (previous, last_of_previous)
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
        mark = _BOM if rng.random() < 0.005 else b""
        put = Put(event.get("device_id") or uuid(rng), mark + encode(event))
        made.append(_Made(number, event, put, Label("event", project_id, f"{upload:%Y-%m}")))
    return made


def _parted(rng: Random, made: Sequence[_Made], sizes: Sequence[int]) -> tuple[list[_Made], list[list[_Made]]]:
    """The events that are put one by one, and a run of neighbours for each envelope."""
    singles, inside = list(made), []
    for size in sizes:
        start = rng.randrange(len(singles) - size + 1)
        inside.append(singles[start : start + size])
        del singles[start : start + size]
    return singles, inside


def _enveloped(rng: Random, number: int, members: Sequence[_Made]) -> _Item:
    """Several events in one record: every form in turn, then every bad tail, which the events must survive."""
    forms = (*((form, "") for form in envelopes.FORMS), *envelopes.BAD_TAILS)
    form, reason = forms[number % len(forms)]
    labels = tuple(member.label for member in members)
    if reason:
        labels += (Label("rejected", reason=reason),)
    data = form([encode(member.event) for member in members])
    aggregated = data.startswith(envelopes.KPL_MAGIC)
    return _Item(members[0].at, Put(envelopes.KPL_KEY if aggregated else uuid(rng), data), labels)


def _lookalikes(rng: Random, made: Sequence[_Made], count: int) -> list[_Made]:
    """Events that share ids with another one and are yet distinct: by tenant, by event type, by device."""
    return [_lookalike(rng, origin) for origin in rng.sample(made, count)]


def _lookalike(rng: Random, origin: _Made) -> _Made:
    event, label = dict(origin.event), origin.label
    match rng.randrange(3):
        case 0:
            project_id = next(one.project_id for one in PROJECTS if one.project_id != label.project_id)
            event["app"], label = project_id, label._replace(project_id=project_id)
        case 1:
            event["event_type"] = f"[Merged] {event['event_type']}"
        case _:
            event |= {"device_id": uuid(rng)} | ({"uuid": uuid(rng)} if event.get("uuid") else {})
    return _Made(origin.at + rng.random(), event, Put(uuid(rng), encode(event)), label)


def _redelivery(rng: Random, made: _Made, length: int) -> _Item:
    """The same event again on another shard, at once or much later, sometimes with a new processed_time."""
    event = made.event
    if rng.random() < 0.3:
        event = event | {"processed_time": later(event["processed_time"], rng.randint(1, 10**10))}
    at = made.at + 0.5 if rng.random() < 0.5 else rng.uniform(made.at, max(length, made.at))
    put = Put(_key_on_another_shard(rng, made.put.partition_key), encode(event))
    return _Item(at, put, (_again(made.label),))


def _redelivered(rng: Random, item: _Item) -> _Item:
    """A whole envelope again: its events are duplicates, its bad tail is as bad as before."""
    key, data = item.put.partition_key, item.put.data
    put = item.put if key == envelopes.KPL_KEY else Put(_key_on_another_shard(rng, key), data)
    return _Item(item.at + 0.5, put, tuple(map(_again, item.labels)))


def _again(label: Label) -> Label:
    return Label("duplicate", label.project_id) if label.kind == "event" else label


def _unregistered(rng: Random, made: _Made, length: int) -> _Item:
    record = made.event | {"app": UNKNOWN_APP, "uuid": uuid(rng)}
    if rng.random() < 0.1:
        record["event_type"] = "$identify"
    label = Label("quarantined", UNKNOWN_APP, reason="unknown_project")
    return _Item(rng.uniform(0, length), Put(uuid(rng), encode(record)), (label,))


def _tally(items: Sequence[_Item]) -> Truth:
    labels = [label for item in items for label in item.labels]

    def by_project(kind: str) -> Counter[int]:
        return Counter(label.project_id for label in labels if label.kind == kind)

    known = {(label.project_id, user) for label in labels if label.kind == "user_update" for user in label.users}
    events, repeats, updates = by_project("event"), by_project("duplicate"), by_project("user_update")
    return Truth(
        received=len(items),
        outcomes=len(labels),
        projects={
            project: ProjectTruth(events[project] + repeats[project], events[project], repeats[project])
            for project in (one.project_id for one in PROJECTS)
        },
        usage=dict(Counter((label.project_id, label.month) for label in labels if label.kind == "event")),
        dead_letters=dict(Counter((label.kind, label.reason) for label in labels if label.reason)),
        quarantined=dict(Counter(label.project_id for label in labels if label.reason == "unknown_project")),
        update_records=dict(updates + by_project("repeated_update")),
        user_updates=dict(updates),
        profiles=dict(Counter(project for project, _ in known)),
        cohort_messages=dict(by_project("cohort")),
        cohort_changes=dict(Counter(one.cohort_id for one in labels if one.kind == "cohort" for _ in one.users)),
        members={
            # all messages are of one computation, and who leaves in one of them has left
            cohort_id: len(_users(labels, cohort_id, enters=True) - _users(labels, cohort_id, enters=False))
            for cohort_id in COHORTS
        },
    )


def _users(labels: Sequence[Label], cohort_id: str, *, enters: bool) -> set[str]:
    moved = (label.users for label in labels if label.cohort_id == cohort_id and label.enters == enters)
    return {user for users in moved for user in users}


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
