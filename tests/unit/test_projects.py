"""A worker's copy of the project registry: how old it may get, and what happens when the table is away."""

import pytest

from stores.errors import StoreError
from stores.projects import CachedRegistry, Project
from tests.builders import OTHER_PROJECT, PROJECT

ACME = Project(PROJECT, "acme")
GLOBEX = Project(OTHER_PROJECT, "globex")


class Table:
    """A registry that counts how often it is read, and can be away."""

    def __init__(self, *projects: Project) -> None:
        self.projects = list(projects)
        self.reads = 0
        self.away = False

    def read(self) -> list[Project]:
        self.reads += 1
        if self.away:
            msg = "DynamoDB table projects: no answer from http://localhost:1"
            raise StoreError(msg)
        return list(self.projects)


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> Table:
    return Table(ACME)


@pytest.fixture
def registry(table: Table, clock: Clock) -> CachedRegistry:
    return CachedRegistry(table.read, 15, clock)


def test_the_registry_is_read_at_start(registry: CachedRegistry, table: Table) -> None:
    assert registry() == {PROJECT: ACME}
    assert table.reads == 1


def test_a_registry_that_was_never_read_stops_the_job(table: Table, clock: Clock) -> None:
    table.away = True
    with pytest.raises(StoreError, match=r"^DynamoDB table projects: no answer"):
        CachedRegistry(table.read, 15, clock)


def test_within_the_interval_the_copy_is_used(registry: CachedRegistry, table: Table, clock: Clock) -> None:
    table.projects.append(GLOBEX)
    clock.seconds += 14.999
    assert [registry(), registry()] == [{PROJECT: ACME}] * 2
    assert table.reads == 1


def test_after_the_interval_a_new_project_is_known(registry: CachedRegistry, table: Table, clock: Clock) -> None:
    table.projects.append(GLOBEX)
    clock.seconds += 15
    assert registry() == {PROJECT: ACME, OTHER_PROJECT: GLOBEX}
    clock.seconds += 14.999
    registry()
    assert table.reads == 2


def test_after_the_interval_a_removed_project_is_unknown(
    registry: CachedRegistry, table: Table, clock: Clock
) -> None:
    table.projects.clear()
    clock.seconds += 15
    assert registry() == {}


def test_the_last_good_copy_stays_while_the_table_is_away(
    registry: CachedRegistry, table: Table, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    table.away = True
    clock.seconds += 15
    assert registry() == {PROJECT: ACME}
    assert [record.getMessage() for record in caplog.records] == [
        "project registry not refreshed, the last good copy stays in use: "
        "DynamoDB table projects: no answer from http://localhost:1"
    ]


def test_a_table_that_is_away_is_asked_once_per_interval(
    registry: CachedRegistry, table: Table, clock: Clock
) -> None:
    table.away = True
    clock.seconds += 15
    for _ in range(10):
        registry()
    assert table.reads == 2
    clock.seconds += 15
    registry()
    assert table.reads == 3


def test_a_table_that_is_back_is_read_again(registry: CachedRegistry, table: Table, clock: Clock) -> None:
    table.away = True
    clock.seconds += 15
    registry()
    table.away = False
    table.projects.append(GLOBEX)
    clock.seconds += 15
    assert registry() == {PROJECT: ACME, OTHER_PROJECT: GLOBEX}


def test_another_error_than_the_stores_is_not_swallowed(clock: Clock) -> None:
    answers = iter([[ACME]])
    registry = CachedRegistry(lambda: next(answers), 15, clock)
    clock.seconds += 15
    with pytest.raises(StopIteration):
        registry()
