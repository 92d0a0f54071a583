"""`python -m lab.proofs.torture_export`: message events through the export job while Amplitude fails.

Each run has a stack of its own. The first events are refused by mistake (413). A fault lasts for a while in the
middle of the feed; half-way through it the TaskManager and `redeliver` are killed with -9. When all is mended,
what waits goes, and what was refused is replayed, by a command that is killed with -9 and repeated. In the end
Amplitude's store, the tables and the ledger are compared with what was fed; the ledger once more when settled
rows are taken out of the outbox.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import click
from rich.console import Console

from errors import OneLineError
from lab.proofs import export
from lab.proofs.torture import OPTIONS, Line, record
from lab.sample.feed import Feed
from lab.sample.messages import Message
from lab.sample.others import PROJECTS
from lab.sample.registry import create
from lab.stack import amplitude
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline, wait_until
from lab.stack.proxy import Proxy
from ops.answers import export_ledger
from ops.cli.terminal import one_line_errors, stop_on_signals
from ops.maintenance.settled import remove_settled
from settings import Settings, load
from stores.destinations import Destinations
from stores.lake import Lake
from stores.stream import Stream
from udfs.export.sender import Outcome

EVENTS, PER_SECOND = 1_500, 40
_AWAY: Final = timedelta(days=3)
_SECONDS_TO_REST: Final = 420
_QUIET: Final = 10
"""Looks in a row, over three checkpoints, after which nothing is on its way any more."""


class Ground(NamedTuple):
    """What a fault strikes."""

    stack: Stack
    settings: Settings
    amplitude: Proxy
    """before the stand-in"""


def _answers(*faults: str) -> Callable[[Ground, float], None]:
    """A fault of the stand-in's own: shares of its requests go wrong in these ways."""

    def struck(ground: Ground, seconds: float) -> None:
        export.tell(ground.stack, "faults", *faults)
        time.sleep(seconds)
        export.tell(ground.stack, "faults")

    return struck


def _down(ground: Ground, seconds: float) -> None:
    """Connections end without an answer."""
    ground.amplitude.fail("down")
    time.sleep(seconds)
    ground.amplitude.mend()


def _revoked(ground: Ground, seconds: float) -> None:
    """The key is wrong; Amplitude's clock has gone on by three days when somebody mends it."""
    export.tell(ground.stack, "keys", "")
    destinations = Destinations(ground.settings.tables_address)

    def states() -> set[str]:
        return {one.state for one in destinations.list()}

    wait_until(lambda: states() == {"auth_error"}, 60, lambda: f"destinations are {states()}")
    time.sleep(seconds)
    export.tell(ground.stack, "clock", str(_AWAY.total_seconds()))
    export.tell(ground.stack, "keys", amplitude.API_KEY)
    for one in destinations.list():
        destinations.change_state(one, "ok", "")


FAULTS: Final[dict[str, Callable[[Ground, float], None]]] = {
    "Amplitude slow": _answers("slow=6 0.3"),
    "Amplitude down": _down,
    "Amplitude throttles": _answers("429 0.9"),
    "Amplitude's answers cut": _answers("cut 0.5"),
    "Amplitude's firewall refuses all": _answers("403 1.0"),
    "API key revoked for three days": _revoked,
}


def torture(seed: int, fault: str, seconds: float) -> Line:
    """One run. What prevents a result is in its line; only Ctrl-C ends it."""
    begin, line = time.monotonic(), Line(seed, [fault])
    try:
        with _ground() as ground:
            made = _fed(ground, line, seconds)
            _mended(ground, line, made, Deadline(_SECONDS_TO_REST + 2 * seconds))
    except (OneLineError, OSError, AssertionError) as error:
        line.trouble = str(error)
    line.seconds = round(time.monotonic() - begin, 1)
    return line


@contextmanager
def _ground() -> Iterator[Ground]:
    with Stack("torture-export", Ports.free(), flink_options=OPTIONS, brief=True) as stack:
        sections = stack.start_amplitude()
        with Proxy(urlsplit(sections["export"]["endpoint"]).port or 0) as proxy:
            sections["export"]["endpoint"] = proxy.endpoint
            settings = load(stack.write_settings(**sections))
            create(settings, shards=1)
            export.connect(settings, stack)
            yield Ground(stack, settings, proxy)


