"""What is kept for restores, and that a compaction is seen by what it took away."""

from datetime import UTC, datetime, timedelta

import pytest

from ops.maintenance.keep import KEEP_LAST, Upkeep, kept_for
from stores.care import Care
from stores.errors import StoreError
from stores.files import Files
from stores.history import Commit
from stores.lake import EVENT_COUNTS, LEDGER
from stores.rewind import planned
from tests.cases import each

A, B = "a" * 32, "b" * 32
START = datetime(2026, 3, 1, tzinfo=UTC)


def history(*commits: tuple[str, int]) -> list[Commit]:
    """Commits of (job, checkpoint), given oldest first, a minute apart; their number is their snapshot."""
    return [
        Commit(START + timedelta(minutes=i), job, checkpoint, i, 10 * i, i == 1)
        for i, (job, checkpoint) in enumerate(commits, 1)
    ][::-1]


@each(
    ("path", "checkpoint", "tags"),
    [
        (f"s3://b/{A}/chk-2", 2, {"keep-aaaaaa-2": 2}),
        # nothing was committed with that one; a compaction behind it says nothing of checkpoints
        (f"s3://b/{A}/chk-4", 4, {"keep-aaaaaa-4": 3}),
        (f"s3://b/{A}/chk-9", 9, {"keep-aaaaaa-9": 5}),
        # stopped with it
        ("s3://b/savepoint-aaaaaa-0123456789ab", 6, {"keep-aaaaaa-6": 5}),
        # its job ran on: it cannot be restored
        ("s3://b/savepoint-aaaaaa-0123456789ab", 2, {}),
        # of a job that has committed nothing, and from before all
        (f"s3://b/{B}/chk-2", 2, {}),
        (f"s3://b/{A}/chk-0", 0, {}),
    ],
)
def test_a_checkpoint_needs_the_newest_commit_that_is_not_after_it(
    path: str, checkpoint: int, tags: dict[str, int]
) -> None:
    commits = history((A, 1), (A, 2), (A, 3), ("", 0), (A, 5))
    assert kept_for({EVENT_COUNTS: commits, LEDGER: []}, [(path, checkpoint)]) == {EVENT_COUNTS: tags, LEDGER: {}}


def test_what_has_expired_is_not_taken_for_what_is_older() -> None:
    *younger, old = history((A, 1), (A, 8), (A, 9))
    commits = [*younger, old._replace(kept=("keep-aaaaaa-1",))]
    points = [(f"s3://b/{A}/chk-1", 1), (f"s3://b/{A}/chk-5", 5)]
    assert kept_for({EVENT_COUNTS: commits}, points) == {EVENT_COUNTS: {"keep-aaaaaa-1": 1}}
    (step,) = planned({EVENT_COUNTS: commits}, A, 1).steps
    assert step.back_to == commits[-1]
    with pytest.raises(StoreError, match=r"cannot be set back to checkpoint 5: that snapshot has expired"):
        planned({EVENT_COUNTS: commits}, A, 5)


@each(("compacted", "stuck"), [(True, False), (False, True)])
def test_compaction_is_seen_by_what_it_took_away_whatever_a_job_has_added(compacted: bool, stuck: bool) -> None:
    care = Care(EVENT_COUNTS, ("compact",), "day", "2026-03-02T00:00:00+00:00", 0, KEEP_LAST, 0)
    before, after = Files(72, 42, 0, 1, 1, 1), Files(165, 80, 0, 1, 1, 1)
    one = Upkeep(EVENT_COUNTS, before, 0, 0, {}, care, 1, 0, (), after, compacted)
    assert one.stuck is stuck
