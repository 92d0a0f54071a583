"""`make soak`: mutated traffic through the local stack, with every record accounted for.

What must come of each put is said by the job's own rules, called in this process. So a soak does not prove the
rules: it proves that the running job follows them whatever the bytes, loses nothing, stores nothing twice, and
never restarts.
"""

import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from lab.proofs.rest import at_rest, balanced, progress_bar
from lab.sample import broken, envelopes
from lab.sample.events import (
    Record,
    cohort_message,
    encode,
    make_event,
    person,
    user_update,
    uuid,
    with_oddities,
    with_rung,
    with_shape,
)
from lab.sample.generator import Put
from lab.sample.mutate import mutate
from lab.sample.others import COHORTS, PROJECTS, UNKNOWN_APP, UNKNOWN_COHORT
from lab.sample.registry import create
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.process import StackError
from ops.cli.terminal import one_line_errors, stop_on_signals
from settings import Settings, load
from stores.lake import COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Lake
from stores.project import Project
from stores.stream import Stream
from stores.usage import UsageTable
from udfs import kpl
from udfs.attribute import Registry
from udfs.decode import leaves
from udfs.model import DECODED, Kind, Row

RATE: Final = 30
"""Puts per second; the emulator of Kinesis gets slower as its stream fills."""
MUTATED, REPEATED = 0.5, 0.1
LARGEST_PUT: Final = 1_000_000  # below the 1 MiB of a record, its partition key included
_PROJECTS: Final[dict[int | str, Project]] = {project.project_id: project for project in PROJECTS}
REGISTRY: Final[Registry] = _PROJECTS | {cohort_id: _PROJECTS[owner] for cohort_id, owner in COHORTS.items()}
_HOLDS_NOTHING: Final = envelopes.aggregate([])  # the connector opens it: no record comes of it
_DAY, _BEFORE_LINK = datetime(2026, 3, 10, tzinfo=UTC), datetime(2023, 5, 10, tzinfo=UTC)
_KIND, _REASON, _HASH, _PROJECT = (
    list(DECODED).index(n) for n in ("kind", "reason", "identity_hash", "project_id")
)


class Outcome(NamedTuple):
    """What became of a record; `project_id` 0 where it has none."""

    kind: str
    reason: str
    project_id: int


FIRST, AGAIN = "first copy", "duplicate"
_DISTINCT: Final = {Kind.EVENT.value, Kind.USER_UPDATE.value}


