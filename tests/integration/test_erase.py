"""A user erased beside the running job: what goes, what stays, what becomes of copies; the ledger knows of it."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyflink.table import EnvironmentSettings, TableEnvironment

from jobs import sinks
from lab.stack.patience import scaled
from ops.answers.export_ledger import compared, outcomes
from ops.answers.ledger import WAITING, unbalanced
from ops.answers.waiting import waiting
from ops.cli.main import commands
from ops.maintenance.leader import Leader
from settings import Settings
from stores.cohorts import CohortMembers
from stores.erasures import subject_of
from stores.history import history_of
from stores.lake import (
    CATALOG,
    COHORT_CHANGES,
    COHORT_MESSAGES,
    DEAD_LETTERS,
    EVENT_STORE,
    EXPORT_DEAD_LETTERS,
    EXPORT_LEDGER,
    OUTBOX,
    USER_UPDATES,
    Lake,
)
from stores.profiles import Key, Profiles
from stores.project import linked
from stores.usage import UsageTable
from tests.builders import OTHER_PROJECT, PROJECT, UNKNOWN_PROJECT, cohort, encode, event, stamp, user_update
from tests.integration import cluster
from tests.integration.cluster import Arrival, Place

MINA, JUN = "mina@example.com", "jun@example.com"
THEN = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
TENANTS = [linked(PROJECT, "acme"), linked(OTHER_PROJECT, "globex")]
BOTH = [{"user_id": MINA, "user_properties": {"n": 1.50}}, {"user_id": JUN, "user_properties": {"n": 1.50}}]


def seen(user: str | None, number: int, amplitude_id: int, **more: Any) -> bytes:
    return encode(event(uuid=f"{user}-{amplitude_id}-{number}", user_id=user, amplitude_id=amplitude_id, **more))


FED = [
    *(seen(MINA, n, 1) for n in (1, 2, 3, 3)),
    *(seen(JUN, n, 2) for n in range(4)),
    seen(None, 1, 1),  # before she was known
    seen(None, 1, 3),  # of both of them, so nobody knows whose it is
    seen(MINA, 4, 3),
    seen(JUN, 4, 3),
    seen(MINA, 1, 1, app=OTHER_PROJECT),
    seen(MINA, 1, 1, app=UNKNOWN_PROJECT),
    *(encode(user_update(uuid=f"u-{user}", user_id=user, amplitude_id=9)) for user in (MINA, JUN)),
    encode(cohort(users=BOTH)),
    encode(cohort(cohort_id="nobodys", users=BOTH)),
    encode(event(user_id=MINA))[:-20],
    encode(event(user_id=JUN))[:-20],
]
ROWS = {EVENT_STORE: 12, USER_UPDATES: 2, COHORT_MESSAGES: 1, COHORT_CHANGES: 2, DEAD_LETTERS: 4}
GONE = {EVENT_STORE: 5, USER_UPDATES: 1, COHORT_CHANGES: 1, DEAD_LETTERS: 1}
"""Of Mina's rows in this project: four events and one of before she was known, and so on."""


def at(payloads: list[bytes], first: datetime, sequence: int) -> list[Arrival]:
    return [
        Arrival(data, first + timedelta(milliseconds=n), f"shardId-{n % 2:012d}", str(10**50 + sequence + n))
        for n, data in enumerate(payloads)
    ]


def message(user: str) -> bytes:
    return json.dumps({"user_id": user, "insert_id": "m"}, separators=(",", ":")).encode()


AT = {"arrival": THEN, "shard": "s", "sequence": "1", "project_id": PROJECT, "due": THEN, "hour": THEN}
SENT = {
    # of Mina one waits and one has waited, of Jun one waits
    OUTBOX: [
        AT | {"event_id": "a", "attempt": 0, "outcome": "waiting", "event": message(MINA)},
        AT | {"event_id": "b", "attempt": 0, "outcome": "waiting", "event": message(MINA)},
        AT | {"event_id": "b", "attempt": 1, "outcome": "accepted", "due": None},
        AT | {"event_id": "c", "attempt": 0, "outcome": "waiting", "event": message(JUN)},
    ],
    EXPORT_DEAD_LETTERS: [
        AT | {"kind": "refused", "reason": "silenced", "payload": message(MINA)},
        AT | {"kind": "rejected", "reason": "invalid_json", "project_id": None, "payload": message(JUN)},
    ],
    EXPORT_LEDGER: [
        AT | {"outcome": outcome, "events": events, "redelivery": again}
        for outcome, events, again in (
            *(("first", 3, False), ("waiting", 3, False)),
            *(("first", 1, True), ("accepted", 1, True)),
        )
    ],
}
"""Rows as the export job writes them."""


def sent(settings: Settings) -> None:
    lake = Lake(settings.lake_address)
    for name, columns in sinks.EXPORT_COLUMNS.items():
        lake.create(name, columns, [])
    for name, some in SENT.items():
        table = lake.table(name)
        schema = table.schema().as_arrow()
        chosen = [{column: row.get(column) for column in schema.names} for row in some]
        table.append(pa.Table.from_pylist(chosen, schema=schema))


