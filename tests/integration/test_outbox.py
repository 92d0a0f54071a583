"""What waits is read a day of arrivals at a time, the newest first, as far as there is time."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.sinks import EXPORT_COLUMNS
from ops.answers import waiting
from stores.errors import StoreError
from stores.lake import EVENT_STORE, OUTBOX, Condition, Lake, Partition
from stores.lake_address import LakeAddress
from tests.integration.test_settled import out

DAYS = [datetime(2026, 3, day, 23, 59, 59, 999_999, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """Of each day one event waits, and one has waited."""
    address = LakeAddress(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/warehouse", "a", None, "-")
    made = Lake(address)
    made.create(OUTBOX, EXPORT_COLUMNS[OUTBOX], [Partition("arrival", "day")])
    table, files = made.table(OUTBOX), []
    for day in DAYS:
        rows = [*out(f"waits {day.day}", "waiting"), *out(f"settled {day.day}", "waiting", "accepted")]
        files.append(f"{tmp_path}/{day.day}.parquet")
        dated = [one | {"arrival": day} for one in rows]
        pq.write_table(pa.Table.from_pylist(dated, schema=table.schema().as_arrow()), files[-1])
    table.add_files(files)
    yield made
    made.catalog.close()


def test_all_is_read_when_there_is_time(lake: Lake) -> None:
    found, since = waiting.newest(lake, 60)
    assert (found["event_id"].to_pylist(), since) == (["waits 1", "waits 2", "waits 3"], None)


def test_no_more_is_read_than_there_is_time_for(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    read, scan = list[str](), Lake.scan

    def noted(
        lake: Lake, table: str, columns: tuple[str, ...], where: list[Condition], limit: int | None
    ) -> object:
        found = scan(lake, table, columns, where, limit)
        read.extend(Path(task.file.file_path).stem for task in found.plan_files())
        assert "event" not in columns
        return found

    monkeypatch.setattr(Lake, "scan", noted)
    found, since = waiting.newest(lake, 0)
    assert (found["event_id"].to_pylist(), since) == (["waits 3"], datetime(2026, 3, 3, tzinfo=UTC))
    assert read == ["3"]


def test_nothing_waits_in_a_table_without_rows(tmp_path: Path) -> None:
    made = Lake(LakeAddress(f"sqlite:///{tmp_path}/c.db", f"file://{tmp_path}/w", "a", None, "-"))
    made.create(OUTBOX, EXPORT_COLUMNS[OUTBOX], [Partition("arrival", "day")])
    found, since = waiting.newest(made, 60)
    assert (len(found), since) == (0, None)


@pytest.mark.parametrize(("table", "job"), [(OUTBOX, "export"), (EVENT_STORE, "ingest")])
def test_a_table_that_is_not_there_names_the_catalog_and_who_creates_it(
    tmp_path: Path, table: str, job: str
) -> None:
    made = Lake(LakeAddress(f"sqlite:///{tmp_path}/c.db", f"file://{tmp_path}/w", "a", None, "-"))
    with pytest.raises(StoreError) as refused:
        made.rows(table)
    assert str(refused.value) == (
        f"table a.{table} does not exist in sqlite:///{tmp_path}/c.db: start the {job} job, which creates it; "
        "if it was there before, look at lake.catalog_uri"
    )
