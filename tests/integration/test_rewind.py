"""To which commit each table goes back, and that it does: on real Iceberg tables, with commits like Flink's."""

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from jobs.sinks import COLUMNS
from ops.cli.rewind import rewind
from ops.maintenance.rewind import WayBack, carry_out, check_stream, undone, way_back
from settings import load
from stores import erased
from stores.checkpoints import checkpoint_id
from stores.errors import StoreError
from stores.history import committed_at, history_of, keep, set_back, tag, times_set_back
from stores.lake import EVENT_COUNTS, EXPORT_LEDGER, EXPORT_TABLES, OUTBOX, TABLES, Lake
from stores.rewind import planned
from stores.rewrite import Attempt, Rewriting
from stores.stream import Stream
from tests.lake import lake_of

A, B, Z = "a" * 32, "b" * 32, "c" * 32
START = datetime(2026, 3, 1, tzinfo=UTC)


def commit(lake: Lake, job: str, checkpoint: int, rows: int, to: str = EVENT_COUNTS) -> None:
    """Add rows as Flink's committer does."""
    table = lake.table(to)
    summary = {"flink.job-id": job, "flink.max-committed-checkpoint-id": str(checkpoint)}
    added = [{"project_id": checkpoint}] * rows
    table.append(pa.Table.from_pylist(added, schema=table.schema().as_arrow()), snapshot_properties=summary)


def stored(lake: Lake) -> list[int]:
    return sorted(lake.rows(EVENT_COUNTS, ("project_id",))["project_id"].to_pylist())


def committed(lake: Lake) -> int:
    return max(one.checkpoint for one in history_of(lake, EVENT_COUNTS))


def test_a_table_that_was_set_back_knows_nothing_of_what_was_taken_out(lake: Lake) -> None:
    for checkpoint, rows in ((3, 1), (4, 2), (5, 3)):
        commit(lake, A, checkpoint, rows)
    (step,) = planned({EVENT_COUNTS: history_of(lake, EVENT_COUNTS)}, A, 3).steps
    assert step.back_to
    assert (step.rows, committed(lake)) == (5, 5)
    set_back(lake, EVENT_COUNTS, step.current, step.back_to)
    assert (stored(lake), committed(lake)) == ([3], 3)
    assert committed_at(lake, EVENT_COUNTS) == step.back_to.at
    assert times_set_back(lake, EVENT_COUNTS) == 1

    commit(lake, B, 4, 1)
    assert (stored(lake), committed(lake)) == ([3, 4], 4)
    found = history_of(lake, EVENT_COUNTS)
    assert [(one.job, one.checkpoint, one.rows) for one in found] == [(B, 4, 2), (A, 3, 1)]


def test_a_table_goes_back_to_before_its_first_rows(lake: Lake) -> None:
    commit(lake, A, 5, 2)
    (only,) = history_of(lake, EVENT_COUNTS)
    set_back(lake, EVENT_COUNTS, only, None)
    assert times_set_back(lake, EVENT_COUNTS) == 1
    assert (stored(lake), history_of(lake, EVENT_COUNTS), committed_at(lake, EVENT_COUNTS)) == ([], [], None)
    commit(lake, B, 5, 1)
    assert (stored(lake), [one.first for one in history_of(lake, EVENT_COUNTS)]) == ([5], [True])


def test_a_table_that_somebody_writes_to_is_left_alone(lake: Lake) -> None:
    commit(lake, A, 4, 1)
    (first,) = history_of(lake, EVENT_COUNTS)
    commit(lake, A, 5, 1)
    with pytest.raises(StoreError, match=f"^table amplitude.{EVENT_COUNTS} was written to meanwhile: stop the"):
        set_back(lake, EVENT_COUNTS, first, None)
    assert stored(lake) == [4, 5]


def test_what_was_erased_since_is_there_again_and_counts_no_more(lake: Lake) -> None:
    for checkpoint in (3, 4):
        commit(lake, A, checkpoint, 2)
    erased.create(lake)
    for run in ("2026-03-01T10:00:00Z-early", "2026-03-01T11:00:00Z-late"):
        rewriting = Rewriting(lake, EVENT_COUNTS, [])
        file = rewriting.files[0]
        attempt = Attempt(run, 1)
        named = {"erasure": run, "attempt": str(attempt), "table_name": EVENT_COUNTS}
        erased.add(lake, [{"project_id": 7, "records": 1, **named}])
        assert rewriting.commit([rewriting.exchange(file, rewriting.rows(file).slice(1))], attempt)
        commit(lake, A, 5, 1)
    (step,) = planned({EVENT_COUNTS: history_of(lake, EVENT_COUNTS)}, A, 4).steps
    found = WayBack(A, 4, [step], START)
    assert stored(lake) == [3, 3, 4, 5]
    # the first was committed before all that is beyond the checkpoint
    assert undone(lake, found) == [(7, "2026-03-01T11:00:00Z-late")]
    carry_out(lake, found)
    assert stored(lake) == [3, 3, 4]
    assert [row["erasure"] for row in erased.erased(lake, ("erasure",))] == ["2026-03-01T10:00:00Z-early"]


