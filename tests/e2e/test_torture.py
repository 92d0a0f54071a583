"""A slice of `make torture`, whose scoreboard has many runs, restores that would lose rows, an end to restarts."""

import re
from collections.abc import Iterator

import pytest

from lab.proofs import torture
from lab.proofs.torture import Cluster
from lab.sample import generator
from lab.sample.feed import Feed
from lab.stack.flink_client import FINAL_STATES
from lab.stack.patience import wait_until
from ops.release.flink_cli import FlinkError


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with torture.cluster("e2e-torture") as running:
        yield running


def test_nothing_is_missing_extra_or_unexplained(cluster: Cluster) -> None:
    faults = ["Python workers killed", "DynamoDB down", "shards merged"]
    line = torture.torture(cluster, 3, faults, worst=True)
    assert (line.faults, line.upon) == (faults, 2)  # each upon the one before
    assert (line.missing, line.extra, line.residual, line.trouble) == (0, 0, 0, "")
    assert line.records > torture.RECORDS


def test_a_restore_after_which_iceberg_would_skip_every_commit_is_refused(cluster: Cluster) -> None:
    with torture.prepared(cluster, 3) as target:
        flink = target.stack.flink
        feed = Feed(target.stream, generator.generate(800, seed=4).puts, per_second=60)
        feed.start()
        feed.wait_for(0.2)
        target.wait_for_checkpoint()
        drained = flink.stop(target.job, "--drain")  # with rows that no checkpoint has committed yet
        feed.finish(seconds=300)
        with pytest.raises(FlinkError) as refused:
            target.submit("-s", drained)
        assert str(refused.value) == (
            f"flink run failed: jobs.ingest: {drained}: its job was stopped with --drain, after which "
            'Iceberg skips every commit: see docs/operations.md, "Stop, savepoint, restore"'
        )


def test_a_job_that_fails_again_and_again_ends_and_names_the_cause(cluster: Cluster) -> None:
    fewer = "restart-strategy.exponential-delay.attempts-before-reset-backoff=2"  # 10 as shipped
    with torture.prepared(cluster, 5) as target:
        flink = target.stack.flink
        flink.cancel(target.job)
        target.submit("-D", fewer)
        target.dynamodb.fail("down", 1.0)
        Feed(target.stream, generator.generate(100, seed=5).puts, per_second=80).start()
        wait_until(lambda: flink.job_state(target.job) in FINAL_STATES, 180, pause=1)
        assert (flink.job_state(target.job), flink.failures(target.job)) == ("FAILED", 3)
        assert re.match(
            r"stores.errors.StoreError: DynamoDB table \S+ at \S+ cannot be used", flink.root_cause(target.job)
        )
