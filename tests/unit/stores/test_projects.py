"""The registry's rules without a table: whose a project is, what is read strictly, how a change fails."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from botocore.stub import Stubber
from click.testing import CliRunner

from ops.cli.projects import projects
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.project import Link, Project, Terms, iso, linked
from stores.projects import Projects
from tests.builders import OTHER_PROJECT, PROJECT
from tests.cases import each

JANUARY = datetime(2026, 1, 1)  # noqa: DTZ001  naive UTC, as all times of the registry
MARCH = datetime(2026, 3, 1, 12, 30, 15, 250000)  # noqa: DTZ001
ADDRESS = TablesAddress("ap-northeast-2", "http://127.0.0.1:9", "test-")
ACME = linked(PROJECT, "acme", JANUARY)
MOVED = Project(PROJECT, (Link("acme", JANUARY, MARCH), Link("globex", MARCH)))
ENDED = Project(PROJECT, (Link("acme", JANUARY, MARCH),))


@each(
    ("project", "notifly_project", "status"),
    [(ACME, "acme", "linked"), (MOVED, "globex", "linked"), (ENDED, "acme", "unlinked")],
    ids=["linked", "moved", "ended"],
)
def test_the_last_link_says_whose_a_project_is(project: Project, notifly_project: str, status: str) -> None:
    assert (project.notifly_project, project.status) == (notifly_project, status)


def test_a_project_is_linked_since_ever_unless_said() -> None:
    assert linked(PROJECT, "acme") == Project(PROJECT, (Link("acme", datetime.min),), Terms(10_000_000))  # noqa: DTZ901


def test_a_time_is_written_with_its_zone() -> None:
    assert (iso(MARCH), iso(JANUARY)) == ("2026-03-01T12:30:15.250000Z", "2026-01-01T00:00:00Z")
    assert iso(datetime.min) == "0001-01-01T00:00:00Z"  # noqa: DTZ901


@pytest.fixture(scope="module")
def registry() -> Projects:
    return Projects(ADDRESS)


@pytest.fixture
def dynamodb(registry: Projects) -> Iterator[Stubber]:
    """DynamoDB's answers, which a test lines up."""
    with Stubber(registry.client) as stubber:
        yield stubber


def link_item(**changes: str | None) -> dict[str, Any]:
    values = {"notifly_project": "acme", "linked_at": "2026-01-01T00:00:00Z"} | changes
    return {"M": {name: {"S": value} for name, value in values.items() if value is not None}}


def item(**changes: Any) -> dict[str, Any]:
    """A project as it stands in the table; None drops an attribute."""
    attributes = {
        "project_id": {"N": str(PROJECT)},
        "notifly_project": {"S": "acme"},
        "status": {"S": "linked"},
        "monthly_limit": {"N": "500"},
        "links": {"L": [link_item()]},
        "version": {"N": "1"},
    } | changes
    return {name: value for name, value in attributes.items() if value is not None}


def test_projects_are_read_page_by_page_and_sorted_by_id(registry: Projects, dynamodb: Stubber) -> None:
    key = {"project_id": {"N": str(OTHER_PROJECT)}}
    other = item(**key, links={"L": [link_item(linked_at="2026-01-01T00:00:00+00:00")]})
    dynamodb.add_response("scan", {"Items": [other], "LastEvaluatedKey": key})
    dynamodb.add_response("scan", {"Items": [item()]})
    assert registry.list() == [linked(PROJECT, "acme", JANUARY, 500), linked(OTHER_PROJECT, "acme", JANUARY, 500)]


OVER = link_item(unlinked_at="2026-03-01T00:00:00Z")
NOT_AS_DOCUMENTED = {
    "a version before links": (item(links=None), "KeyError('links')"),
    "no link": (item(links={"L": []}), "IndexError('tuple index out of range')"),
    "a limit in text": (item(monthly_limit={"S": "500"}), "KeyError('N')"),
    "no version": (item(version=None), "KeyError('version')"),
    "a time without zone": (
        item(links={"L": [link_item(linked_at="2026-01-01T00:00:00")]}),
        "ValueError(\"'2026-01-01T00:00:00' is not UTC\")",
    ),
    "a local time": (
        item(links={"L": [link_item(linked_at="2026-01-01T09:00:00+09:00")]}),
        "ValueError(\"'2026-01-01T09:00:00+09:00' is not UTC\")",
    ),
    "no time": (
        item(links={"L": [link_item(linked_at="today")]}),
        "ValueError(\"Invalid isoformat string: 'today'\")",
    ),
    "status of another link": (
        item(status={"S": "unlinked"}),
        "ValueError('notifly_project and status are not those of the last of links')",
    ),
    "owner of another link": (
        item(notifly_project={"S": "globex"}),
        "ValueError('notifly_project and status are not those of the last of links')",
    ),
    "an end before the beginning": (
        item(links={"L": [link_item(unlinked_at="2025-12-31T00:00:00Z")]}, status={"S": "unlinked"}),
        "ValueError('links end before they begin, or overlap')",
    ),
    "a link within another": (
        item(links={"L": [OVER, link_item(linked_at="2026-02-28T00:00:00Z")]}),
        "ValueError('links end before they begin, or overlap')",
    ),
    "a link after one without end": (
        item(links={"L": [link_item(), link_item(linked_at="2026-02-28T00:00:00Z")]}),
        "ValueError('links end before they begin, or overlap')",
    ),
}


