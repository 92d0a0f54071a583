"""Records by outcome and hour, out of a real ledger."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobs.sinks import COLUMNS
from ops.answers.hours import Hour, by_hour
from settings import load
from stores.lake import LEDGER, Lake
from tests.lake import lake_of

NINE = datetime(2026, 3, 15, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
Row = dict[str, object]


def row(
    hour: datetime, kind: str, records: int, first_copies: int, project_id: int | None = 5
) -> dict[str, object]:
    counted = {"hour": hour, "kind": kind, "records": records, "first_copies": first_copies}
    return dict.fromkeys(COLUMNS[LEDGER]) | counted | {"project_id": project_id}


ROWS = [
    row(NINE, "event", 10, 7),
    row(NINE, "event", 5, 5),
    row(NINE, "user_update", 4, 3),
    row(NINE, "rejected", 2, 0, None),
    row(NINE + 2 * HOUR, "cohort", 1, 0),
    row(NINE + 2 * HOUR, "event", 3, 3, 6),
    row(NINE + 3 * HOUR, "event", 1, 1),
]


def test_each_hour_is_there_with_its_records_by_outcome(tmp_path: Path) -> None:
    with lake_of(tmp_path, {LEDGER: (ROWS,)}) as config:
        lake = Lake(load(config).lake_address)
        half, until = NINE + HOUR / 2, NINE + 2 * HOUR + HOUR / 2
        stored = {"stored": 12, "duplicate": 4, "user_update": 3}
        assert by_hour(lake, half, until) == [
            Hour(NINE, stored | {"rejected": 2}),
            Hour(NINE + HOUR, {}),
            Hour(NINE + 2 * HOUR, {"cohort": 1, "stored": 3}),
        ]
        assert [one.outcomes for one in by_hour(lake, half, until, 5)] == [stored, {}, {"cohort": 1}]
        assert by_hour(lake, half, half, 5)[0].records == 19
        lake.catalog.close()
