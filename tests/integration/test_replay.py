"""Dead letters that are replayed: what waits, what was put and what became of it, whatever dies in between.

A stream and tables as they are; the job's part is played by its own rule, called here for each record.
"""

import json
import re
from datetime import UTC, datetime
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from lab.sample.events import cohort_message
from ops.cli.main import commands
from stores.errors import StoreError
from stores.lake import DEAD_LETTERS, EVENT_STORE
from stores.project import linked
from stores.projects import Projects
from stores.replays import Replay, Replays
from tests.builders import MISSING, OTHER_PROJECT, PROJECT, encode, event
from tests.intake import KEYS, OTHER_KEY, enclosed, mac_keys
from tests.integration.bridge import Bridge
from udfs import intake

OWNER = linked(PROJECT, "acme-shop")


def events(count: int) -> list[bytes]:
    return [encode(event(uuid=f"u{n}", event_type="page")) for n in range(count)]


def page(diagnosis: dict[str, Any]) -> dict[str, Any]:
    (found,) = [one for one in diagnosis["names"] if one["name"] == "amplitude__page"]
    return {name: found[name] for name in ("received", "stored", "duplicates", "not_taken")}


def test_what_is_replayed_and_taken_waits_no_longer(bridge: Bridge) -> None:
    bridge.put(*events(32))
    bridge.judge()
    assert bridge.stats() == {"unknown_project": 32}
    assert page(bridge.diagnosis()) == {
        "received": 32,
        "stored": 0,
        "duplicates": 0,
        "not_taken": {"unknown_project": 32},
    }

    Projects(bridge.settings.tables_address).add(OWNER)
    assert bridge.replay("--reason", "unknown_project") == ["put on the stream again: 32"]
    assert bridge.stats() == {}
    assert {one["outcome"] for one in bridge.letters("--state", "replayed")} == {
        "not seen yet: on its way, or a copy of what was taken"
    }
    bridge.judge(OWNER)

    assert (bridge.stats(), bridge.stats("--state", "replayed")) == ({}, {"unknown_project": 32})
    assert bridge.stats("--state", "all") == {"unknown_project": 32}
    assert bridge.replay("--reason", "unknown_project") == [
        "put on the stream again: 0",
        "left out, replayed before (--state all takes them too): 32",
    ]
    found = bridge.diagnosis()
    assert page(found) == {"received": 32, "stored": 32, "duplicates": 0, "not_taken": {}}
    assert (found["dead_letters"], found["cause"]["code"]) == ([], "well")
    assert (len(bridge.letters()), len(bridge.letters("--state", "all"))) == (0, 32)
    assert {one["outcome"] for one in bridge.letters("--state", "replayed")} == {"event"}


def test_what_fails_again_waits_once(bridge: Bridge) -> None:
    bridge.put(*events(2))
    bridge.judge()
    for times in (1, 2, 3):
        assert bridge.replay("--project", str(PROJECT), "--anyway")[0] == "put on the stream again: 2"
        bridge.judge()
        assert bridge.stats() == {"unknown_project": 2}
        assert bridge.stats("--state", "replayed") == {"unknown_project": 2 * times}
        assert page(bridge.diagnosis())["received"] == 2
    newest = {one["handle"] for one in bridge.letters()}
    before = bridge.letters("--state", "replayed")[:2]
    assert {one["outcome"] for one in before} == {"not taken again, unknown_project"}
    assert {one["replayed_as"] for one in before} == newest


def test_show_says_what_became_of_a_replay(bridge: Bridge) -> None:
    (payload,) = events(1)
    bridge.put(payload)
    Projects(bridge.settings.tables_address).add(OWNER)
    bridge.judge()
    (waiting,) = bridge.letters()
    bridge.replay("--reason", "unknown_project")
    bridge.judge(OWNER)
    shown = json.loads(bridge.says("dead-letters", "show", waiting["handle"], "--json"))
    assert (shown["state"], shown["outcome"]) == ("replayed", "event")
    (stored,) = bridge.lake.rows(EVENT_STORE, ("shard", "sequence")).to_pylist()
    assert shown["replayed_as"] == f"{stored['shard']}:{stored['sequence']}"
    at = shown["replayed_at"][:19].replace("T", " ")
    assert f"  state    replayed {at}: event, as {shown['replayed_as']}\n" in bridge.says(
        "dead-letters", "show", waiting["handle"]
    )


