"""The registry in a real DynamoDB: links and plans, what is refused, and changes at the same moment."""

import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from lab.stack.patience import scaled, wait_until
from stores.cohorts import Cohorts
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.project import Link, Plan, Project, Terms, linked
from stores.projects import Projects
from stores.registry import open_registry

JANUARY = datetime(2026, 1, 1)  # noqa: DTZ001  naive UTC, as all times of the registry
FEBRUARY = datetime(2026, 2, 1)  # noqa: DTZ001
MARCH = datetime(2026, 3, 1, 12, 30, 15, 250000)  # noqa: DTZ001
MANY = 8  # at the same moment, so that some do meet
OVERTAKEN = "{} was changed by somebody else at the same moment: look at projects list and try again"


@pytest.fixture
def address(tmp_path: Path, dynamodb_endpoint: str) -> TablesAddress:
    return TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-")


@pytest.fixture
def registry(address: TablesAddress) -> Projects:
    projects = Projects(address)
    projects.create()
    return projects


def refusal(change: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as refused:
        change()
    return str(refused.value)


def at_once(changes: Sequence[Callable[[], object]]) -> list[str]:
    """Begin them all at the same moment; the refusals."""
    barrier = Barrier(len(changes))

    def run(change: Callable[[], object]) -> str | None:
        barrier.wait(10)
        try:
            change()
        except StoreError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(changes)) as pool:
        return [said for said in pool.map(run, changes) if said is not None]


def stored(registry: Projects, table: str, **key: dict[str, str]) -> dict[str, Any]:
    client: Any = registry.client
    item: dict[str, Any] = client.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
    return item


def test_tables_that_are_there_are_left_alone(registry: Projects) -> None:
    registry.add(linked(1, "acme"))
    registry.create()
    assert registry.list() == [linked(1, "acme")]


def test_what_stands_in_the_tables(registry: Projects) -> None:
    registry.add(linked(1, "acme", JANUARY, 500))
    registry.unlink(1, FEBRUARY)
    registry.link(1, "globex", MARCH)
    assert stored(registry, registry.projects.name, project_id={"N": "1"}) == {
        "project_id": {"N": "1"},
        "notifly_project": {"S": "globex"},
        "status": {"S": "linked"},
        "monthly_limit": {"N": "500"},
        "thresholds": {"L": [{"N": "50"}, {"N": "80"}, {"N": "90"}, {"N": "100"}]},
        "earlier_terms": {"L": []},
        "version": {"N": "3"},
        "links": {
            "L": [
                {
                    "M": {
                        "notifly_project": {"S": "acme"},
                        "linked_at": {"S": "2026-01-01T00:00:00Z"},
                        "unlinked_at": {"S": "2026-02-01T00:00:00Z"},
                    }
                },
                {"M": {"notifly_project": {"S": "globex"}, "linked_at": {"S": "2026-03-01T12:30:15.250000Z"}}},
            ]
        },
    }
    registry.allow("globex", 3)
    assert stored(registry, registry.plans.name, notifly_project={"S": "globex"}) == {
        "notifly_project": {"S": "globex"},
        "max_projects": {"N": "3"},
        "linked": {"NS": ["1"]},
    }
    assert registry.plan("globex") == Plan("globex", 3, (1,))
    assert registry.plan("acme") == Plan("acme", 1, ())


def test_a_project_is_linked_unlinked_and_linked_again(registry: Projects) -> None:
    registry.add(linked(1, "acme", JANUARY, 500))
    assert registry.get(1) == Project(1, (Link("acme", JANUARY),), Terms(500))
    registry.unlink(1, FEBRUARY)
    assert registry.get(1) == Project(1, (Link("acme", JANUARY, FEBRUARY),), Terms(500))
    registry.link(1, "acme", FEBRUARY)  # from the moment of the end on: no gap
    registry.unlink(1, FEBRUARY)  # a link of no length
    registry.link(1, "globex", MARCH)
    links = (Link("acme", JANUARY, FEBRUARY), Link("acme", FEBRUARY, FEBRUARY), Link("globex", MARCH))
    assert registry.list() == [Project(1, links, Terms(500))]


