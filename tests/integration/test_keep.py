"""What is kept for restores, what may expire, and that a table goes back to what a tag has kept."""

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ops.maintenance.keep import KEEP_LAST, Ages, upkeep
from ops.maintenance.keep import planned as upkeeps
from settings import load
from stores import files
from stores.checkpoints import restore_points
from stores.errors import StoreError
from stores.history import history_of, keep, kept, set_back, tag
from stores.lake import EVENT_COUNTS, EXPORT_LEDGER, EXPORT_TABLES, TABLES, Lake
from stores.rewind import planned
from stores.rewrite import Attempt, Rewriting
from tests.lake import lake_of

A, B = "a" * 32, "b" * 32


def commit(lake: Lake, checkpoint: int, job: str = A, to: str = EVENT_COUNTS) -> None:
    """Add a row as Flink's committer does."""
    table = lake.table(to)
    summary = {"flink.job-id": job, "flink.max-committed-checkpoint-id": str(checkpoint)} if job else {}
    added = pa.Table.from_pylist([{"project_id": checkpoint}], schema=table.schema().as_arrow())
    table.append(added, snapshot_properties=summary)


def expire(lake: Lake) -> None:
    """As Iceberg does it: all but the current snapshot and what tags keep."""
    lake.table(EVENT_COUNTS).maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()


def test_the_tables_of_each_job_are_kept_for_its_own_checkpoints(tmp_path: Path) -> None:
    folder = tmp_path / "flink"
    for job, checkpoint in ((A, 5), (B, 7)):
        metadata = folder / job / f"chk-{checkpoint}" / "_metadata"
        metadata.parent.mkdir(parents=True)
        metadata.write_bytes(struct.pack(">IIQ", 0x4960672D, 4, checkpoint))
    with lake_of(tmp_path, {table: [] for table in (*TABLES, *EXPORT_TABLES)}) as config:
        found = load(config, [f'maintenance.restore_points=["file://{folder}"]'])
        lake = Lake(found.lake_address)
        commit(lake, 5)
        commit(lake, 7, B, EXPORT_LEDGER)
        tags = {one.table: list(one.keep) for one in upkeeps(found)}
    assert list(tags) == [*TABLES, *EXPORT_TABLES]
    assert {table: names for table, names in tags.items() if names} == {
        EVENT_COUNTS: [tag(A, 5)],
        EXPORT_LEDGER: [tag(B, 7)],
    }


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


def erase(lake: Lake) -> None:
    """Exchange a file for one with a row less."""
    rewriting = Rewriting(lake, EVENT_COUNTS, [])
    exchange = rewriting.exchange(rewriting.files[0], rewriting.rows(rewriting.files[0]).slice(1))
    assert rewriting.commit([exchange], Attempt("2026-03-01T10:00:00Z-ab", 1))


def test_what_was_erased_goes_with_all_before_a_jobs_first_commit_since_whatever_their_number(lake: Lake) -> None:
    commit(lake, 1)
    commit(lake, 2)
    erase(lake)
    for checkpoint in (3, 4):
        commit(lake, checkpoint)
    now = datetime.now(UTC) + timedelta(minutes=1)
    aged, young = (Ages(now, timedelta(hours=hours), timedelta(days=3)) for hours in (0, 24))
    found = upkeep(lake, EVENT_COUNTS, history_of(lake, EVENT_COUNTS), {}, aged)
    assert (found.holding, found.expire, found.care.keep_last) == (3, 0, KEEP_LAST)
    # of a third retained checkpoint
    commit(lake, 5)
    commits = history_of(lake, EVENT_COUNTS)
    first = commits[-1].snapshot
    found = upkeep(lake, EVENT_COUNTS, commits, {tag(A, 1): first}, aged)
    assert (found.holding, found.held_for, found.expire, found.care.keep_last) == (3, (tag(A, 1),), 2, 3)
    assert upkeep(lake, EVENT_COUNTS, commits, {}, young).expire == 0
    at_once = upkeep(lake, EVENT_COUNTS, commits, {}, young._replace(erased_at_once=True))
    assert (at_once.expire, at_once.care.expire_before) == (3, round(commits[2].at.timestamp() * 1000))
    # an erasure whose own commit has expired is known by its time
    keep(lake, EVENT_COUNTS, {tag(A, 1): first}, timedelta(days=1))
    expire(lake)
    commits = history_of(lake, EVENT_COUNTS)
    assert upkeep(lake, EVENT_COUNTS, commits, {}, aged).holding == 0
    assert upkeep(lake, EVENT_COUNTS, commits, {tag(A, 1): first}, aged, erased_at=commits[0].at).held_for == (
        tag(A, 1),
    )


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
