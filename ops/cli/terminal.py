"""What programs share at the terminal: how they end, the option `--config`, and text that strangers have written.

Nothing in such a text may steer the terminal or count as markup.
"""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from rich.text import Text

from errors import OneLineError, is_full
from ops.answers.strangers import printable

if TYPE_CHECKING:
    from rich.table import Table

    from ops.answers.steps import Step

_F = TypeVar("_F", bound=Callable[..., Any])


class Whole(click.IntRange):
    """A whole number within bounds; what is none is refused in words that say what is wanted."""

    name = "number"

    def __init__(self, least: int, most: int | None = None, wanted: str = "") -> None:
        super().__init__(least, most)
        self._bounds = f"{least} or more" if most is None else f"{least} to {most}"
        self._wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Raises BadParameter."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not {self._wanted or f'a whole number, {self._bounds}'}", param, ctx)

    def _describe_range(self) -> str:
        return "" if self._wanted else self._bounds


PROJECT_ID: Final = Whole(0, 2**63 - 1, "a project id of Amplitude, such as 434735")
"""Amplitude's project id, as `udfs.attribute` takes it."""


as_json_option: Final = click.option("--json", "as_json", is_flag=True, help="JSON instead of text and tables.")
DEFAULT_CONFIG: Final = Path("var/local/job.toml")


def _innermost(context: click.Context, _: click.Parameter, config: Path | None) -> Path:
    """The `--config` that counts: the last one that stands before or among a command's own words."""
    context.obj = config or context.obj or DEFAULT_CONFIG
    chosen: Path = context.obj
    return chosen


FLINK: Final = "http://127.0.0.1:8081"
"""Where Flink answers, unless `--flink` or the local stack says something else."""


def as_http(text: str) -> str:
    """An address as an option takes it."""
    if not text.startswith(("http://", "https://")):
        msg = f"{text!r} is no address: write it like http://HOST:8081"
        raise click.BadParameter(msg)
    return text


config_option: Final = click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=_innermost,
    help=f"The job's settings.  [default: {DEFAULT_CONFIG}, those of `make run`]",
)
"""`--config` as a command takes it that wants it as an argument; a command of a group gets it as `pass_obj`."""


flink_option: Final = click.option(
    "--flink", metavar="URL", type=as_http,
    help=f"Flink's REST address.  [default: {FLINK}, or that of `make run`]",
)  # fmt: skip


def _address(_: click.Context, __: click.Parameter, text: str) -> tuple[str, int]:
    host, _colon, port = text.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        msg = f"{text!r} is no address: write it like 127.0.0.1:9248"
        raise click.BadParameter(msg)
    return host.strip("[]"), int(port)


def listen_option(default: str) -> Callable[[_F], _F]:
    """`--listen` as a command takes it that serves its metrics; it gets host and port."""
    return click.option(
        "--listen",
        metavar="HOST:PORT",
        default=default,
        show_default=True,
        callback=_address,
        help="Where /metrics and /health answer.",
    )


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """Turn a wheel beside these words on stderr, if that is a terminal; print nothing meanwhile."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415  a page of help needs none

    with Console(stderr=True).status(words):
        yield


def example(*lines: str) -> str:
    """What stands at the end of a command's help: how it is typed, a line each, `amplitude-bridge` left out."""
    noun = "Example" if len(lines) == 1 else "Examples"
    return "\n".join(("\b", f"{noun}:", *(f"  amplitude-bridge {line}" for line in lines)))


