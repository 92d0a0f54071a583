"""How fresh the events of 49 projects are while another does its worst: `python -m lab.bench.worst [KIND …]`.

One job, one phase after the other: first nothing but the events of the 49, then each kind of worst beside them,
and a pause behind each in which the job may recover. A row is visible when the Iceberg snapshot that adds it is
committed.
"""

import gzip
import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event
from typing import Any, Final

import click
import numpy as np
from rich.console import Console

from lab.bench.events import DUPLICATES, PROJECTS, SEED, events, originals
from lab.bench.figures import Figure, Say, show
from lab.bench.freshness import BIG, Rows, centiles, stored, waited
from lab.bench.processes import machine
from lab.bench.steady import PACKED, Bench, running
from lab.sample.events import encode, stamp
from ops.cli.terminal import one_line_errors, stop_on_signals
from stores.cohorts import Cohorts
from stores.usage import UsageTable

QUIET: Final = [project for project in PROJECTS if project != BIG]
WARM_UP: Final = 60  # s of input that count for nothing
COHORT: Final = "worst"
THROTTLED: Final = "throttled user"
TARGET: Final = 1.1
NOTHING: Final = "nothing"
_DAY: Final = datetime(2026, 3, 10, tzinfo=UTC)

Second = Callable[[int], Iterator[bytes]]
"""The records of one second of a phase, which counts from 0."""


def identify(user: str, number: int, properties: dict[str, Any]) -> bytes:
    """A user update of the big project, `number` in the order of clocks."""
    upload = _DAY + timedelta(milliseconds=number)
    return encode(
        {
            "app": BIG,
            "event_type": "$identify",
            "user_id": user,
            "uuid": f"{user}-{number}",
            "server_upload_time": stamp(upload),
            "user_properties": properties,
        }
    )


def lists(second: int) -> Iterator[bytes]:
    """300 list operators a second on a list of 10 000, each pair swapped."""
    if second == 0:
        yield identify("lists", 0, {"$set": {"seen": [f"item-{at}" for at in range(10_000)]}})
    for at in range(second * 300 + 1, second * 300 + 301, 2):
        for late in (at + 1, at):
            yield identify("lists", late, {"$postInsert": {"seen": f"new-{late}"}})


def updates(second: int) -> Iterator[bytes]:
    """5 000 updates of one user a second."""
    for at in range(5_000):
        yield identify("updates", second * 5_000 + at, {"$add": {"n": 1}, "$set": {"at": at}})


def properties(second: int) -> Iterator[bytes]:
    """A user of 5 000 properties, all of them set ten times a second."""
    for at in range(second * 10, second * 10 + 10):
        yield identify("properties", at, {"$set": {f"property {name}": f"{at}-{name}" for name in range(5_000)}})


def parts(second: int) -> Iterator[bytes]:
    """A profile of 1.6 MB, which hardly compresses, that is set anew each second: an item in several parts."""
    yield identify("parts", second, {"$set": {"blob": Random(second).randbytes(800_000).hex()}})


def cohort(second: int) -> Iterator[bytes]:
    """A cohort message of 1 MB, some 30 000 users, every ten seconds: they enter, leave and enter again."""
    if second % 10 == 0:
        users = [{"user_id": f"user-{at:08}@example.com"} for at in range(28_000)]
        head = {
            "cohort_id": COHORT,
            "cohort_name": "Worst",
            "in_cohort": second % 20 == 0,
            "message_id": f"m:{second}",
        }
        yield encode({**head, "computed_time": str(1_773_100_000 + second), "users": users})


def keys(second: int) -> Iterator[bytes]:
    """An event with 100 000 fields that nobody knows, 2 MB, every second: twice what a shard of Kinesis takes."""
    head = {"app": BIG, "event_type": "Wide", "uuid": f"keys-{second}", "server_upload_time": stamp(_DAY)}
    yield encode({**head, **{f"field {name}": name for name in range(100_000)}})


def envelopes(second: int) -> Iterator[bytes]:
    """An array of 6 000 events, 9 MB, every five seconds."""
    if second % 5 == 0:
        yield b"[%b]" % b",".join(events(6_000, SEED + second, [BIG], 0))


def gzips(second: int) -> Iterator[bytes]:
    """A record of 1 MiB, the most that Kinesis takes, every five seconds: a gzip of 63 MiB, 4 200 events."""
    if second % 5 == 0:
        padding = b'{"padding":"%b",' % (b"all the same " * 1_080)
        lines = (padding + line[1:] for line in events(4_200, SEED + second, [BIG], 0))
        yield packed(gzip.compress(b"\n".join(lines)))


def blanks(second: int) -> Iterator[bytes]:
    """A gzip of 62 MiB every five seconds in which nothing stands but line breaks and blanks."""
    if second % 5 == 0:
        runs = Random(second).choices((b" " * 130, b"\n" * 80), k=2**14)
        yield packed(gzip.compress(b"".join(runs) * 38))


def packed(payload: bytes) -> bytes:
    """A record of any bytes as `PACKED` has it."""
    return json.dumps({"payload": b64encode(payload).decode()}).encode()


def throttled(second: int) -> Iterator[bytes]:
    """100 updates of one user a second, of whose requests DynamoDB throttles half."""
    for at in range(100):
        yield identify(THROTTLED, second * 100 + at, {"$set": {"at": at}})


