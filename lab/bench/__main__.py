"""`make figures`: latency, decoding, users, writes and so on; `python -m lab.bench WHICH` a part."""

import sys
from pathlib import Path

import click
from rich.console import Console

from lab.bench import (
    alerts,
    decode,
    export,
    figures,
    intake,
    latency,
    lists,
    maintain,
    processes,
    profiles,
    sender,
    users,
    writes,
)
from lab.bench.figures import Figure
from ops.cli.terminal import one_line_errors, stop_on_signals

WHICH = ("latency", "decode", "users", "writes", "alerts", "maintain", "sender", "export", "profiles", "intake")
POSITIVE = click.IntRange(1)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("which", type=click.Choice((*WHICH, "all")), default="all")
@click.option("--seconds", default=120, type=POSITIVE, help="Latency: how long to feed.")
@click.option("--rate", default=100, type=POSITIVE, help="Latency: records per second.")
@click.option(
    "--checkpoint-seconds",
    default=(10, 30),
    type=POSITIVE,
    multiple=True,
    help="Latency: checkpoint intervals, each on a fresh stack.",
)
@click.option("--lists", "only_lists", is_flag=True, help="Users: list operators of one user, in this process.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures to this file.")
def main(  # noqa: PLR0913  by name
    *,
    which: str,
    seconds: int,
    rate: int,
    checkpoint_seconds: tuple[int, ...],
    only_lists: bool,
    json_path: Path | None,
) -> None:
    """Measure and print one table; exit 1 when rows were wrong, for then no figure means anything."""
    stop_on_signals()
    console, progress = Console(width=120), Console(stderr=True)
    machine = processes.machine()
    console.print(machine, highlight=False, soft_wrap=True)
    found: list[Figure] = []
    if which in {"decode", "all"}:
        found += decode.measure(progress.print)
    if which in {"latency", "all"}:
        found += latency.measure(rate, seconds, checkpoint_seconds, progress.print)
    if which in {"users", "all"}:
        found += lists.measure(progress.print)
        found += [] if only_lists else users.measure(progress.print)
    if which in {"writes", "all"}:
        found += writes.measure(progress.print)
    if which in {"alerts", "all"}:
        found += alerts.measure(progress.print)
    if which in {"maintain", "all"}:
        found += maintain.measure(progress.print)
    if which in {"sender", "all"}:
        found += sender.measure(progress.print)
    if which in {"export", "all"}:
        found += export.measure(progress.print)
    if which in {"profiles", "all"}:
        found += profiles.measure(progress.print)
    if which in {"intake", "all"}:
        found += intake.measure(progress.print)
    figures.show(found, console)
    if json_path:
        figures.write(found, machine, json_path)
    if any(figure.wrong for figure in found):
        sys.exit(1)


if __name__ == "__main__":
    with one_line_errors("bench"):
        main()