def test_what_was_erased_comes_back_from_a_kept_snapshot_though_the_erasures_own_has_expired(lake: Lake) -> None:
    commit(lake, A, 3, 2)
    (before,) = history_of(lake, EVENT_COUNTS)
    keep(lake, EVENT_COUNTS, {tag(A, 3): before.snapshot}, timedelta(days=1))
    erased.create(lake)
    for run in (f"{before.at - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}-a", "2999-01-01T00:00:00Z-b"):
        named = {"erasure": run, "attempt": f"{run}.1", "table_name": EVENT_COUNTS}
        erased.add(lake, [{"project_id": 7, "records": 1, **named}])
    rewriting = Rewriting(lake, EVENT_COUNTS, [])
    assert rewriting.commit(
        [rewriting.exchange(rewriting.files[0], rewriting.rows(rewriting.files[0]).slice(1))], Attempt(run, 1)
    )
    commit(lake, A, 4, 1)
    lake.table(EVENT_COUNTS).maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()
    (step,) = planned({EVENT_COUNTS: history_of(lake, EVENT_COUNTS)}, A, 3).steps
    found = WayBack(A, 3, [step], START)
    assert undone(lake, found) == [(7, run)]
    carry_out(lake, found)
    assert stored(lake) == [3, 3]
    assert len(list(erased.erased(lake, ("attempt",)))) == 1


def test_expiry_does_not_make_an_old_table_look_new(lake: Lake) -> None:
    for checkpoint in (3, 4):
        commit(lake, A, checkpoint, 1)
    second, first = history_of(lake, EVENT_COUNTS)
    assert [second.first, first.first] == [False, True]
    lake.table(EVENT_COUNTS).maintenance.expire_snapshots().by_id(first.snapshot).commit()
    assert [(one.checkpoint, one.first) for one in history_of(lake, EVENT_COUNTS)] == [(4, False)]


def test_a_checkpoints_id_stands_at_the_head_of_its_metadata(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "savepoint-aaaaaa-0123456789ab"
    folder.mkdir()
    file = folder / "_metadata"
    file.write_bytes(struct.pack(">IIQ", 0x4960672D, 4, 17) + b"and the rest")
    assert [checkpoint_id(lake, path) for path in (str(folder), f"file:{folder}/", f"file://{folder}")] == [17] * 3
    for broken in (file.read_bytes()[:15], b"\0" * 16):
        file.write_bytes(broken)
        with pytest.raises(StoreError, match=f"^{folder} cannot be read: its _metadata does not begin like a che"):
            checkpoint_id(lake, str(folder))
    with pytest.raises(StoreError, match=r"^/nowhere/chk-1 cannot be read: .*/nowhere/chk-1/_metadata"):
        checkpoint_id(lake, "/nowhere/chk-1")


def test_a_path_that_does_not_say_whose_it_is_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text(
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )
    refused = CliRunner().invoke(rewind, ["--config", str(config), "s3://bucket/before-the-upgrade"]).exception
    assert isinstance(refused, StoreError)
    assert str(refused) == (
        "s3://bucket/before-the-upgrade: only a name that Flink gave names the job: JOB_ID/chk-N or savepoint-…"
    )


def test_a_savepoint_whose_job_ran_on_is_refused(lake: Lake, tmp_path: Path) -> None:
    for table in TABLES:
        lake.create(table, COLUMNS[table], [])
    for checkpoint in (3, 5):
        commit(lake, A, checkpoint, 1)
    config, folder = tmp_path / "job.toml", tmp_path / "savepoint-aaaaaa-0123456789ab"
    config.write_text(
        f'[lake]\ncatalog_uri = "{lake.address.catalog_uri}"\nwarehouse = "{lake.address.warehouse}"\n'
    )
    folder.mkdir()
    (folder / "_metadata").write_bytes(struct.pack(">IIQ", 0x4960672D, 4, 4))
    refused = CliRunner().invoke(rewind, ["--config", str(config), str(folder)]).exception
    assert str(refused) == (
        f"{folder}: its job ran on, and Iceberg has deleted what its restore would read; take a chk-N"
    )
    assert stored(lake) == [3, 5]


def test_a_checkpoint_of_the_export_job_takes_its_own_tables_back(tmp_path: Path, kinesis_endpoint: str) -> None:
    metadata = tmp_path / B / "chk-3" / "_metadata"
    metadata.parent.mkdir(parents=True)
    metadata.write_bytes(struct.pack(">IIQ", 0x4960672D, 4, 3))
    with lake_of(tmp_path, {table: [] for table in (*TABLES, *EXPORT_TABLES)}) as config:
        with config.open("a") as file:
            file.write(f'[kinesis]\nendpoint = "{kinesis_endpoint}"\n[export]\nstream = "{tmp_path.name}"\n')
        settings = load(config)
        lake = Lake(settings.lake_address)
        commit(lake, A, 7, 1)
        for checkpoint in (3, 4):
            commit(lake, B, checkpoint, 2, EXPORT_LEDGER)
            commit(lake, B, checkpoint, 1, OUTBOX)
        remove = Rewriting(lake, OUTBOX, [])
        assert remove.commit([remove.exchange(file, remove.rows(file).slice(1)) for file in remove.files])
        found = way_back(lake, str(metadata.parent))
        assert {one.table: one.rows for one in found.steps} == {EXPORT_LEDGER: 2, OUTBOX: -1}
        Stream(settings.export_stream_address).create(1)
        with pytest.raises(StoreError, match=f"^.*/chk-3 is of .*, and stream {tmp_path.name} has its rec"):
            check_stream(settings, str(metadata.parent), found)
        carry_out(lake, found)
        assert {table: lake.rows(table).num_rows for table in (EXPORT_LEDGER, OUTBOX, EVENT_COUNTS)} == {
            EXPORT_LEDGER: 2,
            OUTBOX: 1,
            EVENT_COUNTS: 1,
        }
