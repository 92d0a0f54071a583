"""`python -m lab.proofs.loop`: both jobs against each other, and no event travels twice.

Customers' events go through the ingest job. A stand-in of Notifly answers each one that is stored with a message
event; each tenth it puts itself on the stream of message events too, as a careless forwarder would. The export job
sends message events to the stand-in of Amplitude, and what that has taken comes back on the ingest job's stream,
as Amplitude streams it. If any of it were taken for a customer's event, it would be answered again, for ever. So
in the end there has to be as much of each as was fed, and each once.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import click

from lab.proofs import export, verdict
from lab.sample.events import encode, make_event, person
from lab.sample.feed import Feed
from lab.sample.generator import Put
from lab.sample.others import PROJECTS
from lab.sample.registry import create
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline
from ops.answers import export_ledger
from ops.cli.terminal import one_line_errors, stop_on_signals
from settings import Settings, load
from stores.lake import DEAD_LETTERS, EVENT_STORE, EXPORT_DEAD_LETTERS, Condition, Lake
from stores.stream import Stream
from udfs.model import Reason

_FORWARDED: Final = 10
_PAUSE: Final = 2.0
"""Seconds between two looks at what is stored and what is taken."""
_SECONDS_TO_REST, _QUIET = 180, 10
_OPTIONS: Final = {"execution.checkpointing.interval": "5s"}
_BY_SHOP: Final = {one.notifly_project: one.project_id for one in PROJECTS}
_SHOPS: Final = {project_id: shop for shop, project_id in _BY_SHOP.items()}


class Loop:
    """What closes the loop outside both jobs, and what it has seen of events by insert_id."""

    def __init__(self, stack: Stack, settings: Settings, fed: Sequence[Put]) -> None:
        self.fed, self.lake = {put.partition_key: put.data for put in fed}, Lake(settings.lake_address)
        self.ingest, self.export = Stream(settings.stream_address), Stream(settings.export_stream_address)
        self._taken = (stack.folder / "amplitude" / "taken.jsonl").open("a+", encoding="utf-8")
        self._taken.seek(0)
        self._since, self._seen, self._rng = datetime.now(UTC), set[str](), Random(1)  # noqa: S311
        self.stored, self.taken, self.forwarded = Counter[str](), Counter[str](), 0

    def turn(self) -> None:
        """Answer what has been stored since the last turn, and let come back what Amplitude has taken."""
        list(self.export.put(self._answers()))
        list(self.ingest.put((one["insert_id"], self._streamed(one)) for one in self._new_in_amplitude()))

    def _answers(self) -> Iterator[tuple[str, bytes]]:
        """Records for the stream of message events."""
        columns = ("insert_id", "project_id", "user_id", "arrival", "sequence")
        where = [Condition("arrival", ">=", self._since - timedelta(minutes=1))]
        for row in self.lake.rows(EVENT_STORE, columns, where).to_pylist():
            if row["sequence"] in self._seen:
                continue
            self._since = max(self._since, row["arrival"])
            self._seen.add(row["sequence"])
            self.stored[row["insert_id"]] += 1
            yield row["insert_id"], encode(_message(row))
            if len(self._seen) % _FORWARDED == 0:
                self.forwarded += 1
                yield row["insert_id"], self.fed.get(row["insert_id"], b"{}")

    def _new_in_amplitude(self) -> Iterator[dict[str, Any]]:
        while (line := self._taken.readline()).endswith("\n"):
            event = json.loads(line)
            self.taken[event["insert_id"]] += 1
            yield event

    def _streamed(self, event: dict[str, Any]) -> bytes:
        """What Amplitude has taken, in the form in which it streams events."""
        project_id = _BY_SHOP[event["event_properties"]["notifly_project"]]
        shape = make_event(self._rng, len(self.taken), project_id, person(self._rng), datetime.now(UTC))
        own = ("event_type", "event_properties", "user_id", "library")
        return encode(shape | {name: event[name] for name in own} | {"$insert_id": event["insert_id"]})

    def wrong(self) -> list[str]:
        """What is not as it has to be, a line each."""
        once = Counter(self.fed.keys())
        own = [one for one in self._letters(DEAD_LETTERS) if one == Reason.OWN_EVENT]
        counts = {
            "events of customers stored": (self.stored.total(), len(once)),
            "message events in Amplitude": (self.taken.total(), len(once)),
            "events that came back and are no customer's": (len(own), len(once)),
            "records of Amplitude on the stream of message events": (
                len(self._letters(EXPORT_DEAD_LETTERS)),
                self.forwarded,
            ),
        }
        found = [f"{what}: {n:,} of {wanted:,}" for what, (n, wanted) in counts.items() if n != wanted]
        found += ["some are stored twice, or were never fed"] * (self.stored != once)
        messages = Counter(f"message of {name}" for name in once)
        return found + ["some are in Amplitude twice, or were never put"] * (self.taken != messages)

    def _letters(self, table: str) -> list[str]:
        reasons: list[str] = self.lake.rows(table, ("reason",))["reason"].to_pylist()
        return reasons


def _message(stored: dict[str, Any]) -> dict[str, Any]:
    """The message event that Notifly answers a stored event with."""
    name = stored["insert_id"]
    return {
        "version": 1,
        "event_id": f"message of {name}",
        "message_id": name,
        "notifly_project": _SHOPS[stored["project_id"]],
        "kind": "sent",
        "channel": "push",
        "time": int(time.time() * 1000),
        "user_id": stored["user_id"],
    }


def events(count: int) -> list[Put]:
    """So many events of customers; each has the insert_id that is its key."""
    rng, now, found = Random(1), datetime.now(UTC), []  # noqa: S311
    for number in range(count):
        one = person(rng) | {"user_id": f"user-{rng.randrange(500)}"}
        event = make_event(rng, number, rng.choice(PROJECTS).project_id, one, now)
        found.append(Put(event["$insert_id"], encode(event)))
    return found


def looped(stack: Stack, seconds: float, per_second: int) -> list[str]:
    """Run both jobs against each other; what is wrong in the end, a line each, and what there was of each."""
    settings = load(stack.write_settings(**stack.start_amplitude()))
    create(settings, shards=1)
    export.connect(settings, stack)
    ingest = stack.submit(stack.settings_path)
    stack.start_taskmanager()
    jobs = ingest, stack.submit(stack.settings_path, job="export")
    for job in jobs:
        stack.flink.wait_until_running(job)
    stack.start_redeliver()
    loop = Loop(stack, settings, events(int(seconds * per_second)))
    feed = Feed(loop.ingest, [Put(key, data) for key, data in loop.fed.items()], per_second)
    feed.start()
    while feed.is_alive():
        _turn(stack, jobs, loop)
    feed.finish(1)
    left, deadline = _QUIET, Deadline(_SECONDS_TO_REST)
    while left and not deadline.over:  # what travels twice would come within this time
        _turn(stack, jobs, loop)
        left = _QUIET if loop.wrong() else left - 1
    residuals = [*verdict.residuals(settings), *export_ledger.unbalanced(loop.lake)]
    return loop.wrong() + [str(one) for one in residuals]


def _turn(stack: Stack, jobs: Sequence[str], loop: Loop) -> None:
    for job in jobs:
        stack.flink.living(job)
    loop.turn()
    time.sleep(_PAUSE)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--minutes", default=10.0, help="How long customers' events are fed.")
@click.option("--rate", default=5, type=click.IntRange(1), help="Of them a second.")
def main(*, minutes: float, rate: int) -> None:
    """Run both jobs against each other; exit 0 only if no event has travelled twice."""
    stop_on_signals()
    with one_line_errors("loop"), Stack("loop", Ports.free(), flink_options=_OPTIONS, brief=True) as stack:
        wrong = looped(stack, 60 * minutes, rate)
    for one in wrong[:10]:
        click.echo(f"WRONG {one}")
    if not wrong:
        click.echo(f"RIGHT no event travelled twice in {minutes:g} minutes, {int(60 * minutes * rate):,} of each")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
