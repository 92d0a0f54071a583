"""A slice of `make torture`, whose scoreboard has many runs, and restores that would lose rows."""

import re
from collections.abc import Iterator

import pytest

from ops import sample, torture
from ops.feed import Feed
from ops.local import Stack
from ops.machine import Ports
from ops.process import StackError


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-torture", Ports.free(), flink_options=torture.OPTIONS) as running:
        yield running


def test_nothing_is_missing_extra_or_unexplained(stack: Stack) -> None:
    faults = ["Python workers killed", "DynamoDB down", "shards merged"]
    line = torture.torture(stack, 1, faults)
    assert sorted(line.faults) == sorted(faults)
    assert (line.missing, line.extra, line.residual, line.trouble) == (0, 0, 0, "")
    assert line.records > torture.RECORDS


def test_a_restore_after_which_iceberg_would_skip_commits_is_refused(stack: Stack) -> None:
    made = sample.generate(200, seed=3)
    advice = 'see docs/operations.md, "Stop, savepoint, restore"'
    with torture.prepared(stack, 3) as target:
        folder = f"file://{stack.folder}/savepoints"
        said = stack.flink.cli("savepoint", target.job, folder)
        (early,) = re.findall(r"Path: (\S+)", said)
        assert sum(target.stream.put((put.partition_key, put.data) for put in made.puts)) == len(made.puts)
        for _ in range(4):  # the records' own, and the commit behind it
            target.wait_for_checkpoint()
        stack.cancel(target.job)
        with pytest.raises(StackError) as refused:
            target.submit("-s", early)
        assert re.fullmatch(
            rf"flink run failed: jobs.ingest: {early} is checkpoint \d+, and \d+ is committed already: "
            rf"Iceberg would skip the rows of all up to that; restore from the newest one, {advice}",
            str(refused.value),
        )
        target.restore()
        feed = Feed(target.stream, sample.generate(800, seed=4).puts, per_second=60)
        feed.start()
        feed.wait_for(0.2)
        drained = target.stop("--drain")  # with rows that no checkpoint has committed yet
        feed.join()
        with pytest.raises(StackError) as refused:
            target.submit("-s", drained)
        assert str(refused.value) == (
            f"flink run failed: jobs.ingest: {drained}: its job was stopped with --drain, after which "
            f"Iceberg skips every commit: {advice}"
        )
