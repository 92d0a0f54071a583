"""Which dead letters a command is about: its options, and the conditions that these make."""

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import click

from ops.answers.replayed import State
from ops.cli.terminal import PROJECT_ID
from ops.cli.times import as_moment, since_option
from stores.lake import Condition
from udfs.model import Kind, Reason

_FILTERS: Final = [
    since_option("Arrived from then on"),
    click.option("--until", metavar="TIME", type=as_moment, help="Arrived before then."),
    click.option("--project", type=PROJECT_ID, help="Amplitude's project id."),
    click.option(
        "--reason",
        metavar="REASON",
        type=click.Choice([reason.value for reason in Reason]),
        help="See docs/data.md.",
    ),
    click.option("--kind", type=click.Choice([kind.value for kind in Kind if kind in {r.kind for r in Reason}])),
    click.option(
        "--state",
        type=click.Choice(get_args(State)),
        default="waiting",
        show_default=True,
        help="Whether it was put on the stream again; what was not taken then waits as a dead letter of its own.",
    ),
]


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def where(filters: Mapping[str, Any]) -> list[Condition]:
    """What the options say of a letter, but its state."""
    conditions = [
        Condition("arrival", ">=", filters["since"]),
        Condition("arrival", "<", filters["until"]),
        Condition("project_id", "=", filters["project"]),
        Condition("reason", "=", filters["reason"]),
        Condition("kind", "=", filters["kind"]),
    ]
    return [condition for condition in conditions if condition.value is not None]