def test_a_replay_that_dies_before_its_note_loses_and_doubles_nothing(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.put(*events(3))
    bridge.judge()
    Projects(bridge.settings.tables_address).add(OWNER)
    with monkeypatch.context() as patch:
        patch.setattr(Replays, "add", _dies)
        done = CliRunner().invoke(
            commands, ["dead-letters", "--config", str(bridge.config), "replay", "--project", str(PROJECT)]
        )
        assert isinstance(done.exception, StoreError)
    bridge.judge()
    assert bridge.stats() == {"unknown_project": 6}  # nobody knows yet that three are the others once more
    assert bridge.replay("--project", str(PROJECT))[:1] == ["put on the stream again: 3"]
    assert bridge.stats() == {}
    bridge.judge(OWNER)
    assert bridge.lake.rows(EVENT_STORE, ("identity",)).num_rows == 3
    assert page(bridge.diagnosis()) == {"received": 3, "stored": 3, "duplicates": 0, "not_taken": {}}


def _dies(*_: object) -> None:
    msg = "killed"
    raise StoreError(msg)


def test_a_replay_asked_for_again_is_a_copy(bridge: Bridge) -> None:
    bridge.put(*events(1))
    bridge.judge()
    Projects(bridge.settings.tables_address).add(OWNER)
    bridge.replay("--project", str(PROJECT))
    bridge.judge(OWNER)
    assert bridge.replay("--project", str(PROJECT), "--state", "replayed") == ["put on the stream again: 1"]
    bridge.put(*([b"{}"] * 8))  # so that the job has read on, on each shard
    bridge.put(*([b"{}"] * 8))
    bridge.judge(OWNER)
    (letter,) = bridge.letters("--project", str(PROJECT), "--state", "replayed")
    assert letter["outcome"] == "a copy of what was taken"
    assert page(bridge.diagnosis()) == {"received": 2, "stored": 1, "duplicates": 1, "not_taken": {}}


def test_parts_are_told_apart_and_the_same_bytes_are_put_once(bridge: Bridge) -> None:
    one, two, three = events(3)
    foreign = encode(event(app=7, uuid="v"))
    bridge.put(b"\n".join((one, two, foreign)), three, three)
    bridge.judge()
    Projects(bridge.settings.tables_address).add(OWNER)
    assert bridge.stats() == {"unknown_project": 5}
    assert bridge.replay("--project", str(PROJECT)) == [
        "put on the stream again: 3",
        "put as one with another of the same bytes: 1",
    ]
    bridge.judge(OWNER)
    (left,) = bridge.letters()
    assert (left["project_id"], left["sub_index"], left["state"]) == (7, 2, "waiting")
    assert bridge.lake.rows(EVENT_STORE, ("identity",)).num_rows == 3
    assert len(bridge.letters("--state", "replayed")) == 4


def test_what_no_project_would_take_is_left_out_and_said_until_it_has_an_owner(bridge: Bridge) -> None:
    uploads = ("2024-05-02 00:00:00.000000", "2024-05-01 10:30:00.250000", "2024-06-01 00:00:00.000000")
    early = [encode(event(uuid=f"u{n}", server_upload_time=at)) for n, at in enumerate(uploads)]
    bridge.put(*early, early[0])
    bridge.judge()
    asked = ("--reason", "unknown_project")
    whose = f"4 of project {PROJECT}, uploaded from 2024-05-01T10:30:00Z on"
    assert left(bridge, *asked, "--dry-run") == [
        "to be put on the stream again: 0",
        f"left out, would come back as unknown_project: {whose}: "
        f"projects add {PROJECT} NOTIFLY_PROJECT --linked-at 2024-05-01T10:30:00Z",
    ]

    registry = Projects(bridge.settings.tables_address)
    registry.add(linked(PROJECT, "acme-shop", datetime.fromisoformat("2024-06-01")))
    since = f"3 of project {PROJECT}, uploaded from 2024-05-01T10:30:00Z on"
    remedy = f"projects extend-link {PROJECT} --linked-at 2024-05-01T10:30:00Z"
    before_link = f"left out, would come back as before_link: {since}: {remedy}"
    assert left(bridge, *asked, "--dry-run") == ["to be put on the stream again: 1", before_link]
    assert left(bridge, *asked) == ["put on the stream again: 1", before_link]
    assert bridge.stats() == {"unknown_project": 3}
    told = json.loads("\n".join(left(bridge, *asked, "--dry-run", "--json")))
    assert (told["records"], told["settled"], told["not_taken"]) == (
        0,
        1,
        [
            {
                "reason": "before_link",
                "project_id": PROJECT,
                "letters": 3,
                "uploaded_from": "2024-05-01T10:30:00Z",
            }
        ],
    )

    assert bridge.says(*remedy.split()) == (
        f"Amplitude project {PROJECT} is linked to acme-shop: uploads from 2024-05-01T10:30:00Z on are taken\n"
    )
    assert bridge.replay(*asked) == [
        "put on the stream again: 2",
        "left out, replayed before (--state all takes them too): 1",
        "put as one with another of the same bytes: 1",
    ]
    bridge.judge(registry.get(PROJECT))
    assert bridge.stats() == {}
    assert bridge.lake.rows(EVENT_STORE, ("identity",)).num_rows == 3


def test_what_was_uploaded_in_a_gap_or_is_of_an_unknown_cohort_is_left_out(bridge: Bridge) -> None:
    message = cohort_message(Random(3), "late01", datetime.now(UTC), 2)
    bridge.put(encode(event(server_upload_time="2024-05-02 00:00:00.000000")), encode(message))
    bridge.judge()
    registry = Projects(bridge.settings.tables_address)
    registry.add(linked(PROJECT, "acme-shop", datetime.fromisoformat("2024-04-01")))
    registry.unlink(PROJECT, datetime.fromisoformat("2024-05-01"))
    assert sorted(left(bridge, "--kind", "quarantined")) == [
        "left out, would come back as unknown_cohort: 1; its detail in dead-letters list has the cohort's id: "
        "cohorts add registers it",
        f"left out, would come back as unlinked: 1 of project {PROJECT}, uploaded from 2024-05-02T00:00:00Z on: "
        f"projects show {PROJECT} has the times in which it was linked",
        "put on the stream again: 0",
    ]


def left(bridge: Bridge, *options: str) -> list[str]:
    """What a replay says that leaves letters out, for the registry has no owner for them."""
    words = ["dead-letters", "--config", str(bridge.config), "replay", *options]
    done = CliRunner().invoke(commands, words)
    assert done.exit_code == 1, done.output
    return done.stdout.splitlines()


def test_what_is_not_kept_is_left_out_and_goes_on_waiting(bridge: Bridge) -> None:
    late = linked(PROJECT, "acme-shop", linked_at=datetime.fromisoformat("2099-01-01"))
    bridge.put(*events(1))
    bridge.judge(late)
    dead = bridge.lake.table(DEAD_LETTERS)
    dead.overwrite(dead.scan().to_arrow().set_column(0, "kind", pa.array(["not_linked"])).drop_columns("payload"))
    assert bridge.replay("--project", str(PROJECT)) == [
        "put on the stream again: 0",
        "left out, the payload is cut or not kept: 1",
    ]
    assert bridge.stats() == {"before_link": 1}


def test_replays_are_read_by_the_arrival_of_their_letters(bridge: Bridge) -> None:
    table = Replays(bridge.settings.tables_address)
    assert list(table.of_arrivals()) == []
    table.create()
    made = [
        Replay(f"{n} d", f"2026-03-{n:02}T12:00:00.000000+00:00", 1, "empty", None, "s", "9", "")
        for n in range(1, 29)
    ]
    table.add(made)
    third, fifth = (datetime(2026, 3, n, 12, tzinfo=UTC) for n in (3, 5))
    windows = ((third, fifth), (third, None), (None, third), (datetime(2020, 1, 1, tzinfo=UTC), None))
    asked = [sorted((one.key for one in table.of_arrivals(*window)), key=int) for window in windows]
    numbers = [str(n) for n in range(1, 29)]
    assert {letter.split()[0] for letter in table.letters(third, fifth)} == {"3", "4", "5"}
    assert asked == [["3", "4"], numbers[2:], numbers[:2], numbers]


def test_replays_say_who_asked_for_what_and_what_came_of_it(bridge: Bridge) -> None:
    bridge.put(*events(5), b"{}")
    bridge.judge()
    Projects(bridge.settings.tables_address).add(OWNER)
    assert bridge.says("dead-letters", "replays") == "no dead letter was replayed\n"
    bridge.replay("--reason", "unknown_project")
    bridge.replay("--reason", "foreign")
    bridge.judge(OWNER)
    foreign, unknown = json.loads(bridge.says("dead-letters", "replays", "--json"))
    assert (unknown["letters"], unknown["outcomes"]) == (5, {"event": 5})
    assert (foreign["letters"], foreign["outcomes"]) == (1, {"not taken again, foreign": 1})
    assert unknown["asked"]["asked"] == "--reason unknown_project --state waiting"
    assert re.fullmatch(r".+ on .+, process \d+", unknown["asked"]["asked_by"])
    assert unknown["asked"]["asked_at"] <= unknown["first"] <= unknown["last"] <= foreign["first"]
    assert "5 event" in bridge.says("dead-letters", "replays")


# By the intake


def put_by(project_id: int, *bodies: bytes) -> list[bytes]:
    return [enclosed(project_id, body, request_id=f"r-{n}") for n, body in enumerate(bodies)]


def test_what_came_by_an_access_key_is_put_for_its_project_again(bridge: Bridge) -> None:
    nameless = [encode(event(uuid=f"u{n}", app=MISSING)) for n in range(3)]
    bridge.put(*put_by(PROJECT, *nameless))
    bridge.judge()
    assert bridge.stats() == {"unknown_project": 3}
    assert {one["project_id"] for one in bridge.letters()} == {PROJECT}
    assert {one["request_id"] for one in bridge.letters()} == {"r-0", "r-1", "r-2"}
    Projects(bridge.settings.tables_address).add(OWNER)
    assert bridge.replay("--reason", "unknown_project") == ["put on the stream again: 3"]
    bridge.judge(OWNER)
    assert bridge.stats() == {}
    stored = bridge.lake.rows(EVENT_STORE, ("uuid", "project_id")).to_pylist()
    assert sorted((one["uuid"], one["project_id"]) for one in stored) == [(f"u{n}", PROJECT) for n in range(3)]


def test_what_a_key_was_not_for_is_put_on_purpose_only(bridge: Bridge) -> None:
    record = enclosed(PROJECT, encode(event(uuid="u")), scopes=("cohorts",))
    bridge.put(record)
    bridge.judge(OWNER)
    Projects(bridge.settings.tables_address).add(OWNER)
    assert bridge.stats() == {"scope_missing": 1}
    asked = ["dead-letters", "--config", str(bridge.config), "replay", "--project", str(PROJECT)]
    left_out = CliRunner().invoke(commands, asked)
    assert left_out.exit_code == 1
    assert left_out.stdout.splitlines()[1].startswith(
        f"left out, would come back as scope_missing: 1 of project {PROJECT}: the sender sends them with a key"
    )
    assert bridge.replay("--reason", "scope_missing", "--anyway") == ["put on the stream again: 1"]
    bridge.judge(OWNER)
    assert bridge.lake.rows(EVENT_STORE, ("uuid",))["uuid"].to_pylist() == ["u"]


def test_the_same_bytes_by_two_keys_are_put_for_both(bridge: Bridge) -> None:
    body, other = encode(event(uuid="u", app=MISSING)), linked(OTHER_PROJECT, "globex")
    bridge.put(*put_by(PROJECT, body, body), *put_by(OTHER_PROJECT, body))
    bridge.judge()
    for owner in (OWNER, other):
        Projects(bridge.settings.tables_address).add(owner)
    assert bridge.replay("--reason", "unknown_project") == [
        "put on the stream again: 2",
        "put as one with another of the same bytes: 1",
    ]
    bridge.judge(OWNER, other)
    assert sorted(bridge.lake.rows(EVENT_STORE, ("project_id",))["project_id"].to_pylist()) == [
        PROJECT,
        OTHER_PROJECT,
    ]


def test_what_was_not_believed_is_put_as_it_came(bridge: Bridge) -> None:
    """It is believed once the job knows the key that it was made with."""
    unknown = enclosed(PROJECT, encode(event(uuid="u", app=MISSING)), mac_keys(OTHER_KEY))
    bridge.put(unknown)
    bridge.judge(OWNER)
    Projects(bridge.settings.tables_address).add(OWNER)
    assert bridge.replay("--reason", "intake_mac_invalid") == ["put on the stream again: 1"]
    (handed,) = {data for *_, data in bridge._unread()}
    assert handed == unknown


def test_without_the_keys_what_came_by_one_is_not_put(bridge: Bridge) -> None:
    bridge.put(*put_by(PROJECT, b'{"app":'), b'{"app":')
    bridge.judge()
    text = bridge.config.read_text()
    bridge.config.write_text(text.partition("[intake]")[0])
    refused = CliRunner().invoke(
        commands, ["dead-letters", "--config", str(bridge.config), "replay", "--reason", "invalid_json"]
    )
    assert isinstance(refused.exception, intake.MacKeysError)
    assert str(refused.exception).startswith("intake.mac_keys_file is not set")
    bridge.config.write_text(text)
    assert bridge.replay("--reason", "invalid_json")[0] == "put on the stream again: 2"
    records = [data for *_, data in bridge._unread()]
    assert {intake.unwrap(one, KEYS)[1] for one in records if one.startswith(intake.MAGIC)} == {b'{"app":'}
    assert len(records) == 2
