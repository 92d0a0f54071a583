"""`test-connection` and `doctor` as typed, beside a real job, and when that is gone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lab.sample.events import encode
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import scaled, wait_until
from ops.answers.connection import Place, checked
from settings import Settings
from stores.lake import EVENT_STORE, Lake
from stores.leases import Leases
from stores.project import linked
from stores.projects import Projects
from stores.stream import Stream
from tests.builders import event
from tests.e2e.crash import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = Path(sys.executable).parent / "amplitude-bridge"
PROJECT, SILENT, LATE, NOBODYS = 1001, 1002, 1003, 1004


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-asking", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Projects:
    found = Projects(settings.tables_address)
    for project_id in (PROJECT, SILENT, LATE):
        found.add(linked(project_id, f"shop-{project_id}"))
    return found


def typed(stack: Stack, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = [BRIDGE, command, "--config", stack.settings_path, "--flink", stack.flink.url, *arguments]
    return subprocess.run(given, capture_output=True, text=True, check=False, timeout=scaled(120))


def put(settings: Settings, *records: bytes) -> None:
    assert sum(Stream(settings.stream_address).put((str(n), one) for n, one in enumerate(records))) == len(records)


def steps(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.keys() == {"project_id", "steps", "failed"}
    assert all(step.keys() == {"name", "state", "words", "fix"} for step in found["steps"])
    return {step["name"]: step for step in found["steps"]}


@pytest.mark.usefixtures("registry")
def test_the_first_event_is_waited_for_and_found(stack: Stack, settings: Settings, job: str) -> None:
    # Nobody has sent anything yet, so no worker has begun to renew the lease; a customer who connects sees that.
    before = ["ok", "not checked", "ok", "ok", "ok"]
    place, leases = Place(stack.flink.url), Leases(settings.tables_address)
    wait_until(lambda: (now := leases.current())[0] and now[0].left(now[1]) < timedelta(), 60, leases.current)
    wait_until(lambda: [step.state for step in checked(settings, PROJECT, place).steps] == before, 60, lambda: job)
    waits = [BRIDGE, "test-connection", "--config", stack.settings_path, "--flink", stack.flink.url, str(PROJECT)]
    with subprocess.Popen([*waits, "--wait", "2m"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = [process.stdout.readline() for _ in range(5)]
        put(settings, encode(event(app=PROJECT, event_type="page", uuid="first")))
        last = process.stdout.read()
    assert process.returncode == 0, "".join((*told, last))
    assert [line.split("  ")[0] for line in told] == before
    assert f"{settings.kinesis.stream} in ap-northeast-2 is ACTIVE: 2 open shards, kept 24 h" in told[0]
    assert f"job {job} was seen " in told[3]
    assert "s ago and is RUNNING; its workers renew the lease from the first record on" in told[3]
    assert "s behind the newest record" in told[4]
    assert "event amplitude__page, arrived " in last
    assert last.endswith(", is stored in events\n")


@pytest.mark.usefixtures("registry", "job")
def test_nothing_within_the_time_is_a_failure_with_its_remedy(stack: Stack) -> None:
    done = typed(stack, "test-connection", str(SILENT), "--wait", "2s", "--json")
    found = steps(done)
    assert (done.returncode, found["arrival"]["state"]) == (1, "failed")
    assert found["arrival"]["words"] == "nothing was stored in the 60 min before, nor within 2 s"
    assert '"Send Events"' in found["arrival"]["fix"]


@pytest.mark.usefixtures("job")
def test_amplitudes_test_record_is_seen_and_so_is_what_is_not_taken(
    stack: Stack, settings: Settings, registry: Projects
) -> None:
    test = (ROOT / "tests/fixtures/golden/test_record.json").read_bytes()
    put(settings, test, encode(event(app=LATE, event_type="", uuid="x")))
    done = typed(stack, "test-connection", str(LATE), "--json", "--wait", "2m")
    assert done.returncode == 1
    assert "is not taken, event_type_invalid: " in steps(done)["arrival"]["words"]
    assert steps(done)["arrival"]["fix"] == "the sender gives the event a name"
    done = typed(stack, "test-connection", str(SILENT), "--json", "--wait", "2m")
    assert done.returncode == 0
    assert steps(done)["arrival"]["words"].startswith("Amplitude's test record, arrived ")

    registry.unlink(SILENT, registry.get(SILENT).links[0].linked_at)
    done = typed(stack, "test-connection", str(SILENT), "--json", "--wait", "2m")
    assert done.returncode == 1
    assert steps(done)["registry"]["fix"] == f"amplitude-bridge projects link {SILENT}"
    done = typed(stack, "test-connection", str(NOBODYS))
    assert done.returncode == 2
    assert "fix: amplitude-bridge projects add PROJECT_ID NOTIFLY_PROJECT --linked-at UPLOAD, " in done.stdout
    assert done.stderr == (
        f"amplitude-bridge: Amplitude project {NOBODYS} is not registered: projects add registers it\n"
    )


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.keys() == {"findings", "worst"}
    assert all(one.keys() == {"name", "state", "words", "fix"} for one in found["findings"])
    return {one["name"]: one for one in found["findings"]}


def test_the_doctor_finds_all_well_but_what_does_not_run(stack: Stack, job: str) -> None:
    def asked() -> subprocess.CompletedProcess[str]:
        return typed(stack, "doctor", "--json", "--watch", "http://127.0.0.1:9")

    def states() -> dict[str, str]:
        return {name: one["state"] for name, one in findings(asked()).items() if name != "disk"}  # the machine's

    names = ("settings", "python", "stream", "tables", "lake", "job", "flink", "jars", "lag", "checkpoints")
    well = dict.fromkeys((*names, "clocks", "alerts", "months", "backfills", "destinations"), "ok")
    expected = well | {"usage watch": "failed"} | dict.fromkeys(("maintain", "redeliver"), "not checked")
    wait_until(lambda: states() == expected, 60, states)  # the job of a busy machine may lag for a moment
    done = asked()
    found = findings(done)
    assert found["months"]["words"] == "none is overdue"  # March is, but its events have just arrived
    assert done.returncode == 2
    assert found["flink"]["words"] == f"Flink 1.20.5 at {stack.flink.url}: job {job} is RUNNING, 0 restarts"
    assert found["usage watch"]["fix"].startswith("start it: amplitude-bridge usage watch")
    shown = typed(stack, "doctor", "--watch", "http://127.0.0.1:9")
    assert "failed       usage watch   nothing answers at http://127.0.0.1:9 " in shown.stdout


def watching(stack: Stack, tmp_path: Path, name: str) -> tuple[subprocess.Popen[str], Path]:
    """A `maintain --watch` with a group of its own, so that it is killed with its JVM; and its log."""
    log = tmp_path / f"{name}.log"
    with log.open("w") as file:
        command = [BRIDGE, "maintain", "--config", stack.settings_path, "--watch"]
        return subprocess.Popen(command, stdout=file, stderr=file, text=True, start_new_session=True), log


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.usefixtures("registry", "job")
def test_the_doctor_sees_both_watches_alive_and_killed(stack: Stack, settings: Settings, tmp_path: Path) -> None:
    lake = Lake(settings.lake_address)
    for name in ("one", "two"):  # each in a file of its own, of a day that is over
        before = lake.rows(EVENT_STORE, ("uuid",)).num_rows
        put(settings, encode(event(app=PROJECT, event_type="page", uuid=f"file {name}")))
        wait_until(lambda known=before: lake.rows(EVENT_STORE, ("uuid",)).num_rows > known, 60, lambda: "no row")
    address = ("--watch", f"http://127.0.0.1:{stack.ports.watch}")

    def states(*names: str) -> list[str]:
        found = findings(typed(stack, "doctor", "--json", *address))
        return [found[name]["state"] for name in names]

    stack.start_watch()
    first, log = watching(stack, tmp_path, "first")
    wait_for(log, "leads")
    second, other_log = watching(stack, tmp_path, "second")
    wait_for(other_log, "maintains these tables, seen ")
    wait_until(lambda: states("usage watch", "maintain") == ["ok", "ok"], 60, log.read_text)
    wait_for(log, f"{EVENT_STORE}: compact done")

    kill(first)
    wait_for(other_log, "leads")
    assert states("maintain") == ["ok"]
    kill(second)
    stack.kill_watch()
    found = findings(typed(stack, "doctor", "--json", *address))
    assert found["maintain"]["state"] == found["usage watch"]["state"] == "failed"
    assert found["maintain"]["fix"] == "start it again: amplitude-bridge maintain --watch"
    assert found["usage watch"]["fix"].startswith("start it: amplitude-bridge usage watch")

    third, log = watching(stack, tmp_path, "third")
    wait_for(log, "leads")
    third.terminate()
    assert third.wait(scaled(120)) == 0
    assert states("maintain") == ["not checked"]


def wait_for(log: Path, words: str) -> None:
    wait_until(lambda: words in log.read_text(), 120, log.read_text)


def test_with_the_whole_stack_down_each_command_says_so_soon(tmp_path: Path) -> None:
    away, config = "http://127.0.0.1:9", tmp_path / "job.toml"
    config.write_text(
        f'[kinesis]\nendpoint = "{away}"\n[dynamodb]\nendpoint = "{away}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/none/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )

    def down(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BRIDGE, *arguments, "--config", config],
            capture_output=True,
            text=True,
            check=False,
            timeout=scaled(40),
        )

    done = down("doctor", "--flink", away, "--watch", away, "--json")
    assert (done.returncode, findings(done)["tables"]["state"]) == (2, "failed")
    done = down("test-connection", "1", "--flink", away, "--json")
    assert (done.returncode, steps(done)["stream"]["state"], steps(done)["arrival"]["state"]) == (
        1,
        "failed",
        "failed",
    )
    done = down("projects", "export")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"amplitude-bridge: DynamoDB cannot be reached: nothing answers at {away}: ")


def test_a_job_that_is_gone_is_told_and_nothing_is_waited_for(stack: Stack, job: str) -> None:
    done = typed(stack, "test-connection", str(PROJECT), "--json")
    assert steps(done)["job"]["state"] == "ok"
    stack.flink.cancel(job)
    stack.kill_jobmanager()
    done = typed(stack, "doctor", "--json")
    assert (done.returncode, findings(done)["flink"]["state"]) == (2, "failed")
    assert findings(done)["checkpoints"]["words"] == "cannot be looked at: see flink"
    assert findings(done)["tables"]["state"] == "ok"
    done = typed(stack, "test-connection", str(SILENT), "--json")
    assert done.returncode == 1
    assert steps(done)["lag"]["state"] == "not checked"
    assert "--flink http://HOST:PORT" in steps(done)["lag"]["words"]