def test_an_id_is_registered_once(registry: Projects) -> None:
    registry.add(linked(1, "acme", JANUARY))
    assert refusal(lambda: registry.add(linked(1, "globex", MARCH))) == (
        "Amplitude project 1 is registered already, linked to acme since 2026-01-01T00:00:00Z: "
        "to begin earlier, projects extend-link 1"
    )
    registry.unlink(1, FEBRUARY)
    assert refusal(lambda: registry.add(linked(1, "globex", MARCH))) == (
        "Amplitude project 1 is registered already, unlinked from acme since 2026-02-01T00:00:00Z: "
        "link it again with projects link 1"
    )
    assert registry.list() == [Project(1, (Link("acme", JANUARY, FEBRUARY),))]
    assert registry.plan("globex") == Plan("globex")


def test_a_link_begins_after_the_last_one_only(registry: Projects) -> None:
    registry.add(linked(1, "acme", JANUARY))
    assert refusal(lambda: registry.link(1, "globex", MARCH)) == (
        "Amplitude project 1 is linked to acme since 2026-01-01T00:00:00Z: end that with projects unlink 1 first"
    )
    registry.unlink(1, MARCH)
    assert refusal(lambda: registry.link(1, "globex", FEBRUARY)) == (
        "Amplitude project 1 is unlinked from acme since 2026-03-01T12:30:15.250000Z: "
        "link it from then on or later, not from 2026-02-01T00:00:00Z"
    )
    assert registry.get(1) == Project(1, (Link("acme", JANUARY, MARCH),))


def test_a_link_ends_once_and_not_before_it_begins(registry: Projects) -> None:
    registry.add(linked(1, "acme", FEBRUARY))
    assert refusal(lambda: registry.unlink(1, JANUARY)) == (
        "Amplitude project 1 is linked to acme since 2026-02-01T00:00:00Z: "
        "unlink it from then on or later, not from 2026-01-01T00:00:00Z"
    )
    registry.unlink(1, MARCH)
    assert refusal(lambda: registry.unlink(1, MARCH)) == (
        "Amplitude project 1 is unlinked from acme since 2026-03-01T12:30:15.250000Z: there is no link to end"
    )


def test_what_is_not_registered_has_no_links(registry: Projects) -> None:
    for change in (
        lambda: registry.get(7),
        lambda: registry.unlink(7, MARCH),
        lambda: registry.link(7, "acme", MARCH),
    ):
        assert refusal(change) == "Amplitude project 7 is not registered: projects add registers it"


def test_a_second_project_needs_a_plan(registry: Projects) -> None:
    registry.add(linked(1, "acme"))
    assert refusal(lambda: registry.add(linked(2, "acme"))) == (
        "acme has Amplitude project 1 linked, and its plan allows 1: more need a plan that allows them, "
        "contact contact@notifly.tech, then: projects allow acme 2"
    )
    registry.allow("acme", 2)
    registry.add(linked(2, "acme"))
    assert refusal(lambda: registry.add(linked(3, "acme"))) == (
        "acme has Amplitude projects 1, 2 linked, and its plan allows 2: more need a plan that allows them, "
        "contact contact@notifly.tech, then: projects allow acme 3"
    )
    assert registry.list() == [linked(1, "acme"), linked(2, "acme")]
    assert registry.plan("acme") == Plan("acme", 2, (1, 2))


def test_an_unlink_makes_room_and_a_link_needs_it(registry: Projects) -> None:
    registry.add(linked(1, "acme", JANUARY))
    registry.unlink(1, FEBRUARY)
    registry.add(linked(2, "acme", FEBRUARY))
    assert refusal(lambda: registry.link(1, "acme", MARCH)) == (
        "acme has Amplitude project 2 linked, and its plan allows 1: more need a plan that allows them, "
        "contact contact@notifly.tech, then: projects allow acme 2"
    )
    assert registry.get(1) == Project(1, (Link("acme", JANUARY, FEBRUARY),))
    registry.link(1, "globex", MARCH)
    assert (registry.plan("acme").linked, registry.plan("globex").linked) == ((2,), (1,))


def test_a_project_that_has_ended_takes_no_place(registry: Projects) -> None:
    registry.add(Project(1, (Link("acme", JANUARY, FEBRUARY),)))
    registry.add(linked(2, "acme"))
    assert registry.plan("acme") == Plan("acme", 1, (2,))


def test_a_plan_is_never_smaller_than_what_is_linked(registry: Projects) -> None:
    registry.allow("acme", 2)
    registry.add(linked(1, "acme", JANUARY))
    registry.add(linked(2, "acme"))
    registry.allow("acme", 2)
    assert refusal(lambda: registry.allow("acme", 1)) == (
        "acme has Amplitude projects 1, 2 linked: allow at least 2, or projects unlink one first"
    )
    assert refusal(lambda: registry.allow("acme", 0)) == (
        "a plan of 0 projects: allow at least 1, and projects unlink what is not wanted"
    )
    registry.unlink(1, FEBRUARY)
    registry.allow("acme", 1)
    assert registry.plan("acme") == Plan("acme", 1, (2,))


