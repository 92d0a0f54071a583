"""The export job's real graph on a mini cluster: files for the stream, a test's sender, all else real."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment

from jobs.export import ends, graph
from jobs.export.submit import create_tables
from jobs.gateway import table_environment
from jobs.stages import BUNDLE, operators
from ops.answers.export_ledger import outcomes, unbalanced
from ops.answers.refused import Refusal, conditions, refused
from ops.answers.waiting import waiting
from ops.maintenance.replay_refused import records
from stores.destinations import Destination, Destinations
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, EXPORT_LEDGER, OUTBOX, Lake
from stores.project import linked
from stores.projects import Projects
from tests.builders import OTHER_PROJECT, PROJECT
from tests.integration import cluster
from tests.integration.cluster import Arrival, Place
from tests.integration.test_operators import retention_ms
from udfs.export.redelivery import again
from udfs.export.sender import Answer, Due, Outcome

AT = datetime(2026, 3, 15, 9, 30, 30, tzinfo=UTC)


class Sender:
    """Answers as the user's id says, in place of Amplitude; notes each event that it is asked to send."""

    requests = closed = 0

    def __init__(self, asked: Path) -> None:
        self.asked = asked

    def send(self, rows: list[Due]) -> list[Answer]:
        with self.asked.open("a") as file:
            file.writelines(f"{row.project_id} {insert_id(row.event)} {row.attempt}\n" for row in rows)
        return [_answer(row) for row in rows]


def insert_id(event: bytes) -> str:
    return str(msgspec.json.decode(event)["insert_id"])


def _answer(row: Due) -> Answer:
    user = msgspec.json.decode(row.event)["user_id"]
    if user == "bad":
        return Answer(Outcome.REFUSED, "invalid_field", "events_with_invalid_fields: time")
    if user == "mended" and row.attempt < 2:
        return Answer(Outcome.REFUSED, ("silenced", "blocked_by_amplitude")[row.attempt], "HTTP 403")
    if user == "mended" and row.attempt == 2:
        return Answer(Outcome.WAITING, "failed", "HTTP 503", 60.0)
    if user == "slow" and not row.attempt:
        return Answer(Outcome.WAITING, "failed", "HTTP 503", 60.0)
    return Answer(Outcome.ACCEPTED)


def event(event_id: str, user: str = "u", project: str = "acme", **more: Any) -> bytes:
    fields = {"version": 1, "event_id": event_id, "message_id": "m", "notifly_project": project, "kind": "sent"}
    return msgspec.json.encode(fields | {"channel": "push", "time": 1_773_567_030_000, "user_id": user} | more)


def arrivals(*payloads: bytes, at: datetime = AT) -> list[Arrival]:
    return [Arrival(payload, at, "shard-0", str(n)) for n, payload in enumerate(payloads)]


