"""`make upgrade-test`: state of older code restored by the code of this work tree, in the middle of a feed.

Nothing may be lost, stored twice or counted twice, and no state left behind: the job is restored without
`--allowNonRestoredState`. `python -m lab.proofs.upgrade fixture` keeps the state of the ingest job, or with
`--job export` of the export job, under tests/state/: `tests/e2e/test_upgrade.py` restores it with all later code.
"""

import base64
import json
import lzma
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from errors import OneLineError
from lab.proofs import export, verdict
from lab.proofs.rest import at_rest, balanced
from lab.sample import generator
from lab.sample.feed import Feed
from lab.sample.generator import Put
from lab.sample.registry import create
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.process import StackError
from ops.cli.terminal import one_line_errors, stop_on_signals
from ops.release.job_zip import CONTENTS
from settings import load
from stores.lake import Lake
from stores.stream import Stream

FIXTURES: Final = ROOT / "tests" / "state"
INLINE: Final = {"execution.checkpointing.data-inline-threshold": "1mb"}
"""Small state is written into the savepoint's one file."""
# state that is refused is refused again at every attempt
OPTIONS: Final = {"execution.checkpointing.interval": "2s", "restart-strategy.type": "none"}
_RECORDS, _PER_SECOND, _SHARDS = 800, 40, 2
_STOP_AFTER: Final = 0.4  # of the feed
_KEPT_RECORDS: Final = 400
_QUIET: Final = Console(quiet=True)


def upgrade(stack: Stack, base: str, seed: int) -> list[str]:
    """What is wrong after an upgrade from revision `base` in mid-feed: a line each, none when all is right.

    Raises StackError with Flink's reason when the older state cannot be restored.
    """
    settings = load(stack.write_settings())
    create(settings, _SHARDS)
    made = generator.generate(_RECORDS, seed)
    job = _upgraded(stack, "ingest", base, Stream(settings.stream_address), made.puts)
    found = at_rest(_QUIET, settings, stack, job, made.truth.outcomes)
    wrong = verdict.differences(found, made.truth)
    return wrong + [str(one) for one in verdict.residuals(settings)]


def upgrade_export(stack: Stack, base: str, seed: int) -> list[str]:
    """The same of the export job, fed with message events."""
    settings = load(stack.write_settings(**stack.start_amplitude()))
    create(settings, _SHARDS)
    export.connect(settings, stack)
    made, puts = export.sample(_RECORDS, seed, datetime.now(UTC))
    _upgraded(stack, "export", base, Stream(settings.export_stream_address), puts)
    wanted = export.wanted(made)
    found, left = export.at_rest(Lake(settings.lake_address), wanted)
    wrong = [f"outcomes: {dict(found)}, fed {dict(wanted)}"] * (found != wanted)
    once = Counter(one.event_id for one in made if one.fate == "fine")
    wrong += ["some events are in Amplitude twice, or not at all"] * (export.taken(stack) != once)
    return wrong + [str(one) for one in left]


UPGRADES: Final = {"ingest": upgrade, "export": upgrade_export}
"""By job."""


def _upgraded(stack: Stack, name: str, base: str, stream: Stream, puts: Sequence[Put]) -> str:
    """Stop the code of `base` in the middle of a feed, and restore its savepoint with this work tree's: its id."""
    archive = packaged(base, stack.folder / "base.zip")
    job = stack.flink.run(("-pyfs", archive, "-pym", f"jobs.{name}"), ("--config", stack.settings_path))
    stack.flink.wait_until_running(job)
    feed = Feed(stream, puts, _PER_SECOND)
    feed.start()
    feed.wait_for(_STOP_AFTER)
    savepoint = stack.flink.stop(job)
    job = stack.submit(stack.settings_path, "-s", savepoint, job=name)
    wait_until_restored(stack, job)
    feed.finish(seconds=300)
    return job


def packaged(revision: str, target: Path) -> Path:
    """What `ops.release.job_zip` would make of a revision. Raises StackError when git does not have it."""
    there = _git("ls-tree", "--name-only", revision, "--", *CONTENTS).split()
    _git("archive", "--format=zip", f"--output={target}", revision, *there)
    return target


def default_base() -> str:
    """HEAD while the job's code differs from it, else the commit before the last that changed that code."""
    if _git("status", "--porcelain", "--", *CONTENTS):
        return _git("rev-parse", "--short", "HEAD")
    last = _git("log", "-1", "--format=%H", "--", *CONTENTS)
    return _git("rev-parse", "--short", f"{last}~1")


