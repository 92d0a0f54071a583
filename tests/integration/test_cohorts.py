"""Cohorts in a real DynamoDB: whose one is, who is in it whatever the order of messages, and their commands."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from click.testing import CliRunner

from ops.cli.cohorts import cohorts
from stores.cohorts import EVERYBODY, Cohort, CohortMembers, Cohorts, Member
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.project import linked
from stores.projects import Projects
from udfs import clock
from udfs.cohorts import entries

JANUARY = 1_767_225_600_000_000  # microseconds
FAR_AHEAD = 99_999_999_999_000_000  # the year 5138
FUTURE = Path(__file__).resolve().parents[1] / "fixtures" / "reported" / "cohort_future_time.ndjson"
LONG = "é" * 600  # 1200 bytes
MANY = 8  # at the same moment, so that some do meet


@pytest.fixture
def address(tmp_path: Path, dynamodb_endpoint: str) -> TablesAddress:
    return TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-")


@pytest.fixture
def registry(address: TablesAddress) -> Cohorts:
    table = Cohorts(address)
    table.create()
    return table


@pytest.fixture
def members(address: TablesAddress) -> CohortMembers:
    table = CohortMembers(address)
    table.create()
    return table


def refusal(change: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as refused:
        change()
    return str(refused.value)


def items(table: Cohorts | CohortMembers) -> list[dict[str, Any]]:
    client: Any = table.table.client
    found: list[dict[str, Any]] = client.scan(TableName=table.table.name, ConsistentRead=True)["Items"]
    return found


def joins(user_id: str, at: int, project_id: int = 1, cohort_id: str = "c") -> Member:
    return Member(project_id, cohort_id, user_id, True, JANUARY + at)


def leaves(user_id: str, at: int, project_id: int = 1, cohort_id: str = "c") -> Member:
    return Member(project_id, cohort_id, user_id, False, JANUARY + at)


def resets(at: int) -> Member:
    return leaves(EVERYBODY, at)


def who(table: CohortMembers, project_id: int = 1, cohort_id: str = "c") -> list[str]:
    return [member.user_id for member in table.members(project_id, cohort_id)]


# Whose a cohort is


def test_a_cohort_is_registered_for_one_project(registry: Cohorts) -> None:
    registry.add("b", 2)
    registry.add("a", 1)
    registry.create()  # a table that is there is left alone
    assert refusal(lambda: registry.add("a", 1)) == (
        "cohort a is registered for project 1 already: there is nothing to do"
    )
    assert refusal(lambda: registry.add("a", 2)) == (
        "cohort a is registered for project 1 already: its messages name no project, so it cannot be told apart; "
        "give project 2 a cohort of its own"
    )
    assert registry.list() == [Cohort("a", 1), Cohort("b", 2)]
    assert registry.get("b") == Cohort("b", 2)
    assert refusal(lambda: registry.get("c")) == "cohort c is not registered: cohorts add registers it"


def test_a_cohort_that_projects_register_at_once_has_one_owner(registry: Cohorts) -> None:
    barrier = Barrier(MANY)

    def add(project_id: int) -> str | None:
        barrier.wait(10)
        try:
            registry.add("c", project_id)
        except StoreError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(MANY) as pool:
        said = list(pool.map(add, range(MANY)))
    (owner,) = [project_id for project_id, refused in enumerate(said) if refused is None]
    assert registry.list() == [Cohort("c", owner)]
    assert [refused for refused in said if refused] == [
        f"cohort c is registered for project {owner} already: its messages name no project, so it cannot be told "
        f"apart; give project {other} a cohort of its own"
        for other in range(MANY)
        if other != owner
    ]


def test_the_newest_message_gives_the_name(registry: Cohorts) -> None:
    registry.add("c", 1)
    names = []
    for name, at in (("one", 1), ("two", 3), ("older", 2), ("same time", 3), ("three", 4)):
        registry.rename("c", 1, name, JANUARY + at)
        names.append(registry.get("c").name)
    assert names == ["one", "two", "two", "two", "three"]
    (item,) = items(registry)
    assert item.pop("registered_at")["S"].endswith("+00:00")
    assert item == {
        "cohort_id": {"S": "c"},
        "project_id": {"N": "1"},
        "name": {"S": "three"},
        "named_at": {"N": "1767225600.000004"},
    }


def test_a_name_registers_nothing(registry: Cohorts) -> None:
    registry.rename("c", 1, "name", JANUARY)
    assert registry.list() == []


def test_a_name_of_a_time_far_ahead_gives_way(registry: Cohorts) -> None:
    registry.add("c", 1)
    registry.rename("c", 1, "of an older version", FAR_AHEAD)
    registry.rename("c", 1, "today's", JANUARY)
    registry.rename("c", 1, "older", JANUARY - 1)
    assert registry.get("c").name == "today's"


def test_a_cohort_of_that_id_in_another_project_does_not_name_it(registry: Cohorts) -> None:
    registry.add("c", 1)
    registry.rename("c", 2, "another project's", JANUARY)
    assert registry.get("c").name is None


# Who is in it


def test_a_reset_lets_everybody_leave_who_entered_before(members: CohortMembers) -> None:
    members.write([joins("a", 1), joins("b", 3)])
    assert members.write([resets(2)]) == 0
    members.write([joins("c", 4)])
    assert [member.user_id for member in members.members(1, "c")] == ["b", "c"]
    assert members.count(1, "c") == 2
    members.write([joins("a", 5), resets(1)])
    assert [member.user_id for member in members.members(1, "c", 1)] == ["a"]
    assert members.count(1, "c") == 3
    members.write([resets(4)])
    assert [member.user_id for member in members.members(1, "c")] == ["a"]


def test_what_stands_in_the_table(members: CohortMembers) -> None:
    assert members.write([joins("u", 250_000), leaves(LONG, 0)]) == 0
    found = sorted(items(members), key=lambda item: item["member"]["S"])
    assert all(item.pop("updated_at")["S"].endswith("+00:00") for item in found)
    assert found == [
        {
            "cohort": {"S": "1:c"},
            "member": {"S": f"#{sha256(LONG.encode()).hexdigest()}"},
            "user_id": {"S": LONG},
            "in_cohort": {"BOOL": False},
            "computed_time": {"N": "1767225600"},
        },
        {
            "cohort": {"S": "1:c"},
            "member": {"S": "u"},
            "user_id": {"S": "u"},
            "in_cohort": {"BOOL": True},
            "computed_time": {"N": "1767225600.25"},
        },
    ]
    assert list(members.members(1, "c")) == [joins("u", 250_000)]


HISTORY = [joins("u", 1), leaves("u", 2), joins("u", 3), leaves("v", 3), joins("v", 2)]


def test_order_and_repeats_do_not_matter(members: CohortMembers) -> None:
    for n, order in enumerate(permutations(HISTORY[:3])):
        for member in (*order, *order[:2]):
            assert members.write([member._replace(cohort_id=f"c{n}")]) == 0
    orders = list(permutations(HISTORY))[::6]
    for n, order in enumerate(orders):
        assert members.write(member._replace(cohort_id=f"d{n}") for member in (*order, *order)) == 0
    assert [list(members.members(1, f"c{n}")) for n in range(6)] == [
        [joins("u", 3, cohort_id=f"c{n}")] for n in range(6)
    ]
    assert [who(members, 1, f"d{n}") for n in range(len(orders))] == [["u"]] * len(orders)


def test_who_has_left_does_not_return_with_an_older_message(members: CohortMembers) -> None:
    members.write([joins("u", 1)])
    members.write([leaves("u", 3)])
    assert members.write([joins("u", 2)]) == 0
    assert (who(members), members.count(1, "c")) == ([], 0)
    members.write([joins("u", 4)])
    assert (who(members), members.count(1, "c")) == (["u"], 1)


def test_a_time_far_ahead_of_an_older_version_gives_way(members: CohortMembers) -> None:
    ahead = FAR_AHEAD - JANUARY
    members.write([joins("u", ahead), leaves("v", ahead)])
    assert members.write([leaves("u", 1), joins("v", 1)]) == 0
    assert who(members) == ["v"]
    members.write([joins("u", 0), leaves("v", 0)])  # older than what counts now
    assert who(members) == ["v"]


def test_who_entered_by_a_clock_far_ahead_can_leave_and_enter_again(members: CohortMembers) -> None:
    arrival = datetime.fromisoformat("2026-11-27 07:30:00")
    for payload in FUTURE.read_bytes().splitlines():
        for message, entry in entries(payload, arrival):
            at = clock.microseconds(message.computed_time)
            members.write([Member(1, "gs72ns", str(entry.user_id), message.in_cohort, at)])
    assert (who(members, 1, "gs72ns"), len(items(members))) == ([], 1)
    members.write([Member(1, "gs72ns", "user-b", True, clock.microseconds(arrival))])
    assert who(members, 1, "gs72ns") == ["user-b"]


@pytest.mark.parametrize(
    ("batches", "ties", "left"),
    [
        ([[joins("u", 1), leaves("u", 1)]], [1], []),
        ([[leaves("u", 1), joins("u", 1), joins("u", 1)]], [1], []),
        ([[joins("u", 1)], [leaves("u", 1)]], [0, 1], []),
        ([[leaves("u", 1)], [joins("u", 1)]], [0, 1], []),
        ([[joins("u", 1)], [joins("u", 1), leaves("u", 1)]], [0, 1], []),
        ([[leaves("u", 1)], [leaves("u", 1)], [joins("u", 2)]], [0, 0, 0], ["u"]),
        ([[joins("u", 1), leaves("u", 1), joins("u", 2)]], [0], ["u"]),
        ([[joins("u", 1), leaves("v", 1)], [leaves("u", 1), joins("v", 1), joins("w", 1)]], [0, 2], ["w"]),
    ],
    ids=["batch", "batch reversed", "table", "table reversed", "both", "no tie", "of older ones", "of two users"],
)
def test_at_a_tie_a_user_has_left(
    members: CohortMembers, batches: list[list[Member]], ties: list[int], left: list[str]
) -> None:
    assert [members.write(batch) for batch in batches] == ties
    assert who(members) == left


def test_tenants_and_cohorts_have_each_their_own(members: CohortMembers) -> None:
    members.write([joins("u", 1), joins("v", 1), joins("u", 1, project_id=11), joins("u", 1, cohort_id="1:c")])
    assert members.write([leaves("u", 2, project_id=11), leaves("v", 2)]) == 0
    assert [who(members, 1, "c"), who(members, 11, "c"), who(members, 1, "1:c"), who(members, 1, "d")] == [
        *(["u"], [], ["u"], [])
    ]


def test_user_ids_are_kept_apart_however_long(members: CohortMembers) -> None:
    digest = sha256(LONG.encode()).hexdigest()
    ids = ["#", "U", "a" * 1000, "a" * 1001, LONG, LONG + "x", digest, f"#{digest}", "u"]
    assert members.write(joins(name, n) for n, name in enumerate(ids)) == 0
    assert members.write([leaves(f"#{digest}", 100)]) == 0
    found = {member.user_id: member.computed_time - JANUARY for member in members.members(1, "c")}
    assert found == {name: n for n, name in enumerate(ids) if name != f"#{digest}"}


def test_members_are_read_page_by_page(members: CohortMembers) -> None:
    ids = [f"{n:04}" + "x" * 990 for n in range(600)]  # more than the 1 MB of a page: a key and a user id each
    members.write([*(joins(name, 1) for name in ids), *(leaves(f"gone{n}", 1) for n in range(5))])
    assert who(members) == ids
    assert [member.user_id for member in members.members(1, "c", limit=550)] == ids[:550]
    assert members.count(1, "c") == 600


def test_a_table_that_is_away_is_one_line() -> None:
    said = refusal(lambda: who(CohortMembers(TablesAddress("ap-northeast-2", "http://127.0.0.1:9", "t-"))))
    assert said.startswith("DynamoDB cannot be reached: nothing answers at http://127.0.0.1:9: ")


# The commands


@pytest.fixture
def config(tmp_path: Path, address: TablesAddress) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{address.endpoint}"\ntable_prefix = "{address.table_prefix}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}/warehouse"\n'
    )
    projects = Projects(address)
    projects.create()
    projects.add(linked(1, "acme"))
    projects.add(linked(2, "globex"))
    return path


def printed(config: Path, *arguments: str) -> str:
    done = CliRunner().invoke(cohorts, ["--config", str(config), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def said(config: Path, *arguments: str) -> str:
    """The one line with which a command refuses."""
    refused = CliRunner().invoke(cohorts, ["--config", str(config), *arguments])
    assert isinstance(refused.exception, StoreError), refused.output
    return str(refused.exception)


def test_cohorts_are_added_and_listed(config: Path, address: TablesAddress) -> None:
    assert said(config, "add", "c", "3") == "Amplitude project 3 is not registered: projects add registers it"
    assert printed(config, "add", "c", "1") == "cohort c is registered for project 1\n"
    assert said(config, "add", "c", "2").startswith("cohort c is registered for project 1 already: its messages")
    printed(config, "add", "b", "2")
    Cohorts(address).rename("c", 1, "[red]\x1b[2J", JANUARY)
    assert json.loads(printed(config, "list", "--json")) == [
        {"cohort_id": "b", "project_id": 2, "name": None},
        {"cohort_id": "c", "project_id": 1, "name": "[red]\x1b[2J"},
    ]
    assert printed(config, "list") == (
        "┏━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━┓\n"
        "┃ cohort ┃ project ┃ name         ┃\n"
        "┡━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━┩\n"
        "│ b      │ 2       │              │\n"
        "│ c      │ 1       │ [red]\\x1b[2J │\n"
        "└────────┴─────────┴──────────────┘\n"
    )


def test_members_are_listed_with_their_number(config: Path, address: TablesAddress) -> None:
    printed(config, "add", "c", "1")
    members = CohortMembers(address)
    assert said(config, "members", "1", "d") == "cohort d is not registered: cohorts add registers it"
    assert printed(config, "members", "1", "c") == "0 members\n"
    members.write([joins("b\x1b[2J", 1), joins("a", 1), joins("c", 1), leaves("d", 1)])
    assert printed(config, "members", "1", "c") == "a\nb\\x1b[2J\nc\n3 members\n"
    assert printed(config, "members", "1", "c", "--limit", "1") == "a\nthe first 1 of 3 members\n"
    listed = {"project_id": 1, "cohort_id": "c", "members": 3, "user_ids": ["a", "b\x1b[2J"]}
    assert json.loads(printed(config, "members", "1", "c", "--limit", "2", "--json")) == listed
    assert said(config, "members", "2", "c") == ("cohort c belongs to project 1, not to 2: cohorts list shows all")


def test_members_of_a_cohort_that_came_by_http_are_listed_without_a_registration(
    config: Path, address: TablesAddress
) -> None:
    printed(config, "add", "c", "2")
    CohortMembers(address).write([resets(0), joins("a", 1)])
    assert printed(config, "members", "1", "c") == "a\n1 member\n"
    assert printed(config, "members", "2", "c") == "0 members\n"


@pytest.mark.parametrize("text", ["", " c", "c\n", "c" * 1001], ids=["empty", "blank", "line", "long"])
def test_what_is_no_cohort_id_is_refused_before_anything_is_read(text: str) -> None:
    refused = CliRunner().invoke(cohorts, ["--config", "no such file", "add", text, "1"])
    assert refused.exit_code == 2
    assert "is no cohort id: it is empty, too long, or has blanks around it" in refused.output
