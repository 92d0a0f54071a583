"""Backfills from archives: what is put, what is not, and the table at the end."""

import json
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.stack.amplitude.export_api import PATH
from lab.stack.amplitude.process import running
from lab.stack.proxy import Proxy
from ops.cli.main import commands
from stores.backfills import VALID, Backfills, Run
from stores.cohorts import CohortMembers
from stores.erasures import Erasure, Erasures, subject_of
from stores.errors import StoreError
from stores.lake import DEAD_LETTERS, EVENT_STORE
from stores.leases import Leases
from stores.profiles import Profiles
from stores.project import Project, linked
from stores.projects import Projects
from stores.stream import Stream
from tests.archives import archive
from tests.builders import PROJECT, Record, event
from tests.integration.bridge import Bridge

OWNER = linked(PROJECT, "acme-shop")
DAY = "2026-03-15"


def rows(count: int, hour: int = 9, first: int = 0) -> list[Record]:
    """Distinct events of an hour."""
    return [
        event(uuid=f"u{n}", event_type="page", server_upload_time=f"{DAY} {hour:02}:00:{n % 60:02}.000000")
        for n in range(first, first + count)
    ]


@contextmanager
def job(bridge: Bridge, owner: Project = OWNER) -> Iterator[None]:
    """The job's rule, at work as long as this is entered."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.5):
            bridge.judge(owner)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def backfill(bridge: Bridge, *options: str) -> Result:
    done = CliRunner().invoke(commands, ["backfill", "--config", str(bridge.config), *options])
    assert "canary" not in f"{done.output} {done.exception}"  # of keys
    return done


def backfilled(bridge: Bridge, *options: str) -> dict[str, Any]:
    done = backfill(bridge, str(PROJECT), *options, "--json", "--wait", "1")
    assert done.exit_code == 0, (done.stdout, done.stderr, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def hour(found: dict[str, Any], at: int = 9) -> tuple[int, ...]:
    (one,) = [one for one in found["hours"] if one["hour"] == f"{DAY}T{at:02}:00:00+00:00"]
    names = ("amplitude", "stored", "duplicates", "rejected", "missing", "twice", "erased")
    values = tuple(one[name] for name in names)
    assert one["amplitude"] == sum(one[name] for name in names[1:5]) + one["erased"]
    return values if one["erased"] else values[:-1]


def test_each_row_of_an_archive_is_accounted_for(bridge: Bridge, tmp_path: Path) -> None:
    Projects(bridge.settings.tables_address).add(OWNER)
    bridge.put(*[json.dumps(one).encode() for one in rows(4)])
    bridge.judge(OWNER)
    mixed = [
        *rows(10),  # of which four were streamed
        *rows(3, first=8),  # of which two are copies
        *[one | {"event_type": "[Notifly] push"} for one in rows(2, first=50)],
        *rows(5, hour=10, first=100),
    ]
    given = str(archive(tmp_path / "export.zip", mixed))
    looked = backfilled(bridge, given, "--dry-run")
    assert (looked["put"], hour(looked)) == (None, (15, 0, 6, 0, 9, 0))
    with job(bridge):
        found = backfilled(bridge, given)
    assert (found["put"], found["residual"]) == (14, 0)
    assert hour(found) == (15, 7, 6, 2, 0, 0)
    assert hour(found, 10) == (5, 5, 0, 0, 0, 0)
    assert found["not_taken"] == [{"outcome": "rejected", "reason": "own_event", "records": 2}]
    assert bridge.lake.rows(EVENT_STORE, ("identity",)).num_rows == 16
    with job(bridge):
        again = backfilled(bridge, given)
    assert (again["put"], hour(again)) == (0, (15, 0, 13, 2, 0, 0))


def test_what_the_job_has_forgotten_is_not_stored_again(bridge: Bridge, tmp_path: Path) -> None:
    Projects(bridge.settings.tables_address).add(OWNER)
    bridge.put(*[json.dumps(one).encode() for one in rows(4)])
    bridge.judge(OWNER)
    bridge.forget()
    with job(bridge):
        found = backfilled(bridge, str(archive(tmp_path / "export.zip", rows(6))))
    assert (found["put"], hour(found)) == (2, (6, 2, 4, 0, 0, 0))


def test_what_is_older_than_the_link_is_asked_about(bridge: Bridge, tmp_path: Path) -> None:
    late = linked(PROJECT, "acme-shop", datetime.fromisoformat(f"{DAY}T10:00:00"))
    registry = Projects(bridge.settings.tables_address)
    registry.add(late)
    given = str(archive(tmp_path / "export.zip", rows(3) + rows(2, hour=11, first=10)))
    refused = backfill(bridge, str(PROJECT), given)
    assert str(refused.exception) == (
        f"3 of 5 events were uploaded before project {PROJECT} was linked ({DAY}T10:00:00Z): say --as-of-link to "
        "leave them out, or --extend-link to take them"
    )
    with job(bridge, late):
        found = backfilled(bridge, given, "--as-of-link")
    assert (found["put"], hour(found), hour(found, 11)) == (2, (3, 0, 0, 3, 0, 0), (2, 2, 0, 0, 0, 0))
    assert found["not_taken"] == [{"outcome": "left out", "reason": "before_link", "records": 3}]
    assert bridge.lake.rows(DEAD_LETTERS, ("reason",)).num_rows == 0
    extended = late.linked_from(datetime.fromisoformat(f"{DAY}T09:00:00"))
    with job(bridge, extended):
        found = backfilled(bridge, given, "--extend-link")
    assert (found["put"], hour(found)) == (3, (3, 3, 0, 0, 0, 0))
    assert registry.get(PROJECT) == extended


def test_hours_are_fetched_put_and_their_archives_removed(bridge: Bridge, tmp_path: Path) -> None:
    Projects(bridge.settings.tables_address).add(OWNER)
    (tmp_path / "keys").write_text("a1b2:canary")
    folder = tmp_path / "amplitude"
    with running(folder) as url, job(bridge):
        (folder / "pairs").write_text("a1b2:canary")
        archive(folder / f"{DAY.replace('-', '')}T09.zip", rows(7))
        given = ("--keys", str(tmp_path / "keys"), "--endpoint", f"{url}{PATH}")
        asked = ("--from", f"{DAY}T09", "--to", f"{DAY}T10", *given)
        found = backfilled(bridge, *asked, "--folder", str(tmp_path / "fetched"))
    assert (found["put"], found["residual"]) == (7, 0)
    assert hour(found) == (7, 7, 0, 0, 0, 0)
    assert hour(found, 10) == (0, 0, 0, 0, 0, 0)
    assert not (tmp_path / "fetched").exists()


def test_what_cannot_be_done_is_told_in_one_line(bridge: Bridge, tmp_path: Path) -> None:
    Projects(bridge.settings.tables_address).add(OWNER)
    other = str(archive(tmp_path / "other.zip", [event(app=7, uuid="u")]))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for given, says in (
        (("7", other), "Amplitude project 7 is not registered: projects add registers it"),
        ((str(PROJECT), str(tmp_path / "away")), "there is no such file or folder"),
        ((str(PROJECT), str(tmp_path / "empty.zip")), "holds no events: give a zip"),
        ((str(PROJECT), other), f"is not of project {PROJECT}: its line 1 is of project 7; nothing of it was put"),
    ):
        done = backfill(bridge, *given)
        assert says in str(done.exception), given
        assert "\n" not in str(done.exception)
    keyless = ("--from", "2026-03-01T00", "--to", "2026-03-01T00", "--endpoint", "http://amplitude.example")
    for options in (
        (),
        (other, "--from", "2026-03-01T00"),
        ("--from", "2026-03-01T00"),
        ("--from", "tomorrow"),
        keyless,
    ):
        assert backfill(bridge, str(PROJECT), *options).exit_code == 2
    assert list(bridge.stream.records()) == []


def test_a_run_that_shows_no_life_gives_the_project_free(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    valid = 8
    monkeypatch.setattr("stores.backfills.VALID", timedelta(seconds=valid))
    table = Backfills(bridge.settings.tables_address)
    table.create()
    dead = table.take(Run(PROJECT, "dead", "a.zip", "x", "2026-01-01T00:00:00+00:00", ""), None)
    assert dead.seen_at
    with pytest.raises(StoreError, match=f"another backfill of project {PROJECT} is running"):
        table.take(dead._replace(holder="other"), None)
    with pytest.raises(StoreError, match="dead, since 2026-01-01 00:00 UTC"):
        table.wait_for(PROJECT, lambda _: table.renew(dead._replace(put=1, holder="dead")))  # type: ignore[arg-type]
    begin = time.monotonic()
    found = table.wait_for(PROJECT)
    assert found is not None
    assert valid - 3 < time.monotonic() - begin < valid + 5
    mine = table.take(found._replace(holder="mine"), found)
    with pytest.raises(StoreError, match="mine, since"):
        table.renew(dead)
    table.release(mine)
    begin = time.monotonic()
    assert table.wait_for(PROJECT) is not None
    assert time.monotonic() - begin < 3


def test_a_stream_that_throttles_is_asked_again(bridge: Bridge, tmp_path: Path) -> None:
    Projects(bridge.settings.tables_address).add(OWNER)
    port = int(str(bridge.settings.stream_address.endpoint).rpartition(":")[2])
    given = str(archive(tmp_path / "export.zip", rows(30)))
    config = bridge.config.read_text("utf-8")
    with Proxy(port) as proxy, job(bridge):
        bridge.config.write_text(config.replace(f":{port}", f":{proxy.endpoint.rpartition(':')[2]}"), "utf-8")
        proxy.fail("throttled", share=0.3)
        found = backfilled(bridge, given)
    assert (found["put"], hour(found)) == (30, (30, 30, 0, 0, 0, 0))


def test_a_stream_that_is_away_halfway_says_how_to_go_on(bridge: Bridge, tmp_path: Path) -> None:
    Projects(bridge.settings.tables_address).add(OWNER)
    given = str(archive(tmp_path / "export.zip", rows(1200)))
    with pytest.MonkeyPatch.context() as patch:
        put, calls = Stream.put, iter((True, False))
        patch.setattr(Stream, "put", lambda stream, batch: put(stream, batch) if next(calls) else _refused())
        done = backfill(bridge, str(PROJECT), given)
    assert str(done.exception) == (
        "too few shards?: mend that, then repeat the command, which goes on where it stopped"
    )
    begin = time.monotonic()
    with job(bridge):
        found = backfilled(bridge, given, "--share", "1")
    assert time.monotonic() - begin < VALID.total_seconds()  # nobody waits for a run that has ended
    assert (found["put"], hour(found)) == (1200, (1200, 1200, 0, 0, 0, 0))
    assert bridge.records == 1200


def _refused() -> Iterator[int]:
    msg = "too few shards?"
    raise StoreError(msg)


GONE, ANONYMOUS, OTHER = 71, 72, 73  # Amplitude's ids


def of(some: list[Record], user_id: str | None, amplitude_id: int) -> list[Record]:
    return [one | {"user_id": user_id, "amplitude_id": amplitude_id} for one in some]


def test_what_was_erased_does_not_come_back(bridge: Bridge, tmp_path: Path) -> None:
    """The archive is given again: neither the user's rows come, nor those without a user id, nor the event's."""
    for table in (Profiles, CohortMembers, Leases):  # which `erase` asks too
        table(bridge.settings.tables_address).create()
    Projects(bridge.settings.tables_address).add(OWNER)
    gone = of(rows(3), "gone@example.com", GONE) + of(rows(2, first=10), None, GONE)
    rejected = of(rows(1, first=20), None, GONE) + of(rows(1, first=21), "gone@example.com", GONE)
    gone += [one | {"event_type": "[Notifly] push"} for one in rejected]
    gone += [one | {"event_type": "Debug"} for one in of(rows(2, hour=10, first=30), "jun@example.com", OTHER)]
    kept = of(rows(4, first=40), "jun@example.com", OTHER) + of(rows(1, first=50), None, ANONYMOUS)
    given = str(archive(tmp_path / "export.zip", gone + kept))
    with job(bridge):
        assert hour(backfilled(bridge, given)) == (12, 10, 0, 2, 0, 0)
    for what in (("gone@example.com",), ("--event", "Debug")):
        bridge.says("erase", str(PROJECT), *what, "--yes")
    with job(bridge):
        found = backfilled(bridge, given)
    assert (found["put"], found["residual"]) == (0, 0)
    assert (hour(found), hour(found, 10)) == ((12, 0, 5, 0, 0, 0, 7), (2, 0, 0, 0, 0, 0, 2))
    assert bridge.lake.rows(EVENT_STORE, ("identity",)).num_rows == 5


def test_a_user_whom_amplitude_has_deleted_does_not_come_back(bridge: Bridge, tmp_path: Path) -> None:
    Projects(bridge.settings.tables_address).add(OWNER)
    receipts = Erasures(bridge.settings.tables_address)
    receipts.create()
    before, subject = f"{DAY}T09:30:00+00:00", subject_of(PROJECT, f"amplitude {GONE}")
    others = (subject_of(PROJECT, "gone@example.com"),)
    receipts.write(Erasure(PROJECT, "1", subject, "done", before, "somebody", others=others))
    later = [one | {"server_upload_time": f"{DAY} 09:31:00.000000"} for one in rows(2, first=30)]
    given = of(rows(3), None, GONE) + of(rows(2, first=10), "gone@example.com", OTHER) + of(later, None, GONE)
    with job(bridge):
        found = backfilled(bridge, str(archive(tmp_path / "export.zip", given)))
    assert (found["put"], hour(found)) == (2, (7, 2, 0, 0, 0, 0, 5))
