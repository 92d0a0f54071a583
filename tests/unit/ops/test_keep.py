"""What is kept for restores, what may expire, and that a table goes back to what a tag has kept."""

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ops.maintenance.keep import KEEP_LAST, Ages, Upkeep, kept_for, upkeep
from stores import files
from stores.care import Care
from stores.checkpoints import restore_points
from stores.errors import StoreError
from stores.files import Files
from stores.history import Commit, history_of, keep, kept, set_back, tag
from stores.lake import EVENT_COUNTS, LEDGER, Lake
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


def commit(lake: Lake, checkpoint: int, job: str = A) -> None:
    """Add a row as Flink's committer does."""
    table = lake.table(EVENT_COUNTS)
    summary = {"flink.job-id": job, "flink.max-committed-checkpoint-id": str(checkpoint)} if job else {}
    added = pa.Table.from_pylist([{"project_id": checkpoint}], schema=table.schema().as_arrow())
    table.append(added, snapshot_properties=summary)


def expire(lake: Lake) -> None:
    """As Iceberg does it: all but the current snapshot and what tags keep."""
    lake.table(EVENT_COUNTS).maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()


def test_a_table_goes_back_to_what_a_tag_has_kept_and_loses_later_tags(lake: Lake) -> None:
    for checkpoint in range(1, 6):
        commit(lake, checkpoint)
    commits = {one.checkpoint: one.snapshot for one in history_of(lake, EVENT_COUNTS)}
    keep(lake, EVENT_COUNTS, {tag(A, 1): commits[1], tag(A, 2): commits[2]}, timedelta(days=1))
    wanted = {tag(A, 2): commits[2], tag(A, 4): commits[4]}
    keep(lake, EVENT_COUNTS, wanted, timedelta(days=1))
    assert kept(lake, EVENT_COUNTS) == wanted
    assert lake.table(EVENT_COUNTS).metadata.refs[tag(A, 2)].max_ref_age_ms == 86_400_000
    expire(lake)
    found = history_of(lake, EVENT_COUNTS)
    assert [(one.checkpoint, one.kept) for one in found] == [(5, ()), (4, ()), (2, (tag(A, 2),))]
    (step,) = planned({EVENT_COUNTS: found}, A, 2).steps
    set_back(lake, EVENT_COUNTS, step.current, step.back_to)
    assert sorted(lake.rows(EVENT_COUNTS, ("project_id",))["project_id"].to_pylist()) == [1, 2]
    assert kept(lake, EVENT_COUNTS) == {tag(A, 2): commits[2]}
    assert [one.checkpoint for one in history_of(lake, EVENT_COUNTS)] == [2]


def test_the_last_snapshots_stay_and_all_up_to_the_newest_of_a_job(lake: Lake) -> None:
    commit(lake, 1)
    commit(lake, 2)
    for _ in range(KEEP_LAST + 4):
        commit(lake, 0, job="")
    ages = Ages(datetime.now(UTC) + timedelta(seconds=1), timedelta(0), timedelta(days=3))
    commits = history_of(lake, EVENT_COUNTS)
    found = upkeep(lake, EVENT_COUNTS, commits, {}, ages)
    assert (found.care.keep_last, found.expire) == (KEEP_LAST + 5, 1)
    assert found.care.steps == ("manifests", "expire")
    assert upkeep(lake, EVENT_COUNTS, commits, {tag(A, 1): commits[-1].snapshot}, ages).expire == 0


def test_orphans_are_older_than_the_last_commit_of_a_job_by_days(lake: Lake, tmp_path: Path) -> None:
    commit(lake, 1)
    stray = tmp_path / "lake" / "amplitude" / EVENT_COUNTS / "data" / "stray.parquet"
    stray.write_bytes(b"nobody's")
    (stray.parent / ".stray.parquet.crc").write_bytes(b"Hadoop's")
    in_use = files.orphans(lake, EVENT_COUNTS, datetime.now(UTC) + timedelta(days=1))
    assert in_use == {str(stray): 8}
    commits = history_of(lake, EVENT_COUNTS)

    def orphans(days: float) -> int:
        """That many days from now, and the job is down since."""
        now = datetime.now(UTC) + timedelta(days=days)
        return upkeep(lake, EVENT_COUNTS, commits, {}, Ages(now, timedelta(days=1), timedelta(days=3))).orphans

    assert (orphans(0), orphans(10)) == (0, 0)
    commit(lake, 2)
    later = [commits[0]._replace(at=datetime.now(UTC) + timedelta(days=4))]
    now = datetime.now(UTC) + timedelta(days=4)
    ages = Ages(now, timedelta(days=1), timedelta(days=3))
    assert upkeep(lake, EVENT_COUNTS, later, {}, ages).orphans == 1


def test_a_table_without_any_commit_is_left_alone(lake: Lake) -> None:
    ages = Ages(datetime.now(UTC), timedelta(0), timedelta(days=3))
    assert upkeep(lake, EVENT_COUNTS, [], {}, ages).care.steps == ()


def test_restore_points_are_complete_checkpoints_and_savepoints(lake: Lake, tmp_path: Path) -> None:
    names = (f"{A}/chk-1", f"{A}/chk-2", f"{A}/shared", "savepoint-aaaaaa-0123456789ab", "other/chk-1")
    for name in names:
        (tmp_path / "flink" / name).mkdir(parents=True)
    for name in names[1:]:
        (tmp_path / "flink" / name / "_metadata").write_bytes(struct.pack(">IIQ", 0x4960672D, 4, 17))
    folder = f"file://{tmp_path}/flink"
    found = restore_points(lake, folder)
    assert sorted(found) == [f"{folder}/{A}/chk-2", f"{folder}/savepoint-aaaaaa-0123456789ab"]
    with pytest.raises(StoreError, match=r"^file:///nowhere cannot be read: "):
        restore_points(lake, "file:///nowhere")


@each(("compacted", "stuck"), [(True, False), (False, True)])
def test_compaction_is_seen_by_what_it_took_away_whatever_a_job_has_added(compacted: bool, stuck: bool) -> None:
    care = Care(EVENT_COUNTS, ("compact",), "day", "2026-03-02T00:00:00+00:00", 0, KEEP_LAST, 0)
    before, after = Files(72, 42, 0, 1, 1, 1), Files(165, 80, 0, 1, 1, 1)
    one = Upkeep(EVENT_COUNTS, before, 0, 0, {}, care, 1, after, compacted)
    assert one.stuck is stuck
