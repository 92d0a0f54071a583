"""A project's rules through the real job, and the commands that set them: what is stored, counted and metered."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lab.stack.patience import scaled
from ops.answers import ledger
from ops.answers.trace import trace
from ops.cli.main import main
from stores.errors import StoreError
from stores.lake import COHORT_CHANGES, COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Lake
from stores.profiles import Profiles
from stores.project import linked
from stores.projects import Projects
from stores.rules import rules_of
from tests.builders import OTHER_PROJECT, PROJECT, USER, Record, cohort, encode, event, user_update
from tests.integration import cluster
from tests.integration.cluster import Arrival

NOW = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
SECRET = "010-1234-5678"
HASHED = sha256(SECRET.encode()).hexdigest()
DOCUMENT = {
    "field_rules": {"event_properties.card.number": "drop", "ip_address": "drop", "user_properties.phone": "hash"},
    "event_filters": [{"event": "Heartbeat"}, {"where": {"event_properties.env": "test"}}],
}
PAID: Record = {"ip_address": SECRET, "event_properties": {"card": [{"number": SECRET, "kind": "visa"}]}}
OWN: list[Record] = [
    *(event(uuid=f"paid-{n}", event_type="Paid", **PAID) for n in (1, 2, 2)),
    *(event(uuid=f"beat-{n}", event_type="Heartbeat", **PAID) for n in (1, 2, 2)),
    event(uuid="tried", event_type="Paid", event_properties={"env": "test", "card": {"number": SECRET}}),
    event(uuid="ours", event_type="[Notifly] sent", ip_address=SECRET),
    {"app": PROJECT, "ip_address": SECRET},
    user_update(uuid="set", user_properties={"$set": {"phone": SECRET, "plan": "pro"}, "$append": {"log": 1}}),
    cohort(users=[{"user_id": USER, "user_properties": {"phone": SECRET}}]),
]
OTHERS = [event(uuid="beat-1", event_type="Heartbeat", app=OTHER_PROJECT, ip_address="203.0.113.7")]
OUTCOMES = {
    (PROJECT, "event", None): 3,
    (PROJECT, "filtered", "filtered"): 4,
    (PROJECT, "control", "own_event"): 1,
    (PROJECT, "rejected", "event_type_missing"): 1,
    (PROJECT, "user_update", None): 1,
    (PROJECT, "cohort", None): 1,
    (OTHER_PROJECT, "event", None): 1,
}


def arrivals(records: list[Record], start: int = 0) -> list[Arrival]:
    return [
        Arrival(encode(record), NOW + timedelta(milliseconds=n), "shardId-000000000000", str(10**50 + n))
        for n, record in enumerate(records, start)
    ]


def everything(folder: Path) -> str:
    """All that the lake's files hold, whether a table still knows them or not."""
    files = [path for path in (folder / "warehouse").rglob("*") if path.is_file()]
    cells = (pq.read_table(path).to_pylist() for path in files if path.suffix == ".parquet")
    return repr([*cells, *(path.read_bytes() for path in files)])


def outcomes(lake: Lake) -> dict[tuple[Any, ...], int]:
    rows = ledger.summed(lake, ("project_id", "kind", "reason"))
    return {(row["project_id"], row["kind"], row["reason"]): row["records"] for row in rows}


def test_rules_hold_before_anything_is_stored_or_metered(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [linked(PROJECT, "acme"), linked(OTHER_PROJECT, "globex")],
                          {"gs72ns": PROJECT})  # fmt: skip
    registry, lake = Projects(where.settings.tables_address), Lake(where.settings.lake_address)
    registry.set_rules(PROJECT, lambda _: rules_of(DOCUMENT))
    fed = arrivals([*OWN, *OTHERS])
    cluster.write(where.records, "fed.json", fed)
    balanced = partial(ledger.unbalanced, where.settings)
    with cluster.running(cluster.build(where, 1, timedelta(days=40))) as job:
        found = cluster.at_rest(where, job, len(fed))
        assert cluster.until(balanced, lambda some: some == [], job) == []
        assert {(u.project_id, u.records, u.events, u.updates) for u in found.usage} == {
            (PROJECT, 3, 2, 1),
            (OTHER_PROJECT, 1, 1, 0),
        }
        assert outcomes(lake) == OUTCOMES
        assert_what_is_stored(lake)
        read = lambda: Profiles(where.settings.tables_address).of_users([(PROJECT, USER)])[PROJECT, USER]  # noqa: E731
        profile = cluster.until(read, lambda one: one.version, job)
        assert json.loads(profile.properties) == {"phone": HASHED, "plan": "pro", "log": [1]}
        assert SECRET not in everything(tmp_path)
        assert HASHED in everything(tmp_path)
        (kept_out,) = trace(lake, fed[3].shard, fed[3].sequence, None, NOW - timedelta(hours=1))
        assert (kept_out["table"], kept_out["reason"], kept_out["detail"]) == (
            *(DEAD_LETTERS, "filtered"),
            "event 'Heartbeat'",
        )

        # a filter ends: a copy of what it kept out is a first copy; of what was stored, still a duplicate
        registry.set_rules(PROJECT, lambda rules: rules._replace(event_filters=()))
        time.sleep(scaled(1.5))
        cluster.write(where.records, "again.json", arrivals([OWN[3], OWN[0]], len(fed)))
        after = cluster.at_rest(where, job, len(fed) + 2)
        assert cluster.until(balanced, lambda some: some == [], job) == []
    assert {(u.project_id, u.records, u.events) for u in after.usage} == {(PROJECT, 5, 3), (OTHER_PROJECT, 1, 1)}
    assert SECRET not in everything(tmp_path)