@dataclass
class Expected:
    """What must be found, tallied put by put."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seen: set[tuple[int, bytes]] = field(default_factory=set)

    def add(self, payload: bytes) -> None:
        """Count what must come of one more put."""
        # when exactly it arrives decides nothing: uploads are long past, and links have no end
        arrival = datetime.now(UTC).replace(tzinfo=None)
        inside = kpl.opened(payload)  # the connector makes records of its own of these
        records = [one.data for one in inside.records[: inside.handed_over]] if inside else [payload]
        self.outcomes.update(self._outcome(row) for one in records for _, row in leaves(one, arrival, REGISTRY))

    def _outcome(self, row: Row) -> Outcome:
        project_id, reason = row[_PROJECT] or 0, row[_REASON] or ""
        if row[_KIND] in _DISTINCT:
            identity = (project_id, row[_HASH])
            reason = AGAIN if identity in self.seen else FIRST
            self.seen.add(identity)
        return Outcome(row[_KIND], reason, project_id)


def traffic(seed: int) -> Iterator[Put]:
    """Endless puts: half of them as senders make them, half mutated, some repeated; the same for the same seed."""
    rng = Random(seed)  # noqa: S311  the same traffic each time
    people = [person(rng) for _ in range(200)]
    recent = deque([_event(rng, 0, people)], maxlen=200)
    number = 0
    while True:
        number += 1
        if rng.random() < REPEATED:
            payload = rng.choice(recent)
        else:
            payload = _record(rng, number, people)
            if rng.random() < MUTATED:
                payload = mutate(rng, payload, recent)
            recent.append(payload)
        payload = payload[:LARGEST_PUT]
        if payload != _HOLDS_NOTHING:
            aggregated = payload.startswith(envelopes.KPL_MAGIC)
            yield Put(envelopes.KPL_KEY if aggregated else uuid(rng), payload)


def _record(rng: Random, number: int, people: list[Record]) -> bytes:
    """One record as it was sent: of any kind, alone or with others."""
    upload = _upload(rng)
    roll = rng.random()
    if roll < 0.6:
        return _event(rng, number, people)
    if roll < 0.7:
        return encode(user_update(rng, rng.choice(PROJECTS).project_id, rng.choice(people), upload))
    if roll < 0.74:
        return encode(cohort_message(rng, rng.choice([*COHORTS, UNKNOWN_COHORT]), upload, rng.randrange(50)))
    if roll < 0.84:
        example = make_event(rng, number, PROJECTS[0].project_id, rng.choice(people), upload)
        reasons = broken.rejected(example) | broken.control(example)
        return rng.choice(rng.choice(list(reasons.values())))
    if roll < 0.85:
        return broken.unattributed(rng)
    members = [_event(rng, number * 10 + n, people) for n in range(rng.randrange(8))]
    forms = (*envelopes.FORMS, *(form for form, _ in envelopes.BAD_TAILS))
    return rng.choice(forms)(members)


def _event(rng: Random, number: int, people: list[Record]) -> bytes:
    app = rng.choices((*(project.project_id for project in PROJECTS), UNKNOWN_APP), weights=(6, 3, 1))[0]
    event = make_event(rng, number, app, rng.choice(people), _upload(rng))
    return encode(with_oddities(rng, with_rung(rng, with_shape(rng, event))))


def _upload(rng: Random) -> datetime:
    day = _BEFORE_LINK if rng.random() < 0.03 else _DAY
    return day + timedelta(seconds=rng.uniform(0, 80_000))


def found(settings: Settings) -> Counter[Outcome]:
    """What the tables hold. Raises StoreError."""
    lake = Lake(settings.lake_address)
    outcomes: Counter[Outcome] = Counter()
    for project_id in lake.rows(EVENT_STORE, ("project_id",))["project_id"].to_pylist():
        outcomes[Outcome(Kind.EVENT, FIRST, project_id)] += 1
    for total in UsageTable(settings.tables_address).list():
        outcomes[Outcome(Kind.EVENT, AGAIN, total.project_id)] += total.duplicates
        outcomes[Outcome(Kind.USER_UPDATE, AGAIN, total.project_id)] += total.update_duplicates
    for table, kind, reason in ((USER_UPDATES, Kind.USER_UPDATE, FIRST), (COHORT_MESSAGES, Kind.COHORT, "")):
        for project_id in lake.rows(table, ("project_id",))["project_id"].to_pylist():
            outcomes[Outcome(kind, reason, project_id)] += 1
    for row in lake.rows(DEAD_LETTERS, ("kind", "reason", "project_id")).to_pylist():
        outcomes[Outcome(row["kind"], row["reason"], row["project_id"] or 0)] += 1
    return outcomes


def soak(console: Console, minutes: float, seed: int) -> bool:
    """Run the stack and the job, feed them, compare; True when nothing is missing, extra or restarted."""
    puts = list(islice(traffic(seed), max(1, round(minutes * 60 * RATE))))
    with Stack("soak", Ports.free(), flink_options={"execution.checkpointing.interval": "10s"}) as stack:
        settings = load(stack.write_settings())
        create(settings)
        job = stack.submit(stack.settings_path)
        stack.flink.wait_until_running(job)
        console.print(
            f"job {job} runs; {len(puts):,} puts at {RATE}/s with seed {seed}; Flink UI: {stack.flink.url}"
        )
        expected = _feed(console, settings, stack, job, puts)
        at_rest(console, settings, stack, job, expected.outcomes.total())
        right = _conclude(console, len(puts), expected.outcomes, found(settings), stack.flink.failures(job))
        return right & balanced(console, settings)


def _feed(console: Console, settings: Settings, stack: Stack, job: str, puts: Sequence[Put]) -> Expected:
    stream, expected = Stream(settings.stream_address), Expected()
    with progress_bar(console) as progress:
        task = progress.add_task("records put", total=len(puts))
        begin = time.monotonic()
        for start in range(0, len(puts), RATE):
            batch = puts[start : start + RATE]
            for acknowledged in stream.put((put.partition_key, put.data) for put in batch):
                progress.advance(task, acknowledged)
            for put in batch:
                expected.add(put.data)
            if stack.flink.job_state(job) == "FAILED":
                msg = f"job {job} has failed: {stack.flink.root_cause(job)}"
                raise StackError(msg)
            time.sleep(max(0.0, begin + start / RATE + 1 - time.monotonic()))
    return expected


def _conclude(console: Console, puts: int, fed: Counter[Outcome], come: Counter[Outcome], restarts: int) -> bool:
    table = Table(title=f"{puts:,} puts, {fed.total():,} records in them", title_justify="left")
    for column in ("kind", "reason"):
        table.add_column(column)
    for column in ("fed", "found", "residual"):
        table.add_column(column, justify="right")
    residual = residuals(fed, come)
    for kind, reason in sorted({outcome[:2] for outcome in fed | come}):
        counts = (
            sum(n for one, n in tally.items() if one[:2] == (kind, reason)) for tally in (fed, come, residual)
        )
        table.add_row(kind, reason, *(f"{n:,}" for n in counts))
    table.add_section()
    table.add_row("all", "", f"{fed.total():,}", f"{come.total():,}", f"{residual.total():,}")
    console.print(table)
    for outcome, n in sorted(residual.items()):
        console.print(f"[red]RESIDUAL[/] {outcome.kind} {outcome.reason} of project {outcome.project_id}: {n:,}")
    console.print(f"residual {residual.total():,}, restarts {restarts}")
    return not residual and not restarts


def residuals(fed: Counter[Outcome], come: Counter[Outcome]) -> Counter[Outcome]:
    """Missing and extra records by outcome and project: one that has another outcome than it must counts twice."""
    return (fed - come) + (come - fed)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--minutes", default=10.0, type=click.FloatRange(0, min_open=True), help="How long to feed.")
@click.option("--seed", default=1, help="The same seed makes the same traffic.")
def main(minutes: float, seed: int) -> None:
    """Soak the local stack; exit 0 only when every record fed is accounted for and the job never restarted."""
    stop_on_signals()
    with one_line_errors("soak"):
        right = soak(Console(), minutes, seed)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
