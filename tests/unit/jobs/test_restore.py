"""Whose a checkpoint is, and which must not be restored."""

from datetime import UTC, datetime, timedelta

from jobs.restore import DRAINED, later, refusal
from stores.checkpoints import job_of
from stores.history import Commit
from stores.lake import LEDGER
from tests.cases import each

JOB, BEFORE, AFTER = "3afa9e268c8c91f8c9cf2501c97fbfc8", "b" * 32, "c" * 32


@each(
    ("path", "job"),
    [
        (f"s3://bucket/checkpoints/{JOB}/chk-17", JOB),
        (f"file:/var/checkpoints/{JOB}/chk-17/", JOB),
        ("s3://bucket/savepoints/savepoint-3afa9e-8d0465165c6a", "3afa9e"),
        ("s3://bucket/savepoints/before-the-upgrade", ""),
    ],
)
def test_a_path_tells_whose_it_is(path: str, job: str) -> None:
    assert job_of(path) == job


def commits(*given: tuple[str, int]) -> list[Commit]:
    """Commits of (job, checkpoint), a minute apart."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return [
        Commit(start + timedelta(minutes=at), job, checkpoint, at, at, at == 1)
        for at, (job, checkpoint) in enumerate(given, 1)
    ]


def judged(checkpoint: int, *given: tuple[str, int]) -> str:
    return refusal("p", checkpoint, later({LEDGER: commits(*given)[::-1]}, JOB, checkpoint))


def test_what_is_newer_than_all_that_is_committed_may_be_restored() -> None:
    assert [judged(checkpoint, (BEFORE, 9), (JOB, 5)) for checkpoint in (5, 6)] == ["", ""]
    assert judged(1) == ""


def test_what_is_older_or_drained_may_not() -> None:
    assert judged(4, (JOB, 4), (JOB, 5)) == (
        f"p is checkpoint 4, and 5 of job {JOB} is committed already: Iceberg would skip rows, or have them "
        'twice; restore from the newest one, see docs/operations.md, "Stop, savepoint, restore"'
    )
    assert judged(6, (JOB, 5), (JOB, DRAINED)) == (
        "p: its job was stopped with --drain, after which Iceberg skips every commit: see docs/operations.md, "
        '"Stop, savepoint, restore"'
    )


def test_what_another_job_has_gone_on_from_may_not_be_restored_again() -> None:
    assert f"and 6 of job {AFTER} is committed already" in judged(5, (JOB, 5), (AFTER, 6))


def test_a_job_without_a_commit_is_judged_by_the_one_that_has_committed_last() -> None:
    assert f"and 20 of job {AFTER} is committed already" in judged(11, (AFTER, 12), (AFTER, 20))
    # restored from it, and stopped before its first commit
    assert not judged(21, (AFTER, 12), (AFTER, 20))