def assert_what_is_stored(lake: Lake) -> None:
    events = [row for row in lake.rows(EVENT_STORE).to_pylist() if row["project_id"] == PROJECT]
    assert Counter(row["uuid"] for row in events) == {"paid-1": 1, "paid-2": 1}
    for row in events:
        assert (row["ip_address"], row["event_properties"]) == (None, '{"card":[{"kind":"visa"}]}')
        assert row["repairs"] == "field_rule:event_properties.card.number field_rule:ip_address"
    (other,) = (row for row in lake.rows(EVENT_STORE).to_pylist() if row["project_id"] == OTHER_PROJECT)
    assert (other["ip_address"], other["repairs"]) == ("203.0.113.7", None)
    (update,) = lake.rows(USER_UPDATES).to_pylist()
    assert update["user_properties"] == f'{{"$set":{{"phone":"{HASHED}","plan":"pro"}},"$append":{{"log":1}}}}'
    (message,) = lake.rows(COHORT_MESSAGES).to_pylist()
    assert json.loads(message["payload"])["users"] == [{"user_id": USER, "user_properties": {"phone": HASHED}}]
    (change,) = lake.rows(COHORT_CHANGES).to_pylist()
    assert change["user_properties"] == f'{{"phone":"{HASHED}"}}'
    letters = lake.rows(DEAD_LETTERS).to_pylist()
    assert {row["payload"] for row in letters} == {None}
    assert Counter(row["reason"] for row in letters) == {"filtered": 4, "own_event": 1, "event_type_missing": 1}


@pytest.fixture
def command(
    tmp_path: Path, dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a command as typed: its exit code, and what it says."""
    config = tmp_path / "job.toml"
    lake = f'catalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}"'
    tables = f'endpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"'
    config.write_text(f"[lake]\n{lake}\n[dynamodb]\n{tables}\n")

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["amplitude-bridge", "--config", str(config), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


SOON = "workers know it within 15 s; what is stored stays\n"


def test_rules_are_set_shown_and_ended(command: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    command("projects", "add", "1", "acme")
    assert command("projects", "fields", "1") == (
        0,
        "Amplitude project 1\n  field rules  none\n  filters      none\n",
    )
    changed = command("projects", "fields", "1", "--drop", "ip_address", "--hash", "user_properties.phone")
    rules = "  field rules  ip_address dropped; user_properties.phone hashed\n"
    assert changed == (0, f"Amplitude project 1\n{rules}  filters      none\n{SOON}")
    command("projects", "filters", "1", "--event", "Heartbeat")
    assert command("projects", "filters", "1", "--where", "event_properties.env=a=b", "--where", "city=Seoul") == (
        0,
        f"Amplitude project 1\n{rules}  filters      1: 'Heartbeat'; 2: any event and city=Seoul and "
        f"event_properties.env=a=b\n{SOON}",
    )
    shown = json.loads(command("projects", "show", "1", "--json")[1])
    assert (shown["field_rules"], shown["event_filters"]) == (
        {"ip_address": "drop", "user_properties.phone": "hash"},
        [{"event": "Heartbeat", "where": {}}, {"where": {"city": "Seoul", "event_properties.env": "a=b"}}],
    )
    (tmp_path / "a.json").write_bytes(encode(event(app=1, event_type="Heartbeat")))
    said = command("explain-record", "--rules", "1", "--project", "1=acme", str(tmp_path / "a.json"))[1]
    assert said.startswith("filtered: filtered\n  project  1\n  detail   event 'Heartbeat'\n")
    command("projects", "unlink", "1")
    command("projects", "link", "1")
    command("projects", "filters", "1", "--remove", "1", "--event", "Ping")
    assert command("projects", "fields", "1", "--keep", "ip_address", "--keep", "user_properties.phone")[1] == (
        "Amplitude project 1\n  field rules  none\n"
        f"  filters      1: any event and city=Seoul and event_properties.env=a=b; 2: 'Ping'\n{SOON}"
    )
    assert command("projects", "filters", "1", "--remove", "1", "--remove", "2")[0] == 0
    assert json.loads(command("projects", "show", "1", "--json")[1])["event_filters"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fields", "1", "--drop", "user_id"],
         "amplitude-bridge: field rule 'user_id': user_id stays as it is: profiles, cohorts and erasure find"),
        (["fields", "1", "--keep", "city"],
         "amplitude-bridge: there is no field rule city: projects fields 1 shows them\n"),
        (["fields", "1", "--drop", "city", "--hash", "city"], "city: named twice, for different things\n"),
        (["filters", "1", "--remove", "1"],
         "amplitude-bridge: there is no event filter 1: projects filters 1 shows them\n"),
        (["filters", "1", "--event", ""], "amplitude-bridge: event filter: name an event, a path with a text"),
        (["filters", "1", "--where", "city"], "'city' is not PATH=TEXT, such as event_properties.env=test\n"),
        (["fields", "2", "--drop", "city"],
         "amplitude-bridge: Amplitude project 2 is not registered: projects add registers it\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, command: Callable[..., tuple[int, str]]
) -> None:
    command("projects", "add", "1", "acme")
    code, found = command("projects", *words)
    assert code == 2
    assert said in found
    assert json.loads(command("projects", "show", "1", "--json")[1])["field_rules"] == {}


def test_an_item_with_a_rule_that_may_not_be_is_named(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [linked(PROJECT, "acme")])
    registry = Projects(where.settings.tables_address)
    registry.client.update_item(
        TableName=registry.projects.name,
        Key={"project_id": {"N": str(PROJECT)}},
        UpdateExpression="SET field_rules = :rules",
        ExpressionAttributeValues={":rules": {"M": {"user_id": {"S": "drop"}}}},
    )
    with pytest.raises(
        StoreError, match=f"mend or delete item {PROJECT}, it is not as docs/data.md has it: .*user_id"
    ):
        registry.list()
