"""Who may come in: the file of accounts, and what each role sees."""

import os
from pathlib import Path

import pytest

from ops.console import people
from ops.console.people import Account, Accounts, AccountsError, Right, Role, added, read, removed
from stores.project import Project, linked
from tests.cases import each

ACME = linked(1, "acme")
OTHERS_ONCE = Project(2, (*linked(2, "globex").links, *linked(2, "acme").links))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "accounts.json")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(people._COST, "n", 2)


def test_a_password_opens_its_account_alone(file: str) -> None:
    mina = added(file, "mina", Role.CUSTOMER, ["acme"])
    other = added(file, "jun", Role.SUPPORT)
    accounts = Accounts(file)
    assert accounts.proven("mina", mina) == read(file)[0]
    assert [accounts.proven(*one) for one in (("mina", other), ("mina", ""), ("nobody", mina))] == [None] * 3


def test_a_new_password_ends_the_old_one_while_the_console_runs(file: str) -> None:
    old = added(file, "mina", Role.SUPPORT)
    accounts = Accounts(file)
    mark = read(file)[0].mark
    os.utime(file, ns=(1, 1))
    new = added(file, "mina", Role.OPERATOR)
    assert accounts.proven("mina", old) is None
    found = accounts.proven("mina", new)
    assert found is not None
    assert (found.role, found.mark == mark) == (Role.OPERATOR, False)


def test_the_file_is_the_owners_alone_and_shows_no_password(file: str) -> None:
    password = added(file, "mina", Role.SUPPORT)
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert password not in Path(file).read_text("utf-8")


def test_a_file_that_is_gone_lets_nobody_in(file: str) -> None:
    password = added(file, "mina", Role.SUPPORT)
    accounts = Accounts(file)
    Path(file).unlink()
    assert accounts.proven("mina", password) is None


@each(
    ("name", "role", "projects", "words"),
    [
        ("", Role.SUPPORT, (), "is no name of an account"),
        ("a b", Role.SUPPORT, (), "is no name of an account"),
        ("mina", Role.CUSTOMER, (), "a customer has at least one --project"),
        ("mina", Role.OPERATOR, ("acme",), "other roles have none"),
    ],
)
def test_an_account_that_cannot_be_is_refused(
    file: str, name: str, role: Role, projects: tuple[str, ...], words: str
) -> None:
    with pytest.raises(AccountsError, match=words):
        added(file, name, role, projects)


def test_what_is_wrong_with_the_file_is_said_in_one_line(file: str) -> None:
    with pytest.raises(AccountsError, match="is not there: make it with amplitude-bridge console-account add"):
        Accounts(file)
    Path(file).write_text("[{}]", encoding="utf-8")
    with pytest.raises(AccountsError, match="it is not what console-account writes"):
        Accounts(file)


def test_who_is_taken_out_is_in_no_more(file: str) -> None:
    added(file, "mina", Role.SUPPORT)
    removed(file, "mina")
    assert read(file) == []
    with pytest.raises(AccountsError, match="there is no account 'mina'"):
        removed(file, "mina")


@each(
    ("role", "rights"),
    [
        (Role.OPERATOR, {*Right}),
        (Role.SUPPORT, {Right.OPEN, Right.READ, Right.STAFF}),
        (Role.CUSTOMER, {Right.OPEN, Right.READ, Right.CHANGE, Right.BYTES}),
    ],
)
def test_a_role_has_its_rights(role: Role, rights: set[Right]) -> None:
    assert {right for right in Right if Account("a", role).may(right)} == rights


@each(
    ("role", "projects", "project", "sees"),
    [
        (Role.CUSTOMER, ("acme",), ACME, True),
        (Role.CUSTOMER, ("globex",), ACME, False),
        (Role.CUSTOMER, ("acme",), OTHERS_ONCE, False),  # its earlier months are another customer's
        (Role.CUSTOMER, ("acme", "globex"), OTHERS_ONCE, True),
        (Role.SUPPORT, (), ACME, True),
    ],
)
def test_a_customer_sees_what_was_never_anybody_elses(
    role: Role, projects: tuple[str, ...], project: Project, sees: bool
) -> None:
    assert Account("a", role, projects).sees(project) is sees
