"""What commands end with that are asked for a project that nobody has registered: one rule for all of them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli.main import main
from settings import load
from stores.alerts import Alerts
from stores.cohorts import CohortMembers, Cohorts
from stores.lake import TABLES
from stores.profiles import Profiles
from stores.project import linked
from stores.projects import Projects
from stores.statements import Statements
from stores.usage import UsageTable
from tests.builders import PROJECT
from tests.lake import lake_of

STORES = (Projects, UsageTable, Statements, Alerts, Profiles, Cohorts, CohortMembers)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> Iterator[Path]:
    with lake_of(tmp_path_factory.mktemp("lake"), {table: [] for table in TABLES}) as path:
        path.write_text(
            path.read_text() + f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "nobody-"\n'
        )
        address = load(path).tables_address
        for store in STORES:
            store(address).create()
        Projects(address).add(linked(PROJECT, "acme"))
        Cohorts(address).add("vip", PROJECT)
        yield path


def ends_with(config: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["amplitude-bridge", "--config", str(config), *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


ABOUT_A_PROJECT = [
    "diagnose {}",
    "diagnose {} --json",
    "profile show {} mina",
    "usage show --project {}",
    "usage show --project {} --json",
    "usage explain {} 2026-03",
    "usage forecast --project {}",
    "usage alerts --project {}",
    "cohorts members {} vip",
    "projects show {}",
]


@pytest.mark.parametrize("command", [*ABOUT_A_PROJECT, "cohorts add new {}", "projects limit {} 5"])
def test_a_project_that_is_not_registered_ends_with_two(
    config: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends_with(config, command.format(7), monkeypatch) == 2
    assert capsys.readouterr().err == (
        "amplitude-bridge: Amplitude project 7 is not registered: projects add registers it\n"
    )


@pytest.mark.parametrize("command", ABOUT_A_PROJECT)
def test_a_project_that_is_registered_does_not(
    config: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(config, command.format(PROJECT), monkeypatch)
    assert "not registered" not in capsys.readouterr().err


def test_dead_letters_of_such_a_project_are_an_ordinary_question(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ends_with(config, "dead-letters stats --project 7", monkeypatch) == 0