KINDS: Final[dict[str, Second]] = {
    "lists": lists,
    "updates": updates,
    "properties": properties,
    "parts": parts,
    "cohort": cohort,
    "keys": keys,
    "envelopes": envelopes,
    "gzips": gzips,
    "blanks": blanks,
    "throttled": throttled,
}
OF_BYTES: Final = frozenset({"gzips", "blanks"})
"""Kinds whose records are no lines."""


def put_worst(bench: Bench, phases: list[str], seconds: int, pause: int, ended: Event) -> None:
    """Beside the feed, a file a second of what each phase is about."""
    waiting = bench.live.parent / "worst"
    waiting.mkdir()
    for number, phase in enumerate(phases):
        begin = WARM_UP + number * (seconds + pause)
        for second in range(seconds if phase != NOTHING else 0):
            path = waiting / f"worst-{begin + second:06d}-{1:012d}"
            path.write_bytes(b"".join(line + b"\n" for line in KINDS[phase](second)))
            while len(bench.puts) <= begin + second:
                if ended.wait(0.05):
                    return
            folder = bench.live.with_name(PACKED) if phase in OF_BYTES else bench.live
            path.rename(folder / path.name)
            if phase == "throttled" and second == 0:
                bench.dynamodb.fail("throttled", 0.5, only=THROTTLED.encode())
        bench.dynamodb.mend()


def measured(kinds: list[str], rate: int, seconds: int, pause: int, say: Say) -> list[Figure]:
    """All phases in one job. Raises StackError, StoreError."""
    phases, ended = [NOTHING, *kinds, NOTHING], Event()
    total = WARM_UP + len(phases) * (seconds + pause)
    say(f"{total} s of {rate:,} events/s; beside them {', '.join(kinds)}, {seconds} s each")
    proxied, of_bytes = "throttled" in kinds, not OF_BYTES.isdisjoint(kinds)
    with running("worst", rate, total, projects=QUIET, proxied=proxied, packed=of_bytes) as bench:
        Cohorts(bench.settings.tables_address).create()
        Cohorts(bench.settings.tables_address).add(COHORT, BIG)
        failed = checkpoints(bench)  # those that began before all tasks ran
        beside = ThreadPoolExecutor(1).submit(put_worst, bench, phases, seconds, pause, ended)
        try:
            bench.feeding.result()
            bench.until(lambda: beside.done() and arrived(bench) >= total * rate, 2)
            beside.result()
        finally:
            ended.set()
        time.sleep(45)  # a checkpoint, which makes the last rows visible
        rows, puts = stored(bench.settings), np.array(bench.puts)
        failed = checkpoints(bench) - failed
        restarts = bench.stack.flink.failures(bench.job)
    quiet = rows.projects != BIG
    # those of the big project may have none, and then all are floats
    own = Rows(rows.event_ids[quiet].astype(np.int64), rows.projects[quiet], rows.visible[quiet])
    waits, second = waited(puts, rate, own), own.event_ids // rate
    found, base = list[Figure](), 0.0
    for number, phase in enumerate(phases):
        begin = WARM_UP + number * (seconds + pause)
        p95 = centiles(waits[(second >= begin) & (second < begin + seconds)])["p95"]
        base = base or p95
        found.append(Figure(f"beside {phase}", "put to visible row, p95 of the 49", p95, "s"))
        found.append(Figure(f"beside {phase}", f"against nothing; target {TARGET}", p95 / base, "times"))
    found.append(Figure("all", "rows of the one at its worst", len(quiet) - int(quiet.sum())))
    missing = len(np.setdiff1d(originals(total * rate), own.event_ids))
    wrong = {
        "events of the 49 missing": missing,
        "rows of the 49 too many": len(own.event_ids) - (total * rate - int(total * rate * DUPLICATES)) + missing,
        "restarts": restarts,
        "failed checkpoints": failed,
    }
    return [*found, *(Figure("all", what, f"WRONG: {n:,}" if n else 0) for what, n in wrong.items())]


def checkpoints(bench: Bench) -> int:
    """How many have failed so far."""
    return int(bench.stack.rest(f"/jobs/{bench.job}/checkpoints")["counts"]["failed"])


def arrived(bench: Bench) -> int:
    """Event records of the 49 in usage."""
    totals = UsageTable(bench.settings.tables_address).list()
    return sum(one.records for one in totals if one.project_id != BIG)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("kinds", nargs=-1, type=click.Choice(tuple(KINDS)))
@click.option("--rate", default=500, type=click.IntRange(1), help="Events per second of the 49 together.")
@click.option("--seconds", default=60, type=click.IntRange(10), help="How long each phase lasts.")
@click.option("--pause", default=30, type=click.IntRange(0), help="Seconds between two phases.")
def main(kinds: tuple[str, ...], rate: int, seconds: int, pause: int) -> None:
    """Measure the kinds, by default all; exit 1 when something is missing, extra, restarted or failed."""
    stop_on_signals()
    click.echo(machine())
    with one_line_errors("worst"):
        found = measured(list(kinds or KINDS), rate, seconds, pause, Console(stderr=True).print)
    show(found, Console(width=130))
    sys.exit(any(one.wrong for one in found))


if __name__ == "__main__":
    main()