@pytest.mark.parametrize(("found", "why"), NOT_AS_DOCUMENTED.values(), ids=NOT_AS_DOCUMENTED)
def test_an_item_that_is_not_as_documented_is_named(
    registry: Projects, dynamodb: Stubber, found: dict[str, Any], why: str
) -> None:
    dynamodb.add_response("scan", {"Items": [found]})
    with pytest.raises(StoreError) as refused:
        registry.list()
    assert str(refused.value) == (
        f"DynamoDB table test-projects: mend or delete item {PROJECT}, it is not as docs/data.md has it: {why}"
    )


def test_a_link_may_follow_the_one_before_at_once(registry: Projects, dynamodb: Stubber) -> None:
    both = {"L": [OVER, link_item(linked_at="2026-03-01T00:00:00Z")]}
    dynamodb.add_response("get_item", {"Item": item(links=both)})
    end = datetime(2026, 3, 1)  # noqa: DTZ001
    assert registry.get(PROJECT).links == (Link("acme", JANUARY, end), Link("acme", end))


def cancelled(dynamodb: Stubber, registry_code: str, plan_code: str) -> None:
    """Line up the cancellation of a transaction."""
    dynamodb.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        "Transaction cancelled",
        modeled_fields={"CancellationReasons": [{"Code": registry_code}, {"Code": plan_code}]},
    )


@pytest.mark.parametrize(
    ("registry_code", "plan_code"), [("TransactionConflict", "None"), ("None", "TransactionConflict")]
)
def test_a_change_that_another_one_overtook_asks_to_try_again(
    registry: Projects, dynamodb: Stubber, registry_code: str, plan_code: str
) -> None:
    cancelled(dynamodb, registry_code, plan_code)
    with pytest.raises(StoreError) as refused:
        registry.add(ACME)
    assert str(refused.value) == (
        f"Amplitude project {PROJECT} or acme was changed by somebody else at the same moment: "
        "look at projects list and try again"
    )


def test_a_project_that_was_changed_since_it_was_read_asks_to_try_again(
    registry: Projects, dynamodb: Stubber
) -> None:
    dynamodb.add_response("get_item", {"Item": item()})
    cancelled(dynamodb, "ConditionalCheckFailed", "None")
    with pytest.raises(StoreError, match=r"changed by somebody else .* try again$"):
        registry.unlink(PROJECT, MARCH)


def test_a_plan_that_is_changed_at_the_same_moment_asks_to_try_again(
    registry: Projects, dynamodb: Stubber
) -> None:
    dynamodb.add_client_error("update_item", "TransactionConflictException")
    with pytest.raises(StoreError) as refused:
        registry.allow("acme", 2)
    assert str(refused.value) == (
        "acme was changed by somebody else at the same moment: look at projects list and try again"
    )


def test_a_transaction_cancelled_for_another_reason_says_it(registry: Projects, dynamodb: Stubber) -> None:
    cancelled(dynamodb, "None", "ThrottlingError")
    with pytest.raises(StoreError) as refused:
        registry.add(ACME)
    assert str(refused.value) == (
        "DynamoDB table test-projects or test-plans at http://127.0.0.1:9 cannot be used: An error occurred "
        "(TransactionCanceledException) when calling the TransactWriteItems operation: Transaction cancelled"
    )


# The command line, as far as it needs no table


REFUSED = {
    "no zone": (
        ["unlink", "1", "--at", "2026-03-01T12:00"],
        "Invalid value for '--at': '2026-03-01T12:00' has no zone: add Z for UTC, or an offset such as +09:00",
    ),
    "a day only": (
        ["add", "1", "acme", "--linked-at", "2026-03-01"],
        "Invalid value for '--linked-at': '2026-03-01' has no zone: add Z for UTC, or an offset such as +09:00",
    ),
    "no time": (
        ["link", "1", "--at", "yesterday"],
        "Invalid value for '--at': 'yesterday' is no time: write it like 2026-03-01T12:00Z or "
        "2026-03-01T21:00+09:00",
    ),
    "before all time": (
        ["link", "1", "--at", "0001-01-01T00:00+09:00"],
        "Invalid value for '--at': '0001-01-01T00:00+09:00' is no time: write it like 2026-03-01T12:00Z or "
        "2026-03-01T21:00+09:00",
    ),
    "the future": (
        ["unlink", "1", "--at", "9999-03-01T12:00Z"],
        "Invalid value for '--at': '9999-03-01T12:00Z' lies in the future: give the command when the time has "
        "come",
    ),
    "blanks around a name": (
        ["add", "1", "acme "],
        "Invalid value for 'NOTIFLY_PROJECT': 'acme ' is no name of a Notifly project: it is empty, or has blanks "
        "around it or control characters",
    ),
    "a line within a name": (
        ["allow", "acme\nshop", "2"],
        "Invalid value for 'NOTIFLY_PROJECT': 'acme\\nshop' is no name of a Notifly project: it is empty, or has "
        "blanks around it or control characters",
    ),
    "no place at all": (["allow", "acme", "0"], "Invalid value for 'N': '0' is not a whole number, 1 or more"),
    "an id beyond a long": (
        ["show", str(2**63)],
        f"Invalid value for 'PROJECT_ID': '{2**63}' is not a project id of Amplitude, such as 434735",
    ),
}


@each(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_written_wrong_is_refused_before_anything_is_read(arguments: list[str], message: str) -> None:
    refused = CliRunner().invoke(projects, ["--config", "no such file", *arguments])
    assert (refused.exit_code, refused.output.splitlines()[-1]) == (2, f"Error: {message}")


def test_help_says_what_a_link_means() -> None:
    words = " ".join(CliRunner().invoke(projects, ["--help"]).output.split())
    assert "its Amplitude project was linked to when Amplitude uploaded it" in words
    assert "before the first link it is counted as before_link, in a gap or after the end as unlinked" in words
