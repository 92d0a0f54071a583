"""`make torture`: the sample through the running product while faults strike, compared with what was fed.

Each run has a stream, tables and a job of its own on a cluster that runs share, so that one run's harm does not
reach the next. A seed says what is fed, which faults strike, and when: `--seed N --runs 1` repeats a run. Each run
is a line of JSON in the file that `--into` names; docs/scoreboard.md is made of them by `--write-scoreboard`.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Final, NamedTuple

import click
from rich.console import Console

from errors import OneLineError
from lab.proofs import report, verdict
from lab.proofs.disk import mounted
from lab.proofs.faults import FAULTS, WAREHOUSE_FULL, strike
from lab.proofs.senders import Senders
from lab.proofs.target import Disks, Target
from lab.sample import generator, worst
from lab.sample.feed import Feed
from lab.sample.registry import create
from lab.stack import intake
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline
from lab.stack.process import StackError, free_port
from lab.stack.proxy import Proxy
from ops.answers.ledger import unbalanced
from ops.cli.terminal import one_line_errors, stop_on_signals
from settings import load
from stores.stream import Stream
from udfs.intake import KEY_BYTES

RECORDS: Final = 800  # for each strike
WORST: Final = 300  # updates of one user, likewise
PER_SECOND: Final = 40
_RUNS_PER_CLUSTER: Final = 8  # the emulators keep all that they were given
_SECONDS_TO_REST: Final = 240
OPTIONS: Final = {
    "execution.checkpointing.interval": "3s",
    "heartbeat.interval": "2s",
    "heartbeat.timeout": "8s",
    "execution.checkpointing.timeout": "30s",  # the fourth in a row restarts the job, as shipped
}
SCOREBOARD: Final = ROOT / "docs" / "scoreboard.md"
LINES: Final = ROOT / "docs" / "scoreboard.jsonl"
BEGIN, END = "<!-- made by lab.proofs.torture -->\n", "<!-- until here -->\n"


@dataclass
class Line:
    """What one run came to."""

    seed: int
    faults: list[str]
    records: int = 0
    """with an outcome: parts of envelopes are records"""
    missing: int = 0
    extra: int = 0
    residual: int = 0
    """between ledger, tables and usage"""
    restarts: int = 0
    recovery: list[float] = field(default_factory=list)
    """seconds from each strike to all tasks running and a checkpoint complete"""
    upon: int = 0
    """faults that struck upon the one before, not when the job was well again"""
    high_availability: bool = False
    """whether the JobManager had it"""
    worst: bool = False
    """whether one user's list operators arrived out of order beside the sample"""
    seconds: float = 0.0
    trouble: str = ""
    """why the run has no result"""
    wrong: list[str] = field(default_factory=list)
    """the first differences"""
    commit: str = ""

    @property
    def right(self) -> bool:
        """Whether nothing is missing, extra or unexplained."""
        return not (self.missing or self.extra or self.residual or self.trouble)


class Strike(NamedTuple):
    """Faults upon each other, at a share of the feed or once the job is well again after the strike before."""

    share: float
    faults: list[str]


def schedule(seed: int, only: Sequence[str] = ()) -> list[Strike]:
    """One to three faults, of which two in three strike upon the one before if they can: shares ascend."""
    rng = Random(seed)  # noqa: S311  the same faults each time
    names = list(only) or rng.sample(list(FAULTS), rng.choice((1, 1, 2, 3)))
    groups = [names[:1]]
    for name in names[1:]:
        if not FAULTS[name].waits and rng.random() < 2 / 3:
            groups[-1].append(name)
        else:
            groups.append([name])
    return list(map(Strike, sorted(rng.uniform(0.05, 0.9) for _ in groups), groups))


class Cluster(NamedTuple):
    """What runs share."""

    stack: Stack
    objects: Proxy | None = None
    disks: Disks | None = None


@contextmanager
def cluster(name: str = "torture", *, high_availability: bool = False) -> Iterator[Cluster]:
    """A stack whose state is on an object store behind a proxy, with small disks where this process is root."""
    port, folder = free_port(), ROOT / "var" / f"{name}-disks-{os.getpid()}"
    with ExitStack() as block:
        objects, disks = block.enter_context(Proxy(port)), None
        options = OPTIONS | {"s3.endpoint": objects.endpoint}
        if os.geteuid() == 0:
            disks = Disks(*(block.enter_context(mounted(folder / part, 1_500)) for part in Disks._fields))
            options["io.tmp.dirs"] = str(disks.taskmanager.folder)
        stack = Stack(
            name,
            Ports.free(),
            flink_options=options,
            high_availability=high_availability,
            objects_port=port,
            durable=True,
            brief=True,
        )
        yield Cluster(block.enter_context(stack), objects, disks)


