"""`--config` of the command line: every command takes it, wherever it stands."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ops.cli.main import commands
from settings import SettingsError
from tests.cases import each


@pytest.fixture(autouse=True)
def folder_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the project's: a stack that has run there has left its job.toml."""
    monkeypatch.chdir(tmp_path)


def tree(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            one = command.get_command(context, name)
            assert one, name
            yield from tree(one, *path, name)


def test_every_command_takes_it() -> None:
    without = [path for path, one in tree(commands) if "--config" not in {o for p in one.params for o in p.opts}]
    assert without == []


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(commands, list(arguments))
    assert isinstance(done.exception, SettingsError), done.output
    return str(done.exception).split(":")[0]


@each("command", [("usage", "show"), ("dead-letters", "stats"), ("diagnose", "5")], ids=" ".join)
def test_it_may_stand_anywhere_and_the_last_counts(command: tuple[str, ...]) -> None:
    assert refused(*command) == "var/local/job.toml"
    for at in range(len(command) + 1):
        assert refused(*command[:at], "--config", "other.toml", *command[at:]) == "other.toml"
    assert refused("--config", "first.toml", *command, "--config", "last.toml") == "last.toml"