def _fed(ground: Ground, line: Line, seconds: float) -> list[Message]:
    """Let the fault strike in the middle of the feed, and processes be killed in the middle of the fault."""
    stack = ground.stack
    job = stack.submit(stack.settings_path, job="export")
    stack.flink.wait_until_running(job)
    stack.start_redeliver()
    export.tell(stack, "faults", "413 1.0")
    made, puts = export.sample(EVENTS, line.seed, datetime.now(UTC))
    feed = Feed(Stream(ground.settings.export_stream_address), puts, PER_SECOND)
    feed.start()
    lake = Lake(ground.settings.lake_address)
    wait_until(lambda: _outcomes(lake)[Outcome.REFUSED] > 0, 60, lambda: f"outcomes are {_outcomes(lake)}")
    export.tell(stack, "faults")
    feed.wait_for(0.3)
    with ThreadPoolExecutor(1) as pool:
        striking = pool.submit(FAULTS[line.faults[0]], ground, seconds)
        time.sleep(seconds / 2)
        stack.kill_redeliver()
        stack.kill_taskmanager()
        stack.start_taskmanager()
        stack.start_redeliver()
        striking.result()
    feed.finish(seconds=300)
    stack.flink.wait_until_running(job)
    line.restarts = stack.flink.failures(job)
    return made


def _mended(ground: Ground, line: Line, made: Sequence[Message], deadline: Deadline) -> None:
    """Wait until nothing waits that may go, replay what was refused by mistake, and compare.

    What failed is due again after up to twice the time for which it has failed.
    """
    lake, begin = Lake(ground.settings.lake_address), time.monotonic()
    wanted = export.wanted(made)
    del wanted[export_ledger.DUPLICATE]

    def nothing_waits() -> bool:
        found = _outcomes(lake)
        return found.total() == wanted.total() and found[Outcome.WAITING] <= wanted[Outcome.WAITING]

    _until(lake, nothing_waits, deadline)
    line.recovery.append(round(time.monotonic() - begin, 1))
    for one in PROJECTS:
        export.replay(ground.stack, one.project_id)
    _until(lake, lambda: _outcomes(lake) == wanted, deadline)
    ground.stack.kill_redeliver()
    # what it put last is on its way for a moment in which the tables still agree
    _until(lake, lambda: _outcomes(lake) == wanted, deadline, looks=_QUIET)
    _compare(ground, line, made, wanted - _outcomes(lake), _outcomes(lake) - wanted)
    removed = remove_settled(lake)
    line.residual += sum(abs(one.counted - one.found) for one in export_ledger.unbalanced(lake))
    line.wrong += [] if removed else ["no settled row was taken out"]


def _until(lake: Lake, reached: Callable[[], bool], deadline: Deadline, looks: int = 1) -> None:
    """Return when it was so and all accounted for in so many looks, one a second, or there is no more time."""
    left = looks
    while left and not deadline.over:
        left = left - 1 if reached() and not export_ledger.unbalanced(lake) else looks
        time.sleep(1)


def _outcomes(lake: Lake) -> Counter[str]:
    """Events by outcome, each once."""
    counts = export.outcomes(lake)
    del counts[export_ledger.DUPLICATE]
    return counts


def _compare(ground: Ground, line: Line, made: Sequence[Message], fewer: Counter[str], more: Counter[str]) -> None:
    """Note what the ledger says too little or too much of, and what Amplitude has not, or not once."""
    fine = Counter(one.event_id for one in made if one.fate == "fine")
    taken = export.taken(ground.stack)
    line.records = len(made)
    line.missing = fewer.total() + (fine - taken).total()
    line.extra = more.total() + (taken - fine).total()
    residual = export_ledger.unbalanced(Lake(ground.settings.lake_address))
    line.residual = sum(abs(one.counted - one.found) for one in residual)
    line.wrong = [f"{fewer} fewer, {more} more"] * bool(fewer or more) + [str(one) for one in residual[:10]]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--runs", default=5, type=click.IntRange(1), help="How many runs, each with the next seed.")
@click.option("--seed", default=1, help="The seed of the first run.")
@click.option("--fault", "only", type=click.Choice(list(FAULTS)), help="Only this one; else one after the other.")
@click.option("--seconds", default=60.0, help="How long a fault lasts.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=ROOT / "var" / "torture.jsonl", help="A line per run."
)
def main(*, runs: int, seed: int, only: str | None, seconds: float, into: Path) -> None:
    """Strike the export job with faults of Amplitude; exit 0 only when every run came out right."""
    stop_on_signals()
    lines = []
    with one_line_errors("torture"):
        for number in range(seed, seed + runs):
            lines.append(torture(number, only or list(FAULTS)[number % len(FAULTS)], seconds))
            record(Console(), lines[-1], into)
    sys.exit(0 if all(line.right for line in lines) else 1)


if __name__ == "__main__":
    main()
