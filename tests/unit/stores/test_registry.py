"""A worker's copy of the project registry: never in the way, and what happens when the table is away."""

import gc
import threading
from collections.abc import Callable

import pytest

from lab.stack.patience import wait_until
from stores.errors import StoreError
from stores.project import Project, linked
from stores.registry import CachedRegistry, Registry
from tests.builders import OTHER_PROJECT, PROJECT

ACME = linked(PROJECT, "acme")
GLOBEX = linked(OTHER_PROJECT, "globex")


class Table:
    """A registry that counts how often it is read, and can be away or hang."""

    def __init__(self, *projects: Project) -> None:
        self.projects = list(projects)
        self.reads = 0
        self.away: Exception | None = None
        self.asked_again = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def read(self) -> Registry:
        self.reads += 1
        if self.reads > 1:
            self.asked_again.set()
        assert self.answers.wait(10)
        if self.away:
            raise self.away
        return {project.project_id: project for project in self.projects}


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


AWAY = StoreError("DynamoDB table projects: no answer from http://localhost:1")
WARNING = (
    "WARNING",
    "project registry not refreshed, the last good copy stays in use: "
    "DynamoDB table projects: no answer from http://localhost:1",
)
RECOVERED = ("INFO", "project registry refreshed again")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> Table:
    return Table(ACME)


@pytest.fixture
def copy(table: Table, clock: Clock) -> CachedRegistry[Registry]:
    return CachedRegistry(table.read, clock)


def until(true: Callable[[], bool]) -> None:
    """Wait for what a thread does."""
    wait_until(true, 10, pause=0.001)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_the_registry_is_read_at_start(copy: CachedRegistry[Registry], table: Table) -> None:
    assert copy() == {PROJECT: ACME}
    assert (table.reads, copy.age_seconds) == (1, 0.0)


def test_a_registry_that_was_never_read_stops_the_job(table: Table, clock: Clock) -> None:
    table.away = AWAY
    with pytest.raises(StoreError, match=r"^DynamoDB table projects: no answer"):
        CachedRegistry(table.read, clock)


def test_a_call_reads_nothing_however_old_the_copy_is(
    copy: CachedRegistry[Registry], table: Table, clock: Clock
) -> None:
    table.projects.append(GLOBEX)
    clock.seconds += 86_400
    assert copy() == {PROJECT: ACME}
    assert (table.reads, copy.age_seconds) == (1, 86_400.0)


def test_a_refresh_brings_what_was_added_and_drops_what_was_removed(
    copy: CachedRegistry[Registry], table: Table, clock: Clock
) -> None:
    table.projects = [GLOBEX, linked(PROJECT, "initech")]
    clock.seconds += 15
    copy.refresh()
    assert copy() == {OTHER_PROJECT: GLOBEX, PROJECT: linked(PROJECT, "initech")}
    assert copy.age_seconds == 0.0
    table.projects = []
    copy.refresh()
    assert copy() == {}


def test_a_copy_is_as_old_as_the_beginning_of_its_reading(clock: Clock) -> None:
    def slowly() -> list[Project]:
        clock.seconds += 3
        return [ACME]

    assert CachedRegistry(slowly, clock).age_seconds == 3.0


@pytest.mark.parametrize("error", [AWAY, ValueError("a bug")], ids=["the store's", "a bug's"])
def test_the_last_good_copy_stays_while_the_table_is_away(
    copy: CachedRegistry[Registry], table: Table, clock: Clock, error: Exception
) -> None:
    table.away = error
    for _ in range(3):
        clock.seconds += 15
        copy.refresh()
    assert (copy(), copy.age_seconds, table.reads) == ({PROJECT: ACME}, 45.0, 4)


def test_one_line_tells_when_it_fails_and_one_when_it_is_over(
    copy: CachedRegistry[Registry], table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    copy.refresh()
    for _ in range(2):  # each streak of failures anew
        table.away = AWAY
        copy.refresh()
        copy.refresh()
        table.away = None
        copy.refresh()
        copy.refresh()
    assert said(caplog) == [WARNING, RECOVERED] * 2


def test_the_thread_refreshes_while_nobody_calls(table: Table) -> None:
    copy = CachedRegistry(table.read)
    table.projects.append(GLOBEX)
    copy.refresh_every(0.001)
    assert table.asked_again.wait(10)
    until(lambda: copy() == {PROJECT: ACME, OTHER_PROJECT: GLOBEX})


def test_a_table_that_hangs_holds_up_nobody(table: Table, clock: Clock) -> None:
    copy = CachedRegistry(table.read, clock)
    table.answers.clear()
    copy.refresh_every(0.001)
    assert table.asked_again.wait(10)
    clock.seconds += 60
    assert (copy(), copy.age_seconds) == ({PROJECT: ACME}, 60.0)
    table.answers.set()
    until(lambda: copy.age_seconds == 0.0)


def test_the_thread_ends_with_the_last_user_of_the_copy(table: Table) -> None:
    before = set(threading.enumerate())
    copy = CachedRegistry(table.read)
    copy.refresh_every(0.001)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    assert table.asked_again.wait(10)
    del copy
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
