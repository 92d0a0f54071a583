"""State of older versions, kept under tests/state/, restored by today's code on a fresh stream and fresh tables.

Nothing but the fixture can tell of what was fed before: its events are known as copies, its totals go on.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.proofs import export, report, upgrade
from lab.proofs.report import Report
from lab.sample import generator
from lab.sample.generator import Truth
from lab.sample.registry import create
from lab.stack.local import ROOT, Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline
from ops.answers.export_ledger import DUPLICATE
from ops.release import job_zip
from settings import load
from stores.lake import Lake
from stores.stream import Stream

RESTORE = ROOT / "tests" / "state" / "restore.py"
INGEST, EXPORT = (
    sorted(path.parent for path in upgrade.FIXTURES.glob(f"{job}/*/fed.json")) for job in ("ingest", "export")
)
NEW_RECORDS, NEW_SEED = 200, 1_000_007
SECONDS_TO_REST = 120


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    options = {"execution.checkpointing.interval": "2s"}
    with Stack("e2e-upgrade", Ports.free(), flink_options=options, brief=True) as running:
        yield running


@pytest.mark.parametrize("fixture", INGEST, ids=lambda path: path.name)
def test_first_copies_and_totals_of_an_older_version_live_on(stack: Stack, fixture: Path) -> None:
    savepoint, fed = upgrade.unpack(fixture, stack.folder / "savepoints")
    # positions are of another stream: one that is not in the savepoint is read from its start
    name = savepoint.name
    kinesis = {"stream": name, "endpoint": stack.kinesis_endpoint, "shard_discovery_interval_ms": 1_000}
    settings = load(stack.write_settings(kinesis=kinesis))
    create(settings, shards=2)
    before = generator.generate(fed["records"], fed["seed"], datetime.fromisoformat(fed["now"]), spread=True)
    new = generator.generate(NEW_RECORDS, NEW_SEED)
    puts = [(put.partition_key, put.data) for put in (*before.puts, *new.puts)]
    assert sum(Stream(settings.stream_address).put(puts)) == len(puts)

    job = restored(stack, savepoint, "ingest")
    expected = continued(before.truth, new.truth)
    deadline = Deadline(SECONDS_TO_REST)
    while (found := counts(report.gather(settings))) != expected and not deadline.over:
        assert stack.flink.job_state(job) == "RUNNING", stack.flink.root_cause(job)
        deadline.pause(1)
    assert found == expected
    stack.flink.cancel(job)


@pytest.mark.parametrize("fixture", EXPORT, ids=lambda path: path.name)
def test_what_an_older_version_has_sent_is_not_sent_again(stack: Stack, fixture: Path) -> None:
    savepoint, fed = upgrade.unpack(fixture, stack.folder / "savepoints")
    sections = stack.start_amplitude()
    kinesis = {"endpoint": stack.kinesis_endpoint, "stream": savepoint.name, "shard_discovery_interval_ms": 1_000}
    way_back = {**sections["export"], "stream": f"{savepoint.name}-export"}
    own = {"region": stack.region, "endpoint": stack.dynamodb_endpoint, "table_prefix": f"{savepoint.name}-"}
    settings = load(stack.write_settings(kinesis=kinesis, dynamodb=own, export=way_back))
    create(settings, shards=1)
    export.connect(settings, stack)
    before = export.feed(settings, fed["records"], fed["seed"], datetime.fromisoformat(fed["now"]))
    new = export.feed(settings, NEW_RECORDS, NEW_SEED, datetime.now(UTC))
    job = restored(stack, savepoint, "export")
    expected = export.wanted(new) + Counter(
        kind for one in before for kind in [AGAIN.get(one.fate, DUPLICATE)] * len(one.puts)
    )
    assert export.at_rest(Lake(settings.lake_address), expected) == (expected, [])
    assert export.taken(stack) == Counter(one.event_id for one in new if one.fate == "fine")
    stack.flink.cancel(job)


AGAIN = {"broken": "rejected", "elsewhere": "ignored"}


def restored(stack: Stack, savepoint: Path, name: str) -> str:
    """Submit a job from a savepoint, and wait until it runs."""
    program = ("-pyfs", job_zip.build(ROOT), "-py", RESTORE)
    job = stack.flink.run(("-s", str(savepoint), *program), (name, "--config", stack.settings_path))
    stack.flink.wait_until_running(job)
    return job


def continued(before: Truth, new: Truth) -> dict[str, Any]:
    """What the tables hold when all of `before` comes a second time, and `new` a first time."""
    return {
        "events counted": Counter(before.usage) + Counter(new.usage),
        "event records": twice({p: one.records for p, one in before.projects.items()})
        + Counter({p: one.records for p, one in new.projects.items()}),
        "updates counted": Counter(before.user_updates) + Counter(new.user_updates),
        "update records": twice(before.update_records) + Counter(new.update_records),
        "stored": Counter(new.usage),
        "user updates": Counter(new.user_updates),
        "profiles": Counter(new.profiles),
        "members": Counter(new.members),
        "cohort messages": Counter(before.cohort_messages) + Counter(new.cohort_messages),
        "dead letters": Counter(before.dead_letters) + Counter(new.dead_letters),
    }


def twice(counts: dict[int, int]) -> Counter[int]:
    return Counter(counts) + Counter(counts)


def counts(found: Report) -> dict[str, Any]:
    """The same of the tables."""
    totals: dict[str, Counter[int]] = {
        name: Counter() for name in ("event records", "updates counted", "update records")
    }
    for one in found.usage:
        totals["event records"][one.project_id] += one.records
        totals["updates counted"][one.project_id] += one.updates
        totals["update records"][one.project_id] += one.update_records
    return {
        **totals,
        "events counted": Counter({(one.project_id, one.month): one.events for one in found.usage}),
        "stored": found.stored,
        "user updates": found.user_updates,
        "profiles": found.profiles,
        "members": found.members,
        "cohort messages": found.cohort_messages,
        "dead letters": found.dead_letters,
    }