def settings_file(where: Place) -> Path:
    found, path = where.settings, where.records.parent / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{found.dynamodb.endpoint}"\ntable_prefix = "{found.dynamodb.table_prefix}"\n'
        f'[lake]\ncatalog_uri = "{found.lake.catalog_uri}"\nwarehouse = "{found.lake.warehouse}"\n'
    )
    return path


def says(where: Place, *words: str) -> Result:
    return CliRunner().invoke(commands, ["--config", str(settings_file(where)), "erase", *words])


def bridge(where: Place, *words: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "amplitude-bridge", "--config", settings_file(where), "erase", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=scaled(120), check=False)


def rows(settings: Settings) -> dict[str, int]:
    lake = Lake(settings.lake_address)
    return {table: lake.rows(table, ("shard",)).num_rows for table in ROWS}


def holding(settings: Settings, user: str) -> Counter[tuple[str, int | None]]:
    """Rows by table and project in which the user's id stands anywhere."""
    lake = Lake(settings.lake_address)
    return Counter(
        (table, row["project_id"])
        for table in (*ROWS, OUTBOX, EXPORT_DEAD_LETTERS)
        for row in lake.rows(table).to_pylist()
        if user in str(row.values())
    )


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> Place:
    return cluster.place(tmp_path_factory.mktemp("erase"), dynamodb_endpoint, TENANTS, {"gs72ns": PROJECT})


@pytest.fixture(scope="module")
def job(where: Place) -> Iterator[Any]:
    sent(where.settings)
    cluster.write(where.records, "fed.json", at(FED, THEN, 0))
    env = cluster.build(where, 2, timedelta(days=40))
    with cluster.running(env) as running:
        cluster.until(lambda: rows(where.settings), lambda found: found == ROWS, running)
        cluster.until(lambda: unbalanced(where.settings), lambda found: found == [], running)
        yield running


def test_a_user_is_erased_beside_the_running_job(where: Place, job: Any) -> None:
    settings = where.settings
    totals = UsageTable(settings.tables_address).list()
    others = holding(settings, JUN)
    waited = compared(Lake(settings.lake_address))[WAITING][1]

    dry = says(where, str(PROJECT), MINA)
    assert dry.exit_code == 0, dry.output
    assert dry.stdout.endswith("nothing is done yet: repeat this with --yes\n")
    assert rows(settings) == ROWS

    done = says(where, str(PROJECT), MINA, "--yes", "--by", "lena")
    assert done.exit_code == 0, done.output
    assert rows(settings) == {table: count - GONE.get(table, 0) for table, count in ROWS.items()}
    assert holding(settings, MINA) == {(EVENT_STORE, OTHER_PROJECT): 1, (DEAD_LETTERS, UNKNOWN_PROJECT): 1}
    assert holding(settings, JUN) == others
    assert unbalanced(settings) == []
    assert UsageTable(settings.tables_address).list() == totals

    lake = Lake(settings.lake_address)
    assert [lake.rows(table).num_rows for table in SENT] == [len(some) for some in SENT.values()]
    assert waiting(lake)["event_id"].to_pylist() == ["c"]
    assert compared(lake)[WAITING][1] == waited
    became = {(one["outcome"], one["events"]) for one in outcomes(lake)}
    assert became >= {("accepted", 1), ("waiting", 1), ("erased", 1)}
    (told,) = lake.rows(COHORT_MESSAGES).to_pylist()
    assert told["payload"] == encode(cohort(users=BOTH[1:]))
    profiles = Profiles(settings.tables_address).of_users([Key(PROJECT, user) for user in (MINA, JUN)])
    assert {key.user_id: one.version > 0 for key, one in profiles.items()} == {MINA: False, JUN: True}
    members = CohortMembers(settings.tables_address).members(PROJECT, "gs72ns")
    assert [member.user_id for member in members] == [JUN]


def test_the_receipt_says_what_was_found_and_holds_no_id(where: Place) -> None:
    """Behind the test above."""
    (receipt,) = json.loads(says(where, "show", str(PROJECT), MINA, "--json").stdout)
    assert receipt["subject"] == subject_of(PROJECT, MINA)
    assert (receipt["status"], receipt["requested_by"]) == ("done", "lena")
    assert receipt["found"] == {
        **{table: {"removed": n} for table, n in GONE.items()},
        DEAD_LETTERS: {"cut": 1, "removed": 1},
        COHORT_MESSAGES: {"cut": 1},
        OUTBOX: {"cut": 2},
        EXPORT_DEAD_LETTERS: {"cut": 1},
        "profiles": {"removed": 1},
        "cohort_members": {"removed": 1},
    }
    assert min(receipt["snapshots"].values()) > 0
    assert receipt["kept_for"] == []
    done, snapshots_go, strays_go = (
        datetime.fromisoformat(receipt[name]) for name in ("done_at", "snapshots_go", "strays_go")
    )
    assert strays_go - done == timedelta(days=3)
    assert abs(done + timedelta(days=1) - snapshots_go) < timedelta(minutes=1)
    assert MINA not in json.dumps(receipt)
    assert subject_of(PROJECT, MINA) in says(where, "show", str(PROJECT)).stdout