def wait_until_restored(stack: Stack, job: str) -> None:
    """Return once all tasks run. Raises StackError naming the tasks whose state is refused, and Flink's reason."""
    try:
        stack.flink.wait_until_running(job)
    except OneLineError as error:
        failed = stack.rest(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        tasks = failed[0]["taskName"] if failed else "no task"
        msg = f"{tasks} cannot be restored: {error}"
        raise StackError(msg) from None


def take(stack: Stack, folder: Path, seed: int) -> int:
    """Feed a sample, stop the job at rest, keep its savepoint and what was fed in `folder`; the savepoint's bytes.

    At rest every commit is done, so that nothing in the savepoint points to a file outside it. Raises StackError.
    """
    settings = load(stack.write_settings())
    create(settings, _SHARDS)
    job = stack.submit(stack.settings_path)
    stack.flink.wait_until_running(job)
    now = datetime.now(UTC).replace(microsecond=0)
    made = generator.generate(_KEPT_RECORDS, seed, now, spread=True)
    fed = sum(Stream(settings.stream_address).put((put.partition_key, put.data) for put in made.puts))
    found = at_rest(_QUIET, settings, stack, job, made.truth.outcomes)
    if verdict.differences(found, made.truth) or not balanced(_QUIET, settings):
        msg = "the job does not come to rest with the right numbers: no fixture"
        raise StackError(msg)
    return _kept(stack, job, folder, {"seed": seed, "records": fed, "now": now.isoformat()})


def take_export(stack: Stack, folder: Path, seed: int) -> int:
    """The same of the export job, fed with message events."""
    settings = load(stack.write_settings(**stack.start_amplitude()))
    create(settings, _SHARDS)
    export.connect(settings, stack)
    job = stack.submit(stack.settings_path, job="export")
    stack.flink.wait_until_running(job)
    now = datetime.now(UTC).replace(microsecond=0)
    expected = export.wanted(export.feed(settings, _KEPT_RECORDS, seed, now))
    if export.at_rest(Lake(settings.lake_address), expected) != (expected, []):
        msg = "the export job does not come to rest with the right numbers: no fixture"
        raise StackError(msg)
    return _kept(stack, job, folder, {"seed": seed, "records": _KEPT_RECORDS, "now": now.isoformat()})


def _kept(stack: Stack, job: str, folder: Path, fed: dict[str, Any]) -> int:
    """Stop a job at rest, keep its savepoint in `folder`, and say what it was fed with; the savepoint's bytes."""
    vertices = stack.rest(f"/jobs/{job}")["vertices"]
    savepoint = Path(stack.flink.stop(job).removeprefix("file:"))
    if [one.name for one in savepoint.iterdir()] != ["_metadata"]:
        msg = f"{savepoint} is more than one file: feed less"
        raise StackError(msg)
    state = (savepoint / "_metadata").read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "savepoint.xz.b64").write_bytes(base64.encodebytes(lzma.compress(state)))
    description = {
        "savepoint": savepoint.name,
        "commit": _git("describe", "--always", "--dirty"),
        "flink": version("apache-flink"),
        **fed,
        "uids": sorted({uid for vertex in vertices for uid in stateful(vertex["name"])}),
    }
    (folder / "fed.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return len(state)


def unpack(fixture: Path, into: Path) -> tuple[Path, dict[str, Any]]:
    """Write a fixture's savepoint as Flink left it below `into`; its path, and what `fed.json` says of it."""
    description: dict[str, Any] = json.loads((fixture / "fed.json").read_text(encoding="utf-8"))
    savepoint = into / description["savepoint"]
    savepoint.mkdir()
    state = lzma.decompress(base64.decodebytes((fixture / "savepoint.xz.b64").read_bytes()))
    (savepoint / "_metadata").write_bytes(state)
    return savepoint, description


def stateful(vertex: str) -> list[str]:
    """The uids that state is kept under, by the names, `stage: kind`, of the operators chained in a vertex."""
    kinds = "records|deduplicate|window|sum|writer|committer"
    return ["-".join(found) for found in re.findall(rf"([a-z-]+): ({kinds})\b", vertex)]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
        msg = f"git {arguments[0]} failed: {reason}"
        raise StackError(msg)
    return done.stdout.strip()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Restore state of older code, or keep the state of this code for later."""
    stop_on_signals()


@main.command("test")
@click.option(
    "--base",
    help="Revision to upgrade from.  [default: HEAD while the job's code differs from it, else the commit before "
    "the last that changed that code]",
)
@click.option("--seed", default=1, help="Of the sample that is fed.")
@click.option("--job", "jobs", type=click.Choice(list(UPGRADES)), multiple=True, default=list(UPGRADES))
def test(base: str | None, seed: int, jobs: Sequence[str]) -> None:
    """Stop the code of BASE in mid-feed, restore its savepoint with this work tree's code, compare the tables.

    Exit code 0: every number is right; 1: some are not; 2: the older code does not run, or its state is refused.
    """
    wrong = list[str]()
    with one_line_errors("upgrade"):
        base = base or default_base()
        for job in jobs:
            with Stack("upgrade", Ports.free(), flink_options=OPTIONS, brief=True) as stack:
                wrong += [f"{job}: {one}" for one in UPGRADES[job](stack, base, seed)]
    for one in wrong[:10]:
        click.echo(f"WRONG {one}")
    verdict = f"WRONG upgrade from {base}: {len(wrong)} numbers" if wrong else f"RIGHT upgrade from {base}"
    restored = f"{_RECORDS} records each, restored after {_STOP_AFTER * 100:.0f} % of them"
    click.echo(f"{verdict}; {' and '.join(jobs)}, {restored}")
    sys.exit(1 if wrong else 0)


@main.command("fixture")
@click.option("--seed", default=7, help="Of the sample that is fed.")
@click.option("--job", type=click.Choice(("ingest", "export")), default="ingest")
def fixture(seed: int, job: str) -> None:
    """Keep the state of this code as a fixture named by job and day, when a version is released."""
    folder = FIXTURES / job / f"{datetime.now(UTC):%Y-%m-%d}"
    with (
        one_line_errors("upgrade"),
        Stack("upgrade", Ports.free(), flink_options=OPTIONS | INLINE, brief=True) as stack,
    ):
        size = (take if job == "ingest" else take_export)(stack, folder, seed)
    click.echo(f"{folder.relative_to(ROOT)}: a savepoint of {size:,} bytes")


if __name__ == "__main__":
    main()
