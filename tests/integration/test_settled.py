"""What is settled leaves the outbox beside others who write there; what waits and what is counted stay."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ops.answers.export_ledger import unbalanced
from ops.answers.waiting import ERASED, waiting
from ops.maintenance.settled import remove_settled
from settings import load
from stores.history import history_of
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, EXPORT_LEDGER, OUTBOX, Lake
from stores.rewrite import Rewriting
from tests.integration.test_export_ledger import counted, row
from tests.lake import lake_of


def out(event_id: str, *outcomes: str) -> list[dict[str, Any]]:
    """The rows of an event, an attempt each."""
    events = (b"{}" if outcome == "waiting" else None for outcome in outcomes)
    return [
        row(OUTBOX, event_id=event_id, attempt=attempt, outcome=outcome, event=event)
        for attempt, (outcome, event) in enumerate(zip(outcomes, events, strict=True))
    ]


GROUPS = [
    [*out("taken", "waiting", "waiting", "accepted"), *out("waits", "waiting", "waiting")],
    [*out("refused", "waiting", "refused"), *out("gone", ERASED), *out("twice", "waiting", "waiting", "accepted")],
    out("taken too", "waiting", "accepted"),
]
COUNTED = [
    *(counted("first", 6), counted("waiting", 6, reason="failed")),
    *(counted("first", 7, again=True), counted("waiting", 3, again=True, reason="failed")),
    *(counted("accepted", 3, again=True), counted("refused", 1, again=True, reason="silenced")),
]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    tables = {OUTBOX: GROUPS, EXPORT_LEDGER: [COUNTED], DELIVERIES: [], EXPORT_DEAD_LETTERS: []}
    with lake_of(tmp_path, tables) as config:
        yield Lake(load(config).lake_address)


def left(lake: Lake) -> list[tuple[str, int, str]]:
    found = lake.rows(OUTBOX).to_pylist()
    return sorted((one["event_id"], one["attempt"], one["outcome"]) for one in found)


def add(lake: Lake, rows: list[dict[str, Any]]) -> None:
    table = lake.table(OUTBOX)
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()), {"flink.job-id": "j"})


def residuals(lake: Lake) -> list[str]:
    return [str(one) for one in unbalanced(lake) if one.account.what == "waiting"]


def test_settled_rows_go_and_what_waits_stays(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = waiting(lake).to_pylist()
    assert (residuals(lake), [one["event_id"] for one in before]) == ([], ["waits"])
    commit = Rewriting.commit

    def beside(rewriting: Rewriting, exchanges: Any) -> bool:
        """The job commits between the look and the exchange: one event is settled, another one begins to wait."""
        add(lake, [out("waits", "", "", "accepted")[2], *out("new", "waiting")])
        return commit(rewriting, exchanges)

    monkeypatch.setattr(Rewriting, "commit", beside)
    assert remove_settled(lake) == 11
    assert left(lake) == [
        *(("gone", 0, ERASED), ("new", 0, "waiting"), ("waits", 1, "waiting"), ("waits", 2, "accepted")),
    ]
    assert [one["event_id"] for one in waiting(lake).to_pylist()] == ["new"]
    assert {one.attempt for one in history_of(lake, OUTBOX)} == {""}


def test_the_ledger_balances_as_before(lake: Lake) -> None:
    assert remove_settled(lake) == 11
    assert (left(lake), residuals(lake)) == ([("gone", 0, ERASED), ("waits", 1, "waiting")], [])


def test_few_settled_rows_stay_and_a_kill_changes_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Rewriting, "commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            remove_settled(lake)
    assert len(left(lake)) == 13
    add(lake, [one for n in range(12) for one in out(f"new {n}", "waiting")])
    assert (remove_settled(lake), len(left(lake))) == (0, 25)
    assert len(waiting(lake)) == 13