def test_of_who_is_not_there_it_says_so(where: Place, job: Any) -> None:
    """Behind the tests above."""
    dry = says(where, str(PROJECT), "nobody@example.com")
    words = "nothing is kept of them; repeat this with --yes for a receipt that says so\n"
    assert (dry.exit_code, dry.stdout) == (0, words)
    done = says(where, str(PROJECT), "nobody@example.com", "--yes")
    assert done.exit_code == 0
    assert "\nnothing was found\n" in done.stdout
    nameless = where.records.parent / "ids.txt"
    nameless.touch()
    assert (
        f"{nameless} holds no user id: write one a line"
        in says(where, str(PROJECT), "--users-from", str(nameless), "--yes").stderr
    )


def answered(settings: Settings, query: str) -> int:
    """What Flink SQL answers, in its own words."""
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    sinks.use_lake(tables, settings.lake_address)
    tables.use_catalog(CATALOG)
    with tables.execute_sql(query).collect() as rows:
        ((found,),) = rows
    return int(found)


def test_the_receipts_query_proves_absence(where: Place, job: Any) -> None:
    """Behind the tests above."""
    (receipt,) = json.loads(says(where, "show", str(PROJECT), MINA, "--json").stdout)
    assert answered(where.settings, receipt["query"]) == 0
    of_jun = receipt["query"].replace(subject_of(PROJECT, MINA), subject_of(PROJECT, JUN))
    assert answered(where.settings, of_jun) == 5 + 1 + 1


def test_new_events_are_taken_and_copies_of_erased_ones_only_counted(where: Place, job: Any) -> None:
    """Behind the tests above."""
    settings, fresh = where.settings, datetime.now(UTC) + timedelta(seconds=60)
    new = seen(MINA, 9, 5, server_upload_time=stamp(fresh))
    before = rows(settings)[EVENT_STORE]
    cluster.write(where.records, "later.json", at([new, seen(MINA, 1, 1), seen(JUN, 9, 2)], fresh, 1000))
    cluster.until(lambda: rows(settings)[EVENT_STORE], lambda found: found == before + 2, job)
    cluster.until(lambda: unbalanced(settings), lambda found: found == [], job)
    assert holding(settings, MINA)[EVENT_STORE, PROJECT] == 1


def killed(where: Place, when: str) -> None:
    """Erase Jun in a process that gets KILL beside its first commit: before it, or after."""
    program = (
        "import os, signal\n"
        "from ops.cli.main import main\n"
        "from stores.rewrite import Rewriting\n"
        "commit = Rewriting.commit\n"
        "def dies(*given):\n"
        f"    {when!r} == 'after' and commit(*given)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Rewriting.commit = dies\n"
        "main()\n"
    )
    words = ["--config", settings_file(where), "erase", str(PROJECT), JUN, "--yes"]
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, timeout=scaled(120), check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_second_one_is_refused_in_one_line_while_one_works(where: Place, job: Any) -> None:
    with Leader(where.settings, f"erase {PROJECT}", f"erases in project {PROJECT}") as other:
        refused = bridge(where, str(PROJECT), JUN, "--yes")
    line = rf"amplitude-bridge: {re.escape(other.lease.job_id)} erases in project {PROJECT}, seen \d+ s ago: .*\n"
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(line, refused.stderr)


def without_the_erasures_snapshots(settings: Settings) -> None:
    """The events' history as when somebody repeats the command late."""
    lake = Lake(settings.lake_address)
    table = lake.table(EVENT_STORE)
    table.append(table.schema().as_arrow().empty_table())
    expiring = [one.snapshot for one in history_of(lake, EVENT_STORE) if one.attempt]
    lake.table(EVENT_STORE).maintenance.expire_snapshots().by_ids(expiring).commit()
    assert not any(one.attempt for one in history_of(lake, EVENT_STORE))


def test_the_next_command_finishes_what_was_killed(where: Place, job: Any) -> None:
    """Behind the tests above."""
    killed(where, "before")
    killed(where, "after")
    assert unbalanced(where.settings) == []  # of the first the counts are dropped, of the second the rows are gone
    without_the_erasures_snapshots(where.settings)
    done = bridge(where, str(PROJECT), JUN, "--yes")
    assert done.returncode == 0, done.stderr
    assert holding(where.settings, JUN) == {(EVENT_STORE, PROJECT): 1}  # it arrives in a minute, says its clock
    assert unbalanced(where.settings) == []
    (receipt,) = json.loads(says(where, "show", str(PROJECT), JUN, "--json").stdout)
    assert (receipt["status"], len(receipt["continues"])) == ("done", 2)
    assert receipt["found"][EVENT_STORE] == {"removed": 4 + 1 + 1}
