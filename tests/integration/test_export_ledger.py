"""The export ledger beside its tables: what is accounted for, and what is not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from jobs.sinks import EXPORT_COLUMNS
from ops.answers.export_ledger import streamed, unbalanced
from ops.answers.ledger import residuals
from ops.cli.main import commands
from settings import load
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, EXPORT_LEDGER, OUTBOX, Lake
from stores.stream import Stream, StreamAddress
from tests.lake import lake_of
from udfs.export.redelivery import again

AT = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)
PLACE = {"arrival": AT, "hour": AT.replace(minute=0), "shard": "s", "sequence": "1", "project_id": 7}


def row(table: str, **values: object) -> dict[str, Any]:
    return {name: (PLACE | values).get(name) for name in EXPORT_COLUMNS[table]}


def counted(outcome: str, events: int, *, again: bool = False, reason: str | None = None) -> dict[str, Any]:
    return row(EXPORT_LEDGER, outcome=outcome, events=events, redelivery=again, reason=reason)


# a was accepted, b refused, c waited and was accepted, d waits; a and c came twice
ROWS = {
    EXPORT_LEDGER: [
        *(
            counted("due", 6),
            counted("first", 4),
            counted("accepted", 1),
            counted("refused", 1, reason="silenced"),
        ),
        *(counted("waiting", 2, reason="failed"), counted("due", 1, again=True), counted("first", 1, again=True)),
        *(counted("accepted", 1, again=True), counted("rejected", 3, reason="invalid_json")),
    ],
    DELIVERIES: [
        *(row(DELIVERIES, event_id=one, attempt=0, outcome="any") for one in "abcd"),
        row(DELIVERIES, event_id="c", attempt=1, outcome="accepted"),
    ],
    OUTBOX: [
        *(row(OUTBOX, event_id=one, attempt=0, outcome="waiting") for one in "cd"),
        row(OUTBOX, event_id="c", attempt=1, outcome="accepted"),
    ],
    EXPORT_DEAD_LETTERS: [
        *(row(EXPORT_DEAD_LETTERS, kind="rejected", reason="invalid_json") for _ in range(3)),
        row(EXPORT_DEAD_LETTERS, kind="refused", reason="silenced"),
    ],
}


@contextmanager
def lake(folder: Path, rows: dict[str, list[dict[str, Any]]]) -> Iterator[Path]:
    with lake_of(folder, {table: [some] for table, some in rows.items()}) as config:
        yield config


def test_what_became_of_message_events_is_shown(tmp_path: Path) -> None:
    with lake(tmp_path, ROWS) as config:
        words = ["ledger", "--config", str(config), "show", "--export", "--json"]
        done = CliRunner().invoke(commands, words)
    found = {(one["outcome"], one["reason"]): one["events"] for one in json.loads(done.stdout)}
    assert found == {
        ("accepted", None): 2,
        ("refused", "silenced"): 1,
        ("waiting", None): 1,
        ("duplicate", None): 2,
        ("rejected", "invalid_json"): 3,
    }


def test_all_is_accounted_for(tmp_path: Path) -> None:
    with lake(tmp_path, ROWS) as config:
        assert unbalanced(Lake(load(config).lake_address)) == []


def test_a_row_that_is_missing_is_a_residual(tmp_path: Path) -> None:
    rows = {**ROWS, OUTBOX: ROWS[OUTBOX][:2], EXPORT_DEAD_LETTERS: ROWS[EXPORT_DEAD_LETTERS][:2]}
    with lake(tmp_path, rows) as config:
        found = [str(one) for one in unbalanced(Lake(load(config).lake_address))]
    place = "2026-03-15 09:00, shard s, project 7: counted"
    assert found == [
        f"waiting, {place} 1 events, found 2",
        f"invalid_json, {place} 3 dead letters, found 2",
        f"silenced, {place} 1 dead letters, found 0",
    ]


def test_the_stream_is_compared_but_for_what_was_put_there_again(tmp_path: Path, kinesis_endpoint: str) -> None:
    stream = Stream(StreamAddress(tmp_path.name, "ap-northeast-2", kinesis_endpoint))
    stream.create(1)
    waited = again(PLACE, b"{}", 1)
    put = [("k", data) for data in (b"for two projects", b"for nobody", b"bad", b"missed", waited)]
    assert sum(stream.put(put)) == len(put)
    arrival, *_ = (one.arrival for one in stream.records())
    here = {"hour": arrival.replace(minute=0, second=0, microsecond=0), "shard": stream.open_shards()[0]}
    made = [
        *(
            counted("due", 1),
            counted("due", 1, reason="further_project"),
            counted("first", 2),
            counted("accepted", 2),
        ),
        *(counted("ignored", 1, reason="no_destination"), counted("rejected", 1, reason="invalid_json")),
        *(counted("rejected", 1, reason="invalid_redelivery"), counted("due", 1, reason="silenced")),
        counted("due", 1, again=True),
    ]
    with lake(tmp_path, {**ROWS, EXPORT_LEDGER: [one | here for one in made]}) as config:
        found = residuals(*streamed(Lake(load(config).lake_address), stream)["export stream"])
    assert [(one.account.what, one.account.project, one.counted, one.found) for one in found] == [
        ("export stream", "", 3, 4)
    ]


def test_without_an_export_job_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with lake(tmp_path, {}) as config:
        assert unbalanced(Lake(load(config).lake_address)) == []
