"""What waits in a real lake goes on a real stream again, as typed: due, fair, once, by one process."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from errors import OneLineError
from jobs.sinks import EXPORT_COLUMNS
from lab.stack.patience import wait_until
from ops.cli.main import commands
from ops.maintenance.redeliver import Metrics, Redeliverer, redeliverer, watch
from settings import Settings, load
from stores.destinations import Destination, Destinations
from stores.history import history_of, set_back
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, EXPORT_LEDGER, OUTBOX, Lake
from stores.leases import Leases
from stores.stream import Stream
from udfs.export.redelivery import redelivered

SHOP, REVOKED, PAUSED = 434735, 203138, 100011471
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def config(tmp_path: Path, dynamodb_endpoint: str, kinesis_endpoint: str) -> Iterator[Path]:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"\n'
        f'[kinesis]\nendpoint = "{kinesis_endpoint}"\n'
        f'[export]\nstream = "{tmp_path.name}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}/warehouse"\n'
    )
    settings = load(path)
    Stream(settings.export_stream_address).create(2)
    destinations = Destinations(settings.tables_address)
    destinations.create()
    for project_id, state in ((SHOP, "ok"), (REVOKED, "auth_error"), (PAUSED, "paused")):
        destinations.set(
            Destination(project_id, "us", b"sealed", "cdef", state, words="" if state == "ok" else state)
        )
    lake = Lake(settings.lake_address)
    for table in (OUTBOX, EXPORT_LEDGER):
        lake.create(table, EXPORT_COLUMNS[table], [])
    yield path
    lake.catalog.close()


@pytest.fixture
def settings(config: Path) -> Settings:
    return load(config)


def row(project_id: int, event_id: str, attempt: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "event_id": event_id,
        "attempt": attempt,
        "outcome": "waiting",
        "due": NOW - timedelta(seconds=1),
        "event": b'{"insert_id":"%b","n":1e2}' % event_id.encode(),
        "words": "HTTP 503",
        "arrival": NOW - timedelta(minutes=5),
        "shard": "shardId-000000000000",
        "sequence": "49",
    } | more


def commit(settings: Settings, *rows: dict[str, Any], table: str = OUTBOX) -> None:
    found = Lake(settings.lake_address).table(table)
    found.append(pa.Table.from_pylist(list(rows), schema=found.schema().as_arrow()))


def settled(project_id: int, event_id: str, attempt: int) -> dict[str, Any]:
    return row(project_id, event_id, attempt, outcome="accepted", due=None, event=None)


def on_stream(settings: Settings) -> list[tuple[int, int, str]]:
    """Project, attempt and id of each event on the stream."""
    found = [redelivered(record.data) for record in Stream(settings.export_stream_address).records()]
    return sorted((one.project_id, one.attempt, json.loads(bytes(one.event))["insert_id"]) for one in found)


def typed(config: Path, *words: str) -> Result:
    return CliRunner().invoke(commands, [*words, "--config", str(config)], catch_exceptions=False)


def test_what_is_due_goes_with_its_bytes_and_its_first_place(config: Path, settings: Settings) -> None:
    commit(
        settings,
        row(SHOP, "due"),
        row(SHOP, "not due", due=NOW + timedelta(hours=1)),
        row(SHOP, "settled"),
        row(SHOP, "again"),
        row(PAUSED, "paused"),
    )
    commit(settings, settled(SHOP, "settled", 1), row(SHOP, "again", 1))
    assert typed(config, "redeliver").output == "project 434735: 2 events put on the stream again\n"
    assert on_stream(settings) == [(SHOP, 1, "due"), (SHOP, 2, "again")]
    (data,) = [one.data for one in Stream(settings.export_stream_address).records() if b'"due"' in one.data]
    assert b'"event":{"insert_id":"due","n":1e2}' in data
    found = redelivered(data)
    assert (found.arrival, found.shard, found.sequence) == (
        NOW - timedelta(minutes=5),
        "shardId-000000000000",
        "49",
    )


def test_one_process_puts_an_attempt_once_and_a_wrong_key_is_tried_with_one_event(settings: Settings) -> None:
    commit(settings, *(row(SHOP, f"a{at}") for at in range(700)), *(row(REVOKED, f"b{at}") for at in range(3)))
    one = Redeliverer(settings, Metrics())
    assert one.look() == Counter({SHOP: 700, REVOKED: 1})
    assert one.look() == Counter()
    commit(settings, *(settled(SHOP, f"a{at}", 1) for at in range(699)), row(SHOP, "a699", 1))
    assert one.look() == Counter({SHOP: 1})
    destinations = Destinations(settings.tables_address)
    assert destinations.change_state(destinations.get(REVOKED), "ok", "")
    commit(settings, row(REVOKED, "b0", 1))  # the probe, settled
    assert one.look() == Counter({REVOKED: 3})
    assert len(on_stream(settings)) == len(set(on_stream(settings))) == 705


def test_where_tables_were_set_back_all_that_waits_is_put_anew(settings: Settings) -> None:
    commit(settings, row(SHOP, "a", arrival=NOW - timedelta(days=30)))
    one, lake = Redeliverer(settings, Metrics()), Lake(settings.lake_address)
    assert (one.look(), one.look()) == (Counter({SHOP: 1}), Counter())
    for table, done in ((OUTBOX, settled(SHOP, "a", 1)), (EXPORT_LEDGER, {"events": 1})):
        commit(settings, done, table=table)
    assert one.look() == Counter()
    for table in (OUTBOX, EXPORT_LEDGER):
        current, *before = history_of(lake, table)
        set_back(lake, table, current, before[0] if before else None)
    assert one.look() == Counter({SHOP: 1})
    found = [redelivered(record.data) for record in Stream(settings.export_stream_address).records()]
    assert sorted((again.attempt, again.set_back) for again in found) == [(1, 0), (1, 1)]


def test_a_watch_leads_alone_and_tells_what_waits(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    commit(settings, row(SHOP, "a"), row(PAUSED, "b"))
    metrics, stopped = Metrics(), threading.Event()
    with redeliverer(settings):
        thread = threading.Thread(target=watch, args=(settings, metrics, stopped))
        thread.start()
        wait_until(lambda: "redelivers what waits in these tables" in caplog.text, 20)
        assert on_stream(settings) == []
    wait_until(lambda: on_stream(settings) == [(SHOP, 1, "a")], 40)
    stopped.set()
    thread.join(20)
    assert metrics.health() == ""
    values = {
        (one.name, *one.labels.values()): one.value
        for family in metrics.registry.collect()
        for one in family.samples
    }
    assert values["redeliver_events_put_total",] == 1
    assert values["redeliver_events_waiting", "ok"] == values["redeliver_events_waiting", "paused"] == 1
    assert values["redeliver_longest_wait_seconds", "paused"] >= 300


def test_waiting_says_how_many_since_when_why_and_when_next(config: Path, settings: Settings) -> None:
    assert typed(config, "destinations", "waiting").output == "nothing waits\n"
    commit(settings, row(SHOP, "a"), row(SHOP, "b", due=NOW + timedelta(hours=1)), row(PAUSED, "c"))
    found = {
        one["project_id"]: one for one in json.loads(typed(config, "destinations", "waiting", "--json").output)
    }
    assert found[SHOP] == {
        "project_id": SHOP,
        "events": 2,
        "since": str(NOW - timedelta(minutes=5)),
        "state": "ok",
        "why": "HTTP 503",
        "due": str(NOW - timedelta(seconds=1)),
    }
    assert (found[PAUSED]["why"], found[PAUSED]["due"]) == ("paused", None)
    shown = typed(config, "destinations", "waiting", str(PAUSED)).output
    assert "paused" in shown
    assert str(SHOP) not in shown


def of_doctor(config: Path) -> dict[str, str]:
    """What it says of redeliver."""
    away = "http://127.0.0.1:9"
    said = json.loads(typed(config, "doctor", "--flink", away, "--watch", away, "--json").stdout)
    (found,) = [one for one in said["findings"] if one["name"] == "redeliver"]
    return found  # type: ignore[no-any-return]  of JSON


def test_what_is_overdue_is_told_by_doctor_and_waiting_until_it_has_gone(config: Path, settings: Settings) -> None:
    hint = "does `redeliver --watch` run?"
    Leases(settings.tables_address).create()
    commit(
        settings,
        row(SHOP, "late", due=NOW - timedelta(minutes=11)),
        row(PAUSED, "b", due=NOW - timedelta(days=1)),
    )
    told = f"events of {SHOP} are due for more than 10 minutes: {hint}\n"
    assert typed(config, "destinations", "waiting").output.endswith(told)
    assert of_doctor(config) | {"words": ""} == {
        "name": "redeliver",
        "state": "failed",
        "words": "",
        "fix": f"{hint} start it: amplitude-bridge redeliver --watch",
    }
    with redeliverer(settings):
        assert of_doctor(config)["state"] == "warning"
    commit(settings, settled(SHOP, "late", 1))
    assert hint not in typed(config, "destinations", "waiting").output
    assert of_doctor(config)["words"] == "1 events wait, and none is overdue"


Rows = list[tuple[str, dict[str, Any]]]
"""Rows, each with its table."""


def refusal(event_id: str, attempt: int = 0, reason: str = "silenced", **more: Any) -> Rows:
    """An attempt that was refused."""
    payload = b'{"insert_id":"%b"}' % event_id.encode()
    same = row(SHOP, event_id, attempt, outcome="refused", kind="refused", reason=reason, payload=payload)
    return [(DELIVERIES, same | more), (EXPORT_DEAD_LETTERS, same | more)]


def test_what_was_refused_is_put_again_as_its_next_attempt(config: Path, settings: Settings) -> None:
    lake = Lake(settings.lake_address)
    early = {"arrival": NOW - timedelta(days=1)}
    made = [
        *(*refusal("a"), *refusal("b", reason="blocked_by_amplitude"), *refusal("early", **early)),
        *(*refusal("twice"), *refusal("twice", 1), *refusal("erased", payload=None)),
        *(*refusal("taken"), (DELIVERIES, row(SHOP, "taken", 1))),
        (DELIVERIES, row(SHOP, "fine", outcome="accepted")),
    ]
    for table in (DELIVERIES, EXPORT_DEAD_LETTERS):
        lake.create(table, EXPORT_COLUMNS[table], [])
        commit(settings, *(one for name, one in made if name == table), table=table)
    words = ("destinations", "replay", str(SHOP), "--since", "1h")
    said = typed(config, *words, "--dry-run").output
    assert said == "blocked_by_amplitude: 1\nsilenced: 3\nto be put on the stream again: 4\n"
    assert on_stream(settings) == []
    blocked = typed(config, *words, "--reason", "blocked_by_amplitude")
    assert blocked.stdout == "blocked_by_amplitude: 1\nput on the stream again: 1\n"
    all_of_it = typed(config, *words, "--rate", "2000")
    assert all_of_it.stdout.endswith("put on the stream again: 3\nleft out, erased since: 1\n")
    assert on_stream(settings) == [(SHOP, 1, "a"), (SHOP, 1, "b"), (SHOP, 1, "b"), (SHOP, 2, "twice")]
    reasons = {redelivered(one.data).refused for one in Stream(settings.export_stream_address).records()}
    assert reasons == {"silenced", "blocked_by_amplitude"}


@pytest.mark.parametrize(
    ("project_id", "why"),
    [
        (REVOKED, "the destination of project 203138 is auth_error since "),
        (PAUSED, "the destination of project 100011471 is paused since "),
        (1, "project 1 has no destination: destinations set makes one"),
    ],
)
def test_a_replay_is_refused_in_a_line_while_nothing_is_sent(config: Path, project_id: int, why: str) -> None:
    done = CliRunner().invoke(commands, ["destinations", "replay", str(project_id), "--config", str(config)])
    assert done.exit_code
    assert why in done.output + str(done.exception)


def test_an_event_is_explained_by_its_attempts(config: Path, settings: Settings) -> None:
    lake = Lake(settings.lake_address)
    lake.create(DELIVERIES, EXPORT_COLUMNS[DELIVERIES], [])
    same = {"reason": "failed", "answered": NOW}
    commit(settings, row(SHOP, "a", **same), row(SHOP, "a", 1, outcome="accepted", words=None), table=DELIVERIES)
    commit(settings, row(SHOP, "b", **same), table=DELIVERIES)
    commit(settings, row(SHOP, "a"), settled(SHOP, "a", 1), row(SHOP, "b"))
    words = ("destinations", "explain", str(SHOP))
    found = json.loads(typed(config, *words, "a", "--json").output)
    assert [(one["attempt"], one["outcome"], one["words"]) for one in found] == [
        (0, "waiting", "HTTP 503"),
        (1, "accepted", None),
    ]
    said = typed(config, *words, "b").output
    assert f"in {found[0]['shard']} as 49" in said
    assert ("HTTP 503" in said, f"{NOW - timedelta(seconds=1):%H:%M:%S}" in said) == (True, True)
    unknown = typed(config, *words, "c")
    assert (unknown.exit_code, "no attempt to send event c" in unknown.output) == (1, True)


def test_a_message_event_is_put_and_what_is_none_is_refused_in_one_line(config: Path, settings: Settings) -> None:
    file = config.parent / "event.json"
    event = {"version": 1, "event_id": "e-1", "message_id": "m", "notifly_project": "shop", "kind": "sent"}
    file.write_text(json.dumps(event | {"channel": "push", "time": 1_773_000_000_000, "user_id": "u"}))
    said = typed(config, "destinations", "put", str(file)).output
    assert "destinations explain PROJECT_ID e-1" in said
    (record,) = Stream(settings.export_stream_address).records()
    assert (record.data, said.startswith(f"{record.shard}:{record.sequence}\n")) == (file.read_bytes(), True)
    file.write_text(json.dumps(event))
    with pytest.raises(OneLineError, match="is no message event: Object missing required field `channel`"):
        typed(config, "destinations", "put", str(file))
