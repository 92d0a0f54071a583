"""The pages of help: the first one is there at once, every command has examples, the shell completes names."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ops.cli.main import commands
from tests.cases import each

SLOW = ("boto3", "pandas", "pyarrow", "pydantic", "pyiceberg", "sqlalchemy")
HELP = f"""
import sys
from ops.cli.main import commands
commands(["--help"], standalone_mode=False)
print("imported:", *[name for name in {SLOW} if name in sys.modules])
"""


def test_help_lists_the_commands_and_imports_nothing_that_is_slow() -> None:
    shown = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True).stdout
    assert "  usage              What each project has used of its monthly limit.\n" in shown
    assert "\nRun the job:\n  submit " in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.endswith("\nimported:\n")


def test_a_group_lists_its_commands_in_the_order_of_their_use_and_cuts_no_sentence() -> None:
    shown = CliRunner().invoke(commands, ["projects", "--help"]).output
    assert shown.index("\n  add ") < shown.index("\n  unlink ") < shown.index("\n  apply ")
    assert "..." not in shown.partition("\nCommands:\n")[2]


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command that does something, by the words that name it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found, name
        yield from leaves(found, (*path, name))


LEAVES = {" ".join(path): command for path, command in leaves(commands)}


@each("name", LEAVES)
def test_every_command_has_examples_that_can_be_typed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("record.json", "message-event.json", "export.zip", "registry.toml", "ids.txt"):
        (tmp_path / file).touch()
    head, *lines = (LEAVES[name].epilog or "\b\n").removeprefix("\b\n").splitlines()
    assert (head, len(lines)) in {("Example:", 1), ("Examples:", len(lines))}, "give it epilog=example(…)"
    for line in lines:
        program, *words = shlex.split(line.partition(" > ")[0])
        assert (program, *_without_config(words)[: len(name.split())]) == ("amplitude-bridge", *name.split())
        _parse(words)


def _without_config(words: list[str]) -> list[str]:
    at = words.index("--config") if "--config" in words else len(words)
    return words[:at] + words[at + 2 :]


def _parse(words: list[str]) -> None:
    """Parse what was typed down to the command that it names, and do nothing."""
    context = commands.make_context("amplitude-bridge", words)
    while isinstance(context.command, click.Group):
        # click keeps what is left for the command that comes next in these two
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command, name
        context = command.make_context(name, rest, parent=context)


def test_a_command_that_is_nearly_one_is_suggested() -> None:
    done = CliRunner().invoke(commands, ["doctr"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (
        2,
        "Error: No such command 'doctr'. Did you mean 'doctor'?",
    )


@each("words", ["backfill 434735 export.zip", "projects list"])
def test_ctrl_c_ends_a_command_with_130(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    name = next(name for name in LEAVES if words.startswith(f"{name} ") or words == name)
    monkeypatch.setattr(LEAVES[name], "callback", interrupted)
    done = CliRunner().invoke(commands, words.split())
    assert (done.exit_code, done.output) == (130, "")


def test_a_watch_takes_no_table() -> None:
    done = CliRunner().invoke(commands, ["maintain", "--watch", "--table", "events"])
    assert done.exit_code == 2
    assert "leave out --table, --erased and --json" in done.output


@each(
    ("words", "says"),
    [
        (["maintain", "-m", "HOST:8081"], "-m' (options of `flink run` stand behind --, as in: -- -m HOST:8081)"),
        (["maintain", "--tabel", "events"], "'--tabel'. (Did you mean one of: '--help', '--table'?)"),
        (
            ["backfill", "abc", "export.zip"],
            "'PROJECT_ID': 'abc' is not a project id of Amplitude, such as 434735",
        ),
        (["backfill", "--share", "x", "1"], "'--share': 'x' is not a valid number, such as 0.25."),
        (["dead-letters", "list", "--limit", "x"], "'--limit': 'x' is not a whole number, 1 to 10000"),
    ],
)
def test_a_wrong_word_says_what_is_wanted(words: list[str], says: str) -> None:
    done = CliRunner().invoke(commands, words)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].endswith(says)