class ForFlink(click.Command):
    """A command whose words behind `--` are options of `flink run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say where those stand, to somebody who has left the `--` out."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            words = f"{error.message.rstrip('.')} (options of `flink run` stand behind --, as in: -- -m HOST:8081)"
            raise click.NoSuchOption(error.option_name, words, ctx=ctx) from None


class Commands(click.Group):
    """A group with the option `--config`, which may stand before and behind each of its commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _configurable(self)

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        """Add a command, and the option to it."""
        _configurable(command)
        super().add_command(command, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command is for, whole; click cuts it to the width of a line."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, one.get_short_help_str(limit=200)) for name, one in commands.items() if one]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class WithDefault(Commands):
    """A group with a command that needs no name: `erase PROJECT` is `erase users PROJECT`."""

    def __init__(self, *args: Any, default: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._default = default

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first word, or the one that is meant."""
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return self._default, self.commands[self._default], args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of the command that is meant."""
        self.commands[self._default].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def _configurable(command: click.Command) -> None:
    if all(one.name != "config" for one in command.params):
        config_option(command)
        command.params[-1].expose_value = False


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """A person's mistake ends the program in one line with exit code 2, Ctrl-C with 130."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except OneLineError as error:
        click.echo(f"{program}: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if not is_full(error):
            raise
        where = error.filename or f"a file of {Path.cwd()}"
        click.echo(
            f"{program}: {where} cannot be written: {error.strerror}: make room, then repeat this", err=True
        )
        sys.exit(2)


def stop_on_signals() -> None:
    """Let INT and TERM unwind the program, so that its stack is stopped whoever ends it.

    A shell starts background jobs with INT ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def watching_with(log: logging.Logger) -> threading.Event:
    """Let a program that runs until stopped tell its log on stdout; the event is set by INT and TERM."""
    logging.basicConfig(
        stream=sys.stdout, format="%(asctime)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z", level=logging.WARNING
    )
    log.setLevel(logging.INFO)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def span(seconds: float) -> str:
    """A time span as people say it, no finer than it takes: 12.5 s, 1 min 12 s, 59 min, 47 h, 22 days."""
    whole = abs(int(seconds))
    if whole < _MINUTE:
        return f"{int(seconds * 10) / 10} s"
    sign = "-" if seconds < 0 else ""
    if whole >= 2 * _DAY:
        return f"{sign}{whole // _DAY:,} days"
    size, unit, rest = (_MINUTE, "min", f"{whole % _MINUTE} s")
    if whole >= _HOUR:
        size, unit, rest = (_HOUR, "h", f"{whole % _HOUR // _MINUTE} min")
    few = whole < _FEW * size and not rest.startswith("0 ")
    return f"{sign}{whole // size} {unit}{f' {rest}' if few else ''}"


_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_FEW = 10  # minutes or hours, of which the next smaller unit matters too


def in_percent(share: float) -> str:
    """A percentage as people read it, at a limit and everywhere else."""
    return f"{share:,.2f} %"


def cell(text: object) -> Text:
    """A cell of a table: rich takes plain strings for markup, and cuts those that are too long."""
    return Text("" if text is None else printable(str(text)), overflow="fold")


def wide(whole: Sequence[str], numbers: Sequence[str] = (), texts: Sequence[str] = (), title: str = "") -> "Table":
    """A table of more columns than 80 characters hold between lines, in this order; nothing is cut off.

    The first are never broken, so that they can be copied; headings of numbers and texts wrap at blanks.
    """
    from rich import box  # noqa: PLC0415  a page of help needs none
    from rich.table import Table  # noqa: PLC0415

    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=title or None,
        title_justify="left",
    )
    for name in whole:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", overflow="fold", no_wrap=" " not in name)
    for name in texts:
        table.add_column(name, overflow="fold")
    return table


def echo_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    width = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        click.echo(f"  {click.style(name.ljust(width), bold=True)}  {printable(value)}")


_COLOURS: Final = {"ok": "green", "warning": "yellow", "failed": "red", "not checked": "cyan"}


def echo_steps(steps: "Sequence[Step]", beside: "Sequence[Step]" = ()) -> None:
    """Print what was looked at, a line each, and what to do below it; in columns with those `beside` them."""
    width = max((len(step.name) for step in (*steps, *beside)), default=0)
    for step in steps:
        state = click.style(step.state.ljust(11), fg=_COLOURS[step.state])
        click.echo(f"{state}  {step.name.ljust(width)}  {printable(step.words)}")
        if step.fix:
            click.echo(f"{'':{width + 15}}{click.style('fix:', bold=True)} {printable(step.fix)}")