def torture(cluster: Cluster, seed: int, only: Sequence[str] = (), *, worst: bool = False) -> Line:
    """One run. What prevents a result is in its line; only Ctrl-C ends it."""
    begin, planned = time.monotonic(), schedule(seed, only)
    line = Line(seed, [name for one in planned for name in one.faults])
    line.upon = len(line.faults) - len(planned)
    line.high_availability, line.worst = cluster.stack.high_availability, worst
    try:
        with prepared(cluster, seed, on_disk=WAREHOUSE_FULL in line.faults) as target:
            _fed(target, planned, line)
    except (OneLineError, OSError, sqlite3.Error) as error:
        line.trouble = str(error)
    line.seconds = round(time.monotonic() - begin, 1)
    return line


@contextmanager
def prepared(cluster: Cluster, seed: int, *, on_disk: bool = False) -> Iterator[Target]:
    """A fresh stream, tables and job behind proxies; its warehouse where the stack's is, or on the small disk."""
    stack, name = cluster.stack, f"run-{seed}-{time.monotonic_ns()}"
    folder = stack.folder / name
    folder.mkdir()
    with Proxy(stack.ports.kinesis) as kinesis, Proxy(stack.ports.dynamodb) as dynamodb:
        lake: dict[str, str | int] = {
            "catalog_uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"{stack.warehouse}/{name}",
        }
        if on_disk and cluster.disks:
            lake["warehouse"] = f"file://{cluster.disks.warehouse.folder}/{name}"
        elif cluster.objects:
            lake["s3_endpoint"] = cluster.objects.endpoint
        own: dict[str, dict[str, str | int]] = {
            "kinesis": {"stream": name, "region": stack.region, "shard_discovery_interval_ms": 1_000},
            "dynamodb": {"region": stack.region, "table_prefix": f"{name}-"},
            "lake": lake,
        }
        # the job goes through the proxies, what feeds and compares does not
        for section, endpoint in (("kinesis", kinesis.endpoint), ("dynamodb", dynamodb.endpoint)):
            own[section]["endpoint"] = endpoint
        own["intake"] = {"mac_keys_file": str(folder / "mac-keys"), "port": free_port(), "workers": 1}
        (folder / "mac-keys").write_bytes(b64encode(os.urandom(KEY_BYTES)) + b"\n")
        path = Path(shutil.copy(stack.write_settings(**own), folder / "job.toml"))
        stream = Stream(load(path, direct(stack)).stream_address)
        rng = Random(seed)  # noqa: S311  the same each time
        target = Target(stack, path, stream, kinesis, dynamodb, rng, cluster.objects, cluster.disks)
        create(load(path, direct(stack)), shards=2)
        target.submit()
        try:
            target.intake = intake.start(path, folder / "intake.log")
            yield target
        finally:
            if target.intake:
                target.intake.kill()
            for proxy in (kinesis, dynamodb, cluster.objects):
                if proxy:
                    proxy.mend()
            with suppress(StackError):  # it may be away, and would hide why the run has ended
                stack.flink.cancel(target.job)
    shutil.rmtree(folder)


def direct(stack: Stack) -> tuple[str, ...]:
    """What leads past the proxies, as `settings.load` takes it."""
    return f"kinesis.endpoint={stack.kinesis_endpoint}", f"dynamodb.endpoint={stack.dynamodb_endpoint}"


def _fed(target: Target, planned: Sequence[Strike], line: Line) -> None:
    made, listed = generator.generate(RECORDS * len(planned), seed=line.seed), None
    if line.worst:
        made, listed = worst.beside(made, WORST * len(planned), line.seed)
    settings = load(target.settings_path, direct(target.stack))
    senders = Senders(settings, target.stream)
    feed = target.feed = Feed(senders, made.puts, PER_SECOND)
    feed.start()
    for share, faults in planned:
        feed.wait_for(share)
        begin = time.monotonic()
        strike(target, faults)
        target.wait_until_well()
        line.recovery.append(round(time.monotonic() - begin, 1))
    feed.finish(seconds=300)

    deadline = Deadline(_SECONDS_TO_REST)
    while True:
        found = report.gather(settings)
        wrong = list(verdict.compared(found, made.truth, senders.copies()))
        if listed is not None:
            wrong += verdict.of_worst(settings, listed)
        late = deadline.over
        residual = unbalanced(settings) if late or not wrong else []
        if not (wrong or residual) or late:
            break
        target.stack.flink.living(target.job)
        deadline.pause(1)
    line.records = found.records
    line.wrong = [str(one) for one in wrong[:10]]
    line.wrong += [str(one) for one in residual[:10]]
    line.missing = sum(max(0, one.fed - one.found) for one in wrong)
    line.extra = sum(max(0, one.found - one.fed) for one in wrong)
    line.residual = sum(abs(one.counted - one.found) for one in residual)
    line.restarts = sum(target.stack.flink.failures(job) for job in target.jobs if _known(target.stack, job))


