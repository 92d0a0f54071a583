"""The rules of `doctor`."""

import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

from lab.stack.patience import scaled
from ops.answers.doctor import Health
from ops.answers.doctor.beside import backfills_step, destinations_step, maintain_step, redeliver_step, watch_step
from ops.answers.doctor.cluster import checkpoints_step
from ops.answers.doctor.here import clocks_step, disk_step
from ops.answers.doctor.tables import files_step
from ops.answers.steps import State, Step, side_by_side
from ops.answers.waiting import Waiting
from stores.backfills import Run
from stores.destinations import Destination
from stores.errors import StoreError
from stores.flink import Checkpoint, Checkpoints
from stores.lake import Totals
from stores.leases import Lease
from tests.cases import each

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
MIB, GIB = 2**20, 2**30
TEN = "refers to 10.0 MiB; 2 have failed"


def checkpoint(age: float, took: float = 1, state: int = 10 * MIB) -> Checkpoint:
    return Checkpoint(NOW - timedelta(seconds=age), timedelta(seconds=took), state, MIB)


@each(
    ("completed", "state", "words"),
    [
        ([], "failed", "none has completed since the JobManager started, 2 have failed"),
        ([checkpoint(20)], "ok", f"the newest is 20 s old, took 1.0 s, {TEN}"),
        (
            [checkpoint(20, state=12 * MIB), checkpoint(50), checkpoint(320)],
            "ok",
            "the newest is 20 s old, took 1.0 s, refers to 12.0 MiB (+20% in 5 min); 2 have failed",
        ),
        ([checkpoint(301)], "failed", f"the newest is 301 s old, took 1.0 s, {TEN}"),
        (
            [checkpoint(1, took=61)],
            "warning",
            "the newest is 1 s old, took 61.0 s, refers to 10.0 MiB; 2 have failed",
        ),
    ],
)
def test_checkpoints(completed: list[Checkpoint], state: State, words: str) -> None:
    found = checkpoints_step(Checkpoints(completed, 2), NOW)
    assert (found.state, found.words, bool(found.fix)) == (state, words, state != "ok")


def test_a_checkpoint_that_takes_much_longer_than_those_before_is_a_warning() -> None:
    before = [checkpoint(60, took=2), checkpoint(90, took=3), checkpoint(120, took=3)]
    assert checkpoints_step(Checkpoints([checkpoint(1, took=11), *before], 0), NOW).state == "warning"
    assert checkpoints_step(Checkpoints([checkpoint(1, took=8), *before], 0), NOW).state == "ok"


@each(("off", "state"), [(-4, "ok"), (6, "warning"), (-59, "warning"), (61, "failed")])
def test_clocks(off: int, state: State) -> None:
    found = clocks_step({"Kinesis": timedelta(), "Flink": timedelta(seconds=off)})
    assert (found.state, found.words) == (state, f"against this machine's: Kinesis +0.0 s, Flink {off:+}.0 s")


def test_no_clock_at_all_is_not_checked() -> None:
    assert clocks_step({}).state == "not checked"


@each(("free", "state"), [(11, "ok"), (9, "warning"), (2, "failed")])
def test_disk(free: int, state: State) -> None:
    found = disk_step({"/a": (100 * GIB, 50 * GIB), "/b": (100 * GIB, free * GIB)})
    assert (found.state, found.words) == (
        *(state, f"free on this machine: /a 50.0 GiB (50%), /b {free}.0 GiB ({free}%)"),
    )


