"""What of the sample is no event: user updates, cohort messages, records of nobody and broken ones, each labelled.

A label says what a record is known to be, given while it is made: the truth is tallied from these.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from lab.sample import broken
from lab.sample.events import Record, cohort_message, encode, make_event, person, user_update
from stores.project import linked

PROJECTS = (
    linked(434735, "acme-shop", monthly_limit=1_000),  # reached by a sample of the size of `make run`
    linked(100011471, "dalle-market", datetime.fromisoformat("2023-06-01 09:30:00")),
)
"""The registered projects; the sample has records of the second one from before it was linked."""
UNKNOWN_APP = 203138
COHORTS = {"gs72ns": 434735, "k3w9ab": 100011471}
"""The registered cohorts and their projects."""
UNKNOWN_COHORT = "zz00zz"
MISSING = "Trial Started"
"""A type of which the second project has sent events only before it was linked."""
REGULAR = "mina@example.com"
"""A user of the first project of whom many updates tell."""


class Label(NamedTuple):
    """What a record is known to be: its kind, and what else its outcome is counted by."""

    kind: str
    """`event`, `duplicate` of one, `user_update`, `repeated_update`, or the word of the tables"""
    project_id: int = 0
    month: str = ""
    reason: str = ""
    users: tuple[str, ...] = ()
    """whose profile it changes, or who enters or leaves"""
    cohort_id: str = ""
    enters: bool = False


Labelled = tuple[bytes, Label]


def others(rng: Random, records: int, now: datetime) -> list[Labelled]:
    """The share of a sample of so many records that is no event."""
    return [
        *_each(records // 50, _broken(rng)),
        *_each(records // 50, _user_updates(rng, now)),
        *_each(records // 200, _control(rng)),
        *_each(records // 200, _before_link(rng)),
        *_each(records // 400, _unattributed(rng)),
        *_each(records // 400, _cohorts(rng, now)),
    ]


def _each(count: int, forms: Iterator[Labelled]) -> list[Labelled]:
    return [next(forms) for _ in range(count)]


def _user_updates(rng: Random, now: datetime) -> Iterator[Labelled]:
    regular = {**person(rng), "user_id": REGULAR}
    while True:
        one = regular if rng.random() < 0.2 else person(rng)
        project_id = PROJECTS[0].project_id if one is regular else rng.choice(PROJECTS).project_id
        record = user_update(rng, project_id, one, now)
        known = (one["user_id"],) if one["user_id"] and "group_type" not in record else ()
        update = encode(record)
        yield update, Label("user_update", project_id, users=known)
        if rng.random() < 0.25:
            yield update, Label("repeated_update", project_id)


def _cohorts(rng: Random, now: datetime) -> Iterator[Labelled]:
    enters = True  # first all enter, then some leave
    while True:
        for cohort_id, project_id in COHORTS.items():
            message = cohort_message(rng, cohort_id, now, rng.randrange(200)) | {"in_cohort": enters}
            users = tuple(user["user_id"] for user in message["users"])
            label = Label("cohort", project_id, "", "", users, cohort_id, message["in_cohort"])
            yield encode(message), label
        enters = False
        unknown = Label("quarantined", reason="unknown_cohort")
        yield encode(cohort_message(rng, UNKNOWN_COHORT, now, rng.randrange(20))), unknown


def _before_link(rng: Random) -> Iterator[Labelled]:
    """Events uploaded before the project was linked, the first one by a microsecond; none of the type is taken."""
    project = PROJECTS[1]
    linked_at = project.links[0].linked_at.replace(tzinfo=UTC)
    label = Label("not_linked", project.project_id, reason="before_link")
    ahead = timedelta(microseconds=1)
    while True:
        event = make_event(rng, 0, project.project_id, person(rng), linked_at - ahead)
        yield encode(event | {"event_type": MISSING}), label
        ahead = timedelta(seconds=rng.randint(1, 10**7))


def _unattributed(rng: Random) -> Iterator[Labelled]:
    while True:
        yield broken.unattributed(rng), Label("quarantined", reason="unattributed")


def _broken(rng: Random) -> Iterator[Labelled]:
    """Broken records; the first few hold one of every reason."""
    return _in_turn("rejected", broken.rejected(_example(rng)))


def _control(rng: Random) -> Iterator[Labelled]:
    return _in_turn("control", broken.control(_example(rng)))


def _example(rng: Random) -> Record:
    return make_event(rng, 0, PROJECTS[0].project_id, person(rng), datetime(2026, 3, 10, tzinfo=UTC))


def _in_turn(kind: str, reasons: dict[str, list[bytes]]) -> Iterator[Labelled]:
    """The first form of every reason, then the second one of those that have one, and so on; endless."""
    ranked = [(rank, reason, data) for reason, forms in reasons.items() for rank, data in enumerate(forms)]
    ranked.sort(key=lambda form: form[0])
    while True:
        yield from ((data, Label(kind, reason=reason)) for _, reason, data in ranked)
