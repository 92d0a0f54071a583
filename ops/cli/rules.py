"""`amplitude-bridge projects fields` and `filters`: what of a project's records is not stored."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from ops.answers.registry_file import in_words
from ops.cli.terminal import PROJECT_ID, echo_fields, example
from settings import load
from stores.projects import Projects
from stores.rules import EventFilter, RuleError, Rules, checked, rules_of


def _as_condition(spelled: str) -> tuple[str, str]:
    path, equals, text = spelled.partition("=")
    if not (path and equals):
        msg = f"{spelled!r} is not PATH=TEXT, such as event_properties.env=test"
        raise click.BadParameter(msg)
    return path, text


@click.command(
    "fields", epilog=example("projects fields 434735 --drop event_properties.email --hash user_properties.phone")
)
@click.argument("project_id", type=PROJECT_ID)
@click.option("--drop", metavar="PATH", multiple=True, help="Leave out what stands there.")
@click.option("--hash", "hashed", metavar="PATH", multiple=True, help="Put its SHA-256 there.")
@click.option("--keep", metavar="PATH", multiple=True, help="Store it as it comes again: end the rule.")
@click.pass_obj
def fields(
    config: Path, /, project_id: int, drop: Sequence[str], hashed: Sequence[str], keep: Sequence[str]
) -> None:
    """Say what of PROJECT_ID's records is not stored: as event_properties.card.number, or ip_address.

    Without options: show the rules. A rule holds for what arrives from then on; what is stored already stays.
    `explain-record --rules` tries rules on a file.
    """
    given = dict.fromkeys(drop, "drop") | dict.fromkeys(hashed, "hash")
    if both := {*drop} & {*hashed} | {*keep} & given.keys():
        msg = f"{', '.join(sorted(both))}: named twice, for different things"
        raise click.UsageError(msg)

    def change(rules: Rules) -> Rules:
        known = dict(rules.field_rules)
        if missing := [path for path in keep if path not in known]:
            msg = f"there is no field rule {', '.join(missing)}: projects fields {project_id} shows them"
            raise RuleError(msg)
        left = {path: action for path, action in known.items() if path not in keep}
        return checked((left | given).items(), rules.event_filters)

    _show(config, project_id, change if given or keep else None)


@click.command(
    "filters",
    epilog=example(
        "projects filters 434735 --event Heartbeat",
        'projects filters 434735 --event "Page Viewed" --where event_properties.env=test',
    ),
)
@click.argument("project_id", type=PROJECT_ID)
@click.option("--event", metavar="NAME", help="Keep out events of this name of Amplitude's.")
@click.option(
    "--where", metavar="PATH=TEXT", multiple=True, type=_as_condition, help="Only those that have this text there."
)
@click.option("--remove", metavar="NUMBER", multiple=True, type=int, help="Take them in again: end a filter.")
@click.pass_obj
def filters(
    config: Path,
    /,
    project_id: int,
    event: str | None,
    where: Sequence[tuple[str, str]],
    remove: Sequence[int],
) -> None:
    """Say which events of PROJECT_ID stay out: they are counted as `filtered`, neither stored nor metered.

    Without options: show the filters with their numbers. What stayed out does not come back when a filter ends.
    """
    added = [EventFilter(event, tuple(where))] if where or event is not None else []

    def change(rules: Rules) -> Rules:
        known = dict(enumerate(rules.event_filters, 1))
        if missing := [number for number in remove if number not in known]:
            numbers = ", ".join(map(str, missing))
            msg = f"there is no event filter {numbers}: projects filters {project_id} shows them"
            raise RuleError(msg)
        left = [one for number, one in known.items() if number not in remove]
        return checked(rules.field_rules, [*left, *added])

    _show(config, project_id, change if added or remove else None)


def _show(config: Path, project_id: int, change: Callable[[Rules], Rules] | None) -> None:
    """Make the change, if there is one, and print the rules that the project has."""
    settings = load(config)
    registry = Projects(settings.tables_address)
    rules = registry.set_rules(project_id, change) if change else registry.get(project_id).rules
    click.echo(f"Amplitude project {project_id}")
    echo_fields(in_words(rules))
    if change:
        click.echo(f"workers know it within {settings.ingest.projects_refresh_seconds} s; what is stored stays")


def given_rules(named: str, config: Path) -> Rules:
    """The rules of a registered project, named by its id, or of a TOML file. Raises OneLineError."""
    if named.isascii() and named.isdigit():
        return Projects(load(config).tables_address).get(int(named)).rules or Rules()
    try:
        return rules_of(tomllib.loads(Path(named).read_text(encoding="utf-8")))
    except RuleError as error:
        msg = f"{named}: {error}"
        raise RuleError(msg) from None
    except (OSError, ValueError) as error:
        msg = f"{named}: no TOML file of rules, and no project's id: {error}"
        raise RuleError(msg) from None