def test_of_adds_at_once_one_wins(registry: Projects) -> None:
    refused = at_once([partial(registry.add, linked(n, "acme")) for n in range(MANY)])
    (won,) = registry.list()
    used_up = (
        f"acme has Amplitude project {won.project_id} linked, and its plan allows 1: more need a plan that allows "
        "them, contact contact@notifly.tech, then: projects allow acme 2"
    )
    assert registry.plan("acme") == Plan("acme", 1, (won.project_id,))
    assert len(refused) == MANY - 1
    assert set(refused) <= {used_up, *(OVERTAKEN.format(f"Amplitude project {n} or acme") for n in range(MANY))}


def test_adds_at_once_fill_a_plan_and_no_more(registry: Projects) -> None:
    registry.allow("acme", 3)

    def add(number: int) -> None:
        while True:
            try:
                return registry.add(linked(number, "acme"))
            except StoreError as error:
                if "try again" not in str(error):
                    raise

    refused = at_once([partial(add, n) for n in range(MANY)])
    won = tuple(project.project_id for project in registry.list())
    assert (len(won), len(refused)) == (3, MANY - 3)
    assert registry.plan("acme") == Plan("acme", 3, won)


def test_an_id_that_many_register_at_once_has_one_owner(registry: Projects) -> None:
    refused = at_once([partial(registry.add, linked(1, f"shop-{n}")) for n in range(MANY)])
    (won,) = registry.list()
    assert len(refused) == MANY - 1
    places = {f"shop-{n}": registry.plan(f"shop-{n}").linked for n in range(MANY)}
    assert places == {name: (1,) if name == won.notifly_project else () for name in places}


def test_of_links_at_once_one_is_kept_and_none_is_lost(registry: Projects) -> None:
    registry.add(linked(1, "acme", JANUARY))
    ends = [FEBRUARY + timedelta(days=n) for n in range(MANY)]
    assert len(at_once([partial(registry.unlink, 1, end) for end in ends])) == MANY - 1
    (ended,) = registry.get(1).links
    assert ended.unlinked_at in ends
    assert len(at_once([partial(registry.link, 1, f"shop-{n}", MARCH) for n in range(MANY)])) == MANY - 1
    first, second = registry.get(1).links
    assert (first, second.linked_at, second.unlinked_at) == (ended, MARCH, None)
    places = {f"shop-{n}": registry.plan(f"shop-{n}").linked for n in range(MANY)}
    assert places == {name: (1,) if name == second.notifly_project else () for name in places}


def test_a_change_of_what_was_read_before_another_change_is_refused(registry: Projects) -> None:
    registry.add(linked(1, "acme", JANUARY))

    class Overtaken(Projects):
        """Somebody else unlinks the project between this one's reading and writing."""

        def _write(self, project: Project, version: int) -> None:
            registry.unlink(1, FEBRUARY)
            super()._write(project, version)

    assert refusal(lambda: Overtaken(registry.projects.address).unlink(1, MARCH)) == OVERTAKEN.format(
        "Amplitude project 1 or acme"
    )
    assert registry.get(1) == Project(1, (Link("acme", JANUARY, FEBRUARY),))


def test_a_worker_learns_of_a_project_by_itself(registry: Projects, address: TablesAddress) -> None:
    acme, globex, cohorts = linked(1, "acme"), linked(2, "globex"), Cohorts(address)
    registry.add(acme)
    cohorts.create()
    copy = open_registry(address, 0.05)
    assert copy() == {1: acme}
    registry.add(globex)
    cohorts.add("2", 1)
    cohorts.add("of nobody", 3)
    wait_until(lambda: len(copy()) == 3, 10, copy, pause=0.01)
    assert copy() == {1: acme, 2: globex, "2": acme}
    assert copy.age_seconds < scaled(10)


def test_a_table_that_hangs_stops_a_start_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        begin = time.monotonic()
        said = refusal(lambda: open_registry(TablesAddress("ap-northeast-2", endpoint, ""), 15))
    assert said == (
        f'DynamoDB table projects at {endpoint} cannot be used: Read timeout on endpoint URL: "{endpoint}/"'
    )
    assert time.monotonic() - begin < scaled(10)