def built(where: Place, asked: Path) -> StreamExecutionEnvironment:
    configuration = Configuration()
    for key, value in cluster.OPTIONS.items():
        configuration.set_string(key, value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_parallelism(2)
    tables = table_environment(env)
    given = ends.production(tables, where.settings, cluster.records(tables, where.records))
    given = given._replace(open_sender=partial(Sender, asked))
    graph.build(env, tables, given, timedelta(seconds=1))
    return env


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    return lake.rows(table).to_pylist()


def ledger(lake: Lake) -> Counter[tuple[Any, ...]]:
    counts: Counter[tuple[Any, ...]] = Counter()
    for row in rows(lake, EXPORT_LEDGER):
        counts[row["project_id"], row["redelivery"], row["outcome"], row["reason"]] += row["events"]
    return counts


def test_every_event_is_sent_once_and_ends_in_one_place(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [])
    lake, asked = Lake(where.settings.lake_address), tmp_path / "asked"
    create_tables(where.settings)
    connect(where)
    put = [
        *(event("e1"), event("e1"), event("e2", "bad"), event("e3", "slow"), event("e4", project="globex")),
        *(b'{"version":1}', b"\xff"),
    ]
    with cluster.running(built(where, asked)) as job:
        cluster.write(where.records, "first", arrivals(*put))
        cluster.until(lambda: ledger(lake).total(), lambda found: found == 23, job)
        due = [again(row, row["event"], 1, set_back=times) for row in waited(lake) for times in (1, 0, 0)]
        cluster.write(where.records, "second", arrivals(*due, at=AT + timedelta(hours=2)))
        counts = cluster.until(lambda: ledger(lake), lambda found: found.total() == 28, job)
        assert cluster.until(lambda: unbalanced(lake), lambda found: found == [], job) == []
    assert counts == {
        **{(project, False, *what): n for project in (PROJECT, OTHER_PROJECT) for what, n in OF_EACH.items()},
        (PROJECT, False, "due", None): 4,
        (OTHER_PROJECT, False, "due", "further_project"): 4,
        (PROJECT, True, "due", None): 3,  # the first is of tables that were set back since
        (PROJECT, True, "first", None): 1,
        (PROJECT, True, "accepted", None): 1,
        (None, False, "ignored", "no_destination"): 1,
        (None, False, "rejected", "invalid_event"): 1,
        (None, False, "rejected", "invalid_json"): 1,
    }
    both = [f"{project} {one} 0" for project in (PROJECT, OTHER_PROJECT) for one in ("e1", "e2", "e3")]
    assert sorted(asked.read_text().splitlines()) == sorted([*both, f"{PROJECT} e3 1"])
    # what came of the second attempt is at the place and hour of the first
    assert {(row["shard"], row["arrival"]) for row in rows(lake, DELIVERIES)} == {("shard-0", AT)}
    settled = [(row["attempt"], row["outcome"], row["event"] and insert_id(row["event"])) for row in waited(lake)]
    assert settled == [(0, "waiting", "e3"), (1, "accepted", None)]
    letters = [(row["kind"], row["reason"], row["payload"]) for row in rows(lake, EXPORT_DEAD_LETTERS)]
    refused = [payload for kind, _, payload in letters if kind == "refused"]
    assert [insert_id(payload) for payload in refused] == ["e2", "e2"]
    assert sorted(one for one in letters if one[0] == "rejected") == [
        ("rejected", "invalid_event", b'{"version":1}'),
        ("rejected", "invalid_json", b"\xff"),
    ]


def test_a_refusal_is_replayed_until_it_is_accepted_and_all_is_accounted_for(
    tmp_path: Path, dynamodb_endpoint: str
) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [])
    lake, asked = Lake(where.settings.lake_address), tmp_path / "asked"
    create_tables(where.settings)
    connect(where)
    mine = conditions(PROJECT, AT, AT + timedelta(seconds=1))

    def replayed(at: int) -> dict[str, Refusal]:
        """Replay what is refused, each record twice as after a kill; what was."""
        found = refused(lake, mine)
        put = [data for _, data in records(lake, mine, found)]
        cluster.write(where.records, f"replay {at}", arrivals(*put, *put, at=AT + timedelta(hours=at)))
        return found

    def at_rest(events: int) -> list[dict[str, Any]]:
        cluster.until(lambda: ledger(lake).total(), lambda found: found == events, job)
        assert cluster.until(lambda: unbalanced(lake), lambda found: found == [], job) == []
        return [row for row in outcomes(lake) if row["project_id"] == PROJECT]

    with cluster.running(built(where, asked)) as job:
        cluster.write(where.records, "first", arrivals(event("e1", "mended"), event("e2")))
        assert at_rest(12) == [of(Outcome.ACCEPTED), of(Outcome.REFUSED, "silenced")]
        assert replayed(1) == {"e1": (0, "silenced")}
        assert at_rest(16) == [of(Outcome.ACCEPTED), of("duplicate"), of(Outcome.REFUSED, "blocked_by_amplitude")]
        assert replayed(2) == {"e1": (1, "blocked_by_amplitude")}
        assert at_rest(20) == [of(Outcome.ACCEPTED), of("duplicate", events=2), of(Outcome.WAITING)]
        assert replayed(3) == {}
        (waits,) = (one for one in waiting(lake).to_pylist() if one["project_id"] == PROJECT)
        (row,) = (row for row in waited(lake) if row["attempt"] == waits["attempt"] == 2)
        cluster.write(where.records, "due", arrivals(again(row, row["event"], 3)))
        assert at_rest(23) == [of(Outcome.ACCEPTED, events=2), of("duplicate", events=2)]
        assert replayed(4) == {}
    assert Counter(asked.read_text().splitlines()) == Counter(
        [f"{PROJECT} e1 {attempt}" for attempt in range(4)]
        + [f"{PROJECT} e2 0", f"{OTHER_PROJECT} e1 0", f"{OTHER_PROJECT} e2 0"]
    )


def of(outcome: str, reason: str | None = None, events: int = 1) -> dict[str, Any]:
    return {"project_id": PROJECT, "outcome": outcome, "reason": reason, "events": events}


OF_EACH = {
    ("first", None): 3,
    ("accepted", None): 1,
    ("refused", "invalid_field"): 1,
    ("waiting", "failed"): 1,
}


def connect(where: Place) -> None:
    """acme belongs to two Amplitude projects that have a destination, globex to one that has none."""
    projects, destinations = Projects(where.settings.tables_address), Destinations(where.settings.tables_address)
    projects.allow("acme", 2)
    for one in (linked(PROJECT, "acme"), linked(OTHER_PROJECT, "acme"), linked(3, "globex")):
        projects.add(one)
    for project_id in (PROJECT, OTHER_PROJECT):
        destinations.set(Destination(project_id, "us", b"sealed", "cdef"))


def waited(lake: Lake) -> list[dict[str, Any]]:
    """The outbox of one project, in order."""
    return sorted((row for row in rows(lake, OUTBOX) if row["project_id"] == PROJECT), key=itemgetter("attempt"))


def test_state_is_found_by_these_uids_and_python_runs_twice(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [])
    create_tables(where.settings)
    env = built(where, tmp_path / "asked")
    found = {operator.getUid(): operator for operator in operators(env._j_stream_execution_environment)}
    stores = ("deliveries", "outbox", "dead-letters", "ledger")
    assert found.keys() >= {
        *("render-records", "first-sent-deduplicate", "count-window"),
        *(f"{table}-{operator}" for table in stores for operator in ("writer", "committer")),
    }
    assert [uid for uid in found if uid.endswith("python")] == ["render-python", "deliver-python"]
    assert [uid for uid in found if re.search(r"\d{2}|\$|_\d", uid)] == []
    assert retention_ms(found["first-sent-deduplicate"]) == timedelta(days=8).total_seconds() * 1000
    assert {stage: rows_of(found[f"{stage}-python"]) for stage in ("render", "deliver")} == {
        "render": {option: cluster.OPTIONS[option] for option in BUNDLE},
        "deliver": dict.fromkeys(BUNDLE, "4000"),
    }


def rows_of(operator: Any) -> dict[str, str]:
    """Of a Python operator: rows of a bundle and of a call."""
    options = operator.getOperatorFactory().getOperator().getConfiguration().toMap()
    return {option: options[option] for option in BUNDLE}
