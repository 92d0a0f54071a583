"""Whose a checkpoint is, and which must not be restored."""

import pytest

from jobs.restore import DRAINED, job_of, refusal

JOB = "3afa9e268c8c91f8c9cf2501c97fbfc8"


@pytest.mark.parametrize(
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


def test_what_is_newer_than_all_that_is_committed_may_be_restored() -> None:
    assert [refusal("p", checkpoint, 5) for checkpoint in (5, 6)] == ["", ""]


def test_what_is_older_or_drained_may_not() -> None:
    assert refusal("p", 4, 5) == (
        "p is checkpoint 4, and 5 is committed already: Iceberg would skip the rows of all up to that; restore "
        'from the newest one, see docs/operations.md, "Stop, savepoint, restore"'
    )
    assert refusal("p", 6, DRAINED) == (
        "p: its job was stopped with --drain, after which Iceberg skips every commit: see docs/operations.md, "
        '"Stop, savepoint, restore"'
    )
