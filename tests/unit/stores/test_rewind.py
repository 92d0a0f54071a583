"""To which commit each table goes back."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.sinks import COLUMNS
from stores.errors import StoreError
from stores.history import Commit
from stores.lake import EVENT_COUNTS, LEDGER, TABLES
from stores.rewind import planned
from tests.cases import each

A, B, Z = "a" * 32, "b" * 32, "c" * 32
START = datetime(2026, 3, 1, tzinfo=UTC)


def history(*commits: tuple[str, int, int], first: bool = True) -> list[Commit]:
    """Commits of (job, checkpoint, minute), given oldest first, each of which adds ten rows."""
    return [
        Commit(START + timedelta(minutes=at), job, checkpoint, at, 10 * i, first and i == 1)
        for i, (job, checkpoint, at) in enumerate(commits, 1)
    ][::-1]


@each(
    ("table", "snapshot", "rows"),
    [
        (history((A, 3, 3), (A, 4, 4), (A, 5, 5), (A, 6, 6)), 4, 20),
        # nothing was committed with the checkpoint itself
        (history((A, 2, 2), (A, 5, 5)), 2, 10),
        # the job that was restored from the newest one, and one before both whose checkpoints were more
        (history((Z, 9, 1), (A, 4, 4), (B, 6, 7), (B, 7, 8)), 4, 20),
        # a compaction behind the checkpoint stays, one behind what is beyond goes
        (history((A, 4, 4), ("", 0, 5), (A, 5, 6)), 5, 10),
        (history((A, 4, 4), (A, 5, 5), ("", 0, 6)), 4, 20),
        # stopped with --drain
        (history((A, 4, 4), (A, 2**63 - 1, 5)), 4, 10),
        # all that there is came later
        (history((A, 5, 5), (A, 6, 6)), None, 20),
        (history((B, 6, 7)), None, 10),
    ],
)
def test_a_table_goes_back_to_the_newest_commit_before_all_that_is_beyond(
    table: list[Commit], snapshot: int | None, rows: int
) -> None:
    others = history((Z, 9, 1), (A, 3, 3), (A, 4, 4))
    (step,) = planned({EVENT_COUNTS: table, LEDGER: others}, A, 4).steps
    assert (step.table, step.current) == (EVENT_COUNTS, table[0])
    assert (step.back_to and step.back_to.snapshot, step.rows) == (snapshot, rows)


def test_nothing_is_to_do_where_nothing_is_beyond() -> None:
    tables = {EVENT_COUNTS: history((Z, 9, 1), (A, 4, 4)), LEDGER: []}
    assert planned(tables, A, 4) == ([], START + timedelta(minutes=4))


def test_a_savepoint_knows_its_job_by_how_the_id_begins() -> None:
    (step,) = planned({LEDGER: history((A, 4, 4), (B, 6, 6))}, "aaaaaa", 5).steps
    assert step.back_to == step.current._replace(**history((A, 4, 4))[0]._asdict())


def test_what_has_expired_is_not_guessed() -> None:
    lost = {LEDGER: history((A, 4, 4), (A, 5, 5)), EVENT_COUNTS: history((A, 5, 5), (A, 6, 6), first=False)}
    with pytest.raises(StoreError, match=rf"^table {EVENT_COUNTS} cannot be set back to checkpoint 4: that sn"):
        planned(lost, A, 4)
    with pytest.raises(StoreError, match=rf"^no table has a commit of job {B}: what came after its checkpoint 4"):
        planned(lost, B, 4)


def test_every_table_of_the_job_is_set_back() -> None:
    assert tuple(COLUMNS) == TABLES


def test_what_was_stopped_halfway_is_planned_alike_again() -> None:
    histories = {EVENT_COUNTS: history((A, 5, 5), (A, 6, 6)), LEDGER: history((A, 5, 4), (A, 6, 7))}
    first, second = planned(histories, A, 4).steps
    assert (first.table, second.table) == (EVENT_COUNTS, LEDGER)
    histories[EVENT_COUNTS] = []
    assert planned(histories, A, 4).steps == [second]