def test_many_small_files_are_a_warning_and_many_large_ones_none() -> None:
    assert files_step({"events": Totals(5000, 0, 5000 * 256 * MIB), "ledger": Totals(999, 0, 1)}) == Step(
        "lake", "ok", "data files: events 5,000, ledger 999"
    )
    found = files_step({"events": Totals(5000, 0, 5000 * MIB // 2)})
    assert (found.state, found.words) == ("warning", "events has 5,000 files of 0.50 MiB on average")


def test_what_hangs_holds_up_no_other_and_what_is_unforeseen_ends_nothing() -> None:
    def away() -> Step:
        msg = "it is away"
        raise StoreError(msg)

    def wrong() -> Step:
        raise ZeroDivisionError

    def hang() -> Step:
        time.sleep(scaled(20))
        raise AssertionError

    def well() -> Step:
        return Step("well", "ok", "")

    begun = time.monotonic()
    asked = {"hangs": hang, "away": away, "wrong": wrong, "well": well}
    found = side_by_side(asked, 0.05, lambda name, why: Step(name, "failed", why))
    assert time.monotonic() - begun < scaled(10)
    assert [one.words for one in found] == [
        "no answer about hangs within 0 s",
        "it is away",
        "unforeseen: ZeroDivisionError()",
        "",
    ]


@each(
    ("states", "worst"),
    [
        (("ok", "not checked"), "ok"),
        (("ok", "warning"), "warning"),
        (("warning", "failed", "ok"), "failed"),
    ],
)
def test_the_worst_finding_counts(states: tuple[State, ...], worst: State) -> None:
    assert Health(tuple(Step("a", state, "") for state in states)).worst == worst


@each(
    ("code", "body", "state", "words"),
    [
        (200, b"ok\n", "ok", "it answers at {url}, and looks after alerts"),
        (503, b"DynamoDB is\naway\n", "failed", "it answers at {url}: DynamoDB is away"),
        (500, b"", "failed", "it answers at {url}: 500"),
    ],
)
def test_usage_watch_is_asked_how_it_is(code: int, body: bytes, state: State, words: str) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/health"
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}"
        found = watch_step(f"{url}/")
    assert (found.state, found.words) == (state, words.format(url=url))


@each(
    ("age", "state", "words"),
    [
        (20, "ok", "host:17 was seen 20 s ago"),
        (61, "failed", "host:17 was seen 61 s ago: it has ended without a word"),
    ],
)
def test_who_maintains_the_tables_is_known_by_the_lease(age: int, state: State, words: str) -> None:
    seen = (NOW - timedelta(seconds=age)).isoformat()
    found = maintain_step(Lease("host:17", "", 60, seen), NOW)
    assert (found.state, found.words) == (state, words)
    assert maintain_step(None, NOW).state == "not checked"


def run(project_id: int, holder: str, seen: float, ended: str | None = None) -> Run:
    at = (NOW - timedelta(seconds=seen)).isoformat()
    return Run(project_id, holder, "export.zip", "", "2026-03-15T10:00:00+00:00", at, put=1200, ended_at=ended)


def test_a_backfill_that_was_cut_off_is_named_and_one_that_runs_or_has_ended_is_not() -> None:
    well = [run(1, "lena@host:1", 10), run(2, "", 9_000, ended="2026-03-15T09:00:00+00:00")]
    assert backfills_step(well, NOW) == Step("backfills", "ok", "1 run, and none was cut off")
    found = backfills_step([*well, run(3, "lena@host:2", 31), run(4, "", 5)], NOW)
    one = "(1,200 records put, begun 2026-03-15T10:00)"
    assert (found.state, found.words) == ("warning", f"cut off before its end: of project 3 {one}, 4 {one}")


def test_a_destination_that_amplitude_refuses_is_named() -> None:
    well = [Destination(1, "us", b"", "abcd"), Destination(2, "us", b"", "abcd", "paused")]
    assert destinations_step([]) == Step("destinations", "ok", "none is set")
    assert destinations_step(well) == Step("destinations", "ok", "1 ok, 1 paused")
    refused = Destination(3, "eu", b"", "abcd", "auth_error", "2026-03-15T10:00:00.000+00:00", "Invalid API key")
    found = destinations_step([*well, refused])
    assert found.words == "3 is auth_error since 2026-03-15T10:00: Invalid API key"
    assert found.fix == "amplitude-bridge destinations test 3"


def wait(project_id: int, due: float | None, events: int = 7) -> Waiting:
    """Events of a project, the first of them due so many seconds ago."""
    since = NOW - timedelta(hours=1)
    return Waiting(
        project_id, events, since, "ok", "HTTP 403", None if due is None else NOW - timedelta(seconds=due)
    )


def test_what_waits_and_is_not_overdue_is_well_whoever_runs() -> None:
    found = [wait(1, 600), wait(2, None), wait(3, -3_600, events=1_000)]
    assert redeliver_step(found, None, NOW) == Step("redeliver", "ok", "1,014 events wait, and none is overdue")
    part = "1,014 events wait, and none is overdue of those that arrived since 2026-03-15; there are older ones"
    assert redeliver_step(found, None, NOW, NOW) == Step("redeliver", "ok", part)


@each(
    ("seen", "state", "words", "fix"),
    [
        (None, "failed", "no process has redeliver's lease", "does `redeliver --watch` run? "),
        (61, "failed", "no process has redeliver's lease", "does `redeliver --watch` run? "),
        (5, "warning", "host:17 looks after them", "look at the log of `redeliver --watch`"),
    ],
)
def test_what_is_overdue_has_nobody_who_redelivers_or_one_that_is_behind(
    seen: float | None, state: State, words: str, fix: str
) -> None:
    held = None if seen is None else Lease("host:17", "", 60, (NOW - timedelta(seconds=seen)).isoformat())
    found = redeliver_step([wait(1, 601), wait(2, 5)], held, NOW)
    late = "events that wait are overdue: of project 1 (the first of 7 since 2026-03-15T11:49)"
    assert (found.state, found.words) == (state, f"{late}; {words}")
    assert found.fix.startswith(fix)


def test_whose_process_on_this_machine_is_gone_need_not_run_out_first() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    found = maintain_step(Lease(f"{socket.gethostname()}:{gone.pid}", "", 60, NOW.isoformat()), NOW)
    assert (found.state, found.fix) == ("failed", "start it again: amplitude-bridge maintain --watch")