def _known(stack: Stack, job: str) -> bool:
    return any(one["jid"] == job for one in stack.rest("/jobs/overview")["jobs"])


def scoreboard(lines: Iterable[Line]) -> str:
    """The scoreboard in Markdown: by fault; of several by how many, and whether any struck upon another."""
    runs = sorted(lines, key=lambda one: (len(one.faults), one.upon > 0, one.faults, one.high_availability))
    rows = [
        "| fault | runs | records | missing | extra | residual | no result | recovery p50, s | p95, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[str, list[Line]] = {}
    for one in runs:
        groups.setdefault(_group(one), []).append(one)
    for name, own in (*groups.items(), ("all", runs)):
        times = [seconds for one in own for seconds in one.recovery]
        centiles = quantiles(times, n=20, method="inclusive") if len(times) > 1 else times * 19
        numbers = [
            len(own),
            *(sum(getattr(one, count) for one in own) for count in ("records", "missing", "extra", "residual")),
            sum(bool(one.trouble) for one in own),
        ]
        shown = [f"{n:,}" for n in numbers] + (
            [f"{centiles[9]:.0f}", f"{centiles[18]:.0f}"] if times else ["", ""]
        )
        rows.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(rows) + "\n"


def _group(line: Line) -> str:
    more = ", high availability" * line.high_availability + ", one user's worst beside it" * line.worst
    if len(line.faults) == 1:
        return line.faults[0] + more
    return f"{len(line.faults)}, {'upon each other' if line.upon else 'one after the other'}{more}"


def read_lines(path: Path = LINES) -> list[Line]:
    """The runs on record."""
    return [Line(**json.loads(text)) for text in path.read_text(encoding="utf-8").splitlines()]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--runs", default=10, type=click.IntRange(0), help="How many runs, each with the next seed.")
@click.option("--seed", default=1, help="The seed of the first run.")
@click.option("--fault", "only", multiple=True, type=click.Choice(list(FAULTS)), help="Only these, in each run.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=ROOT / "var" / "torture.jsonl", help="A line per run."
)
@click.option("--high-availability", is_flag=True, help="With ZooKeeper: a JobManager resumes its job by itself.")
@click.option("--worst", is_flag=True, help="One user's list operators, out of order, beside the sample.")
@click.option("--write-scoreboard", is_flag=True, help="Make docs/scoreboard.md of docs/scoreboard.jsonl.")
def main(  # noqa: PLR0913  an option each
    *,
    runs: int,
    seed: int,
    only: Sequence[str],
    into: Path,
    high_availability: bool,
    worst: bool,
    write_scoreboard: bool,
) -> None:
    """Strike the product with faults; exit 0 only when every run came out right."""
    stop_on_signals()
    if write_scoreboard:
        before, _, rest = SCOREBOARD.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        SCOREBOARD.write_text(before + BEGIN + scoreboard(read_lines()) + END + after, encoding="utf-8")
        return
    console, lines = Console(), []
    with one_line_errors("torture"):
        for line in _all(range(seed, seed + runs), only, high_availability=high_availability, worst=worst):
            lines.append(line)
            record(console, line, into)
    sys.exit(0 if all(line.right for line in lines) else 1)


def _all(seeds: Sequence[int], only: Sequence[str], *, high_availability: bool, worst: bool) -> Iterator[Line]:
    left = list(seeds)
    while left:
        with cluster(high_availability=high_availability) as shared:
            for _ in range(min(_RUNS_PER_CLUSTER, len(left))):
                line = torture(shared, left.pop(0), only, worst=worst)
                yield line
                # what has broken the cluster must not break the next run, nor a second TaskManager take its faults
                if line.trouble or len(shared.stack.flink.taskmanagers()) > 1:
                    break


def record(console: Console, line: Line, into: Path) -> None:
    """Note a run in a file, with the commit that it ran, and print what it came to."""
    line.commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    with into.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(line)) + "\n")
    verdict = "[green]RIGHT[/]" if line.right else "[red]WRONG[/]"
    console.print(f"{verdict} {_summary(line)}", soft_wrap=True, highlight=False)


def _summary(line: Line) -> str:
    counts = f"{line.records:,} records, missing {line.missing}, extra {line.extra}, residual {line.residual}"
    times = ", ".join(f"{seconds:g}" for seconds in line.recovery)
    faults = " + ".join(line.faults) + (f" ({line.upon} upon the one before)" if line.upon else "")
    words = f"seed {line.seed}: {faults}: {counts}, recovery {times} s"
    return f"{words}; {line.trouble}" if line.trouble else words


if __name__ == "__main__":
    main()
