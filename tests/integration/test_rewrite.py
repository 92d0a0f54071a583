"""Files exchanged beside another writer: on top of its commits, and not at all when a file is gone."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stores import erased
from stores.history import history_of
from stores.lake import Condition, Lake, LakeAddress
from stores.rewrite import Attempt, Rewriting, committed, forget

COLUMNS: dict[str, type] = {"project_id": int, "name": str}


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(LakeAddress(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}", "amplitude", None, "x"))
    made.create("rows", COLUMNS, [])
    yield made
    made.catalog.close()


def append(lake: Lake, *rows: dict[str, Any]) -> None:
    table = lake.table("rows")
    table.append(pa.Table.from_pylist(list(rows), schema=table.schema().as_arrow()))


def fill(lake: Lake) -> None:
    append(lake, *({"project_id": n % 2, "name": f"n{n}"} for n in range(9)))


def names(lake: Lake) -> list[str]:
    return sorted(lake.rows("rows", ("name",))["name"].to_pylist())


def attempts(lake: Lake) -> list[str]:
    return [one.attempt for one in history_of(lake, "rows") if one.attempt]


def without(rewriting: Rewriting, name: str) -> list[Any]:
    found = []
    for file in rewriting.files:
        rows = rewriting.rows(file)
        kept = [row for row in rows.to_pylist() if row["name"] != name]
        if len(kept) < rows.num_rows:
            found.append(rewriting.exchange(file, pa.Table.from_pylist(kept, schema=rows.schema)))
    return found


def test_a_row_goes_on_top_of_what_others_commit(lake: Lake) -> None:
    fill(lake)
    rewriting = Rewriting(lake, "rows", [Condition("project_id", "=", 1)])
    exchanges = without(rewriting, "n3")
    append(lake, {"project_id": 1, "name": "meanwhile"})
    assert rewriting.commit(exchanges, Attempt("run", 1)) is True
    assert names(lake) == sorted(["meanwhile", *(f"n{n}" for n in range(9) if n != 3)])
    assert attempts(lake) == ["run.1"]


def test_a_file_without_rows_is_not_replaced(lake: Lake) -> None:
    append(lake, {"project_id": 1, "name": "only"})
    rewriting = Rewriting(lake, "rows", [])
    (exchange,) = without(rewriting, "only")
    assert exchange.new is None
    assert rewriting.commit([exchange], Attempt("run", 1)) is True
    assert names(lake) == []


def test_nothing_is_done_when_another_has_exchanged_a_file(lake: Lake) -> None:
    fill(lake)
    first, second = Rewriting(lake, "rows", []), Rewriting(lake, "rows", [])
    mine, theirs = without(first, "n3"), without(second, "n3")
    assert second.commit(theirs, Attempt("theirs", 1)) is True
    assert first.commit(mine, Attempt("mine", 1)) is False
    assert attempts(lake) == ["theirs.1"]
    assert len(names(lake)) == 8


def test_a_table_knows_the_last_attempt_of_a_run_when_its_snapshot_has_expired(lake: Lake) -> None:
    fill(lake)
    for number, name in ((1, "n3"), (4, "n5")):
        rewriting = Rewriting(lake, "rows", [])
        assert rewriting.commit(without(rewriting, name), Attempt("2026-03-01T10:00:00Z-ab", number))
    rewriting = Rewriting(lake, "rows", [])
    assert rewriting.commit(without(rewriting, "n7"), Attempt("other", 1))
    append(lake, {"project_id": 1, "name": "later"})
    lake.table("rows").maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()
    assert attempts(lake) == []
    assert committed(lake, "rows") == {"2026-03-01T10:00:00Z-ab": 4, "other": 1}
    forget(lake, "rows", ["2026-03-01T10:00:00Z-ab", "never there"])
    assert committed(lake, "rows") == {"other": 1}


def test_counts_of_an_attempt_are_dropped_and_others_stay(lake: Lake) -> None:
    assert list(erased.erased(lake, ("records",))) == []
    erased.drop(lake, ["nothing is there yet"])
    erased.create(lake)
    for attempt in ("a", "b"):
        erased.add(lake, [{"attempt": attempt, "records": 3, "erasure": "run"}])
    erased.drop(lake, ["a"])
    assert list(erased.erased(lake, ("attempt", "records"))) == [{"attempt": "b", "records": 3}]
