"""`amplitude-bridge explain-record`: what the job would do with the bytes of a file."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers.outcomes import GROUPS, LOST, OUTCOMES, Row, Summary
from ops.answers.reasons import REASONS, REPAIRS
from ops.answers.record import Everyone, UnderRules, summarise
from ops.answers.strangers import printable
from ops.cli.rules import given_rules
from ops.cli.terminal import as_json_option, cell, config_option, echo_fields, example
from settings import load
from stores.cohorts import Cohorts
from stores.project import Project, linked
from stores.projects import Projects
from stores.registry import registered
from stores.rules import Rules
from udfs import rules as applied
from udfs.intake import MAGIC, MacKeys
from udfs.model import EVENT_PREFIX, Kind, Repair

_SHOWN: Final = 10  # of each on a terminal
_TAKEN: Final = ("All are taken.", "All are taken, once the connector hands them over.")
_NUMBERED: Final = ("numbered from 0 as in `sub_index`.", "opened by the connector: `sub_index` is null.")


def _as_project(spelled: str) -> Project:
    number, _, name = spelled.partition("=")
    if not (number.isascii() and number.isdigit() and name):
        msg = f"{spelled!r} is not ID=NAME, such as 434735=acme"
        raise click.BadParameter(msg)
    return linked(int(number), name)


@click.command(
    "explain-record", epilog=example("explain-record export.zip", "explain-record --registry record.json")
)
@click.argument("file", type=click.File("rb"))
@click.option("--registry", "asked", is_flag=True, help="Ask the registry that --config names.")
@click.option(
    "--project", "given", metavar="ID=NAME", multiple=True, type=_as_project, help="As if only these were linked."
)
@click.option(
    "--rules", "named", metavar="FILE|PROJECT", help="As if every project had these field rules, filters."
)
@config_option
@as_json_option
def explain_record(  # noqa: PLR0913  one argument per option
    file: BinaryIO, *, asked: bool, given: Sequence[Project], named: str | None, config: Path, as_json: bool
) -> None:
    """Say what the job would do with the record, or the archive of records, in FILE (- for stdin).

    An envelope of the intake is checked with the keys that --config names.

    Exit code 0: all are taken; 1: some are rejected, quarantined or not linked; 2: the file cannot be read.
    """
    registry: Mapping[int | str, Project] = Everyone()
    source = "No registry was asked: every project counts as linked since ever (see --registry, --project)."
    if asked and given:
        msg = "--registry and --project exclude each other"
        raise click.UsageError(msg)
    if given:
        registry = {project.project_id: project for project in given}
        names = ", ".join(f"{project.project_id} to {project.notifly_project}" for project in given)
        source = f"As if these projects were linked since ever, and no other: {names}."
    if asked:
        address = load(config).tables_address
        registry = registered(Projects(address), Cohorts(address))
        projects = sum(isinstance(key, int) for key in registry)
        source = f"The registry that {config} names was asked: it has {projects:,} projects."
    rules = given_rules(named, config) if named else None
    if rules:
        registry = UnderRules(registry, rules)
    payload = file.read()
    with Console(stderr=True).status("opening") as status:
        arrival = datetime.now(UTC).replace(tzinfo=None)
        keys = MacKeys(load(config).intake.mac_keys_file if payload.startswith(MAGIC) else None)
        summary = summarise(
            payload, arrival, registry, lambda records: status.update(f"{records:,} records"), keys
        )
    if as_json:
        told = {"bytes": len(payload), "registry": source, **_tree(summary), "rules": _met(summary, rules)}
        click.echo(json.dumps(told, indent=2))
    else:
        _print(summary, len(payload))
        for rule, n in _met(summary, rules).items():
            click.echo(f"{printable(rule)}: {_records(n)}")
        click.echo(f"\n{printable(source)}")
    if summary.lost:
        sys.exit(1)


def _met(summary: Summary, rules: Rules | None) -> dict[str, int]:
    """How many records each of the rules to try has met."""
    fields, filters = rules or Rules()
    by_field = {f"{action} {path}": summary.repairs[applied.repair(path)] for path, action in fields}
    return by_field | {f"keep out {words}": summary.filters[words] for words in map(applied.words, filters)}


def _tree(summary: Summary) -> dict[str, Any]:
    groups = [
        {"kind": key[0].kind, **vars(group), **REASONS[key[0]]._asdict()} for key, group in summary.groups.items()
    ]
    return {
        "form": summary.form,
        "note": summary.note,
        "records": summary.records,
        "taken": summary.records - summary.lost,
        "outcomes": {name: summary.outcomes[name] for name in OUTCOMES},
        "names": [
            {"event_type": name.removeprefix(EVENT_PREFIX), "stored_as": name, "records": n}
            for name, n in summary.names.most_common(GROUPS)
        ],
        "names_left_out": max(0, len(summary.names) - GROUPS),
        "repairs": dict(summary.repairs),
        "filtered": [group for group in groups if group["kind"] == Kind.FILTERED],
        "problems": [group for group in groups if group["kind"] in LOST],
        "control": [group for group in groups if group["kind"] == Kind.CONTROL],
        "records_left_out": summary.ungrouped,
        "event": dict(_event(summary.last)) if summary.form is None and summary.names else None,
    }


def _print(summary: Summary, size: int) -> None:
    if summary.form is None:
        _print_one(summary)
        return
    click.echo(f"{summary.form}, {size:,} bytes: {_records(summary.records)}, {_NUMBERED[summary.by_connector]}")
    if summary.records:
        lost = f"Not taken: {summary.lost:,} of {summary.records:,}."
        click.echo(click.style(lost if summary.lost else _TAKEN[summary.by_connector], bold=True))
    if summary.note:
        click.echo(summary.note)
    if not summary.records:
        return
    outcomes = _table("outcome", "records", "first", "that is")
    for name, meaning in OUTCOMES.items():
        if summary.outcomes[name]:
            outcomes.add_row(name, f"{summary.outcomes[name]:,}", str(summary.first[name]), meaning)
    Console().print(outcomes)
    if summary.names:
        names = _table("Amplitude's name", "stored as", "records")
        for name, n in summary.names.most_common(_SHOWN):
            names.add_row(cell(name.removeprefix(EVENT_PREFIX)), cell(name), f"{n:,}")
        Console().print(names)
        _say_more(len(summary.names) - _SHOWN, "names")
    for repair, n in summary.repairs.items():
        click.echo(f"mended: {repair}, {_records(n)}. {REPAIRS[Repair.named(repair)]}")
    for group in list(summary.groups.values())[:_SHOWN]:
        title = f"{group.reason.kind}: {group.reason}, {_records(group.records)}, the first is {group.first}"
        click.echo(f"\n{click.style(title, bold=True)}")
        echo_fields(group.words())
    _say_more(len(summary.groups) - _SHOWN, "reasons and projects")


def _records(n: int) -> str:
    return f"{n:,} record{'s' if n != 1 else ''}"


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column in {"records", "first"} else "left", overflow="fold")
    return table


def _say_more(n: int, what: str) -> None:
    if n > 0:
        click.echo(f"… and {n:,} more {what}: see --json")


def _print_one(summary: Summary) -> None:
    row = summary.last
    match row["kind"]:
        case Kind.EVENT:
            click.echo(
                click.style("accepted: stored as an event, unless the job has had the same before", bold=True)
            )
            echo_fields(list(_event(row)))
        case Kind.USER_UPDATE:
            owner = f"project {row['project_id']}, {row['notifly_project']}"
            profile = f"merged into the profile of {row['user_id']}"
            to = profile if row["to_profile"] else "kept in the history; it changes no user's profile"
            click.echo(f"user update of {printable(owner)}: {printable(to)}")
            echo_fields(list(_mended(row)))
        case Kind.COHORT:
            owner = f"project {row['project_id']}, {row['notifly_project']}"
            click.echo(f"cohort message of {printable(owner)}")
            echo_fields(list(_mended(row)))
        case _:
            (group,) = summary.groups.values()
            click.echo(click.style(f"{group.reason.kind}: {group.reason}", bold=True))
            echo_fields(group.words())


def _event(row: Row) -> Iterator[tuple[str, str]]:
    """Where an event goes, by name."""
    yield "Amplitude's name", row["name"].removeprefix(EVENT_PREFIX)
    yield "stored as", row["name"]
    yield "project", f"{row['project_id']}, {row['notifly_project']}"
    sent = ":server_upload_time" in (row["repairs"] or "")
    why = f", of its arrival: server_upload_time {'cannot be used' if sent else 'is absent'}"
    yield "month", row["month"] + ("" if row["server_upload_time"] else why)
    yield "identity", f"rung {row['identity_rung']}: {row['identity']}"
    yield from _mended(row)


def _mended(row: Row) -> Iterator[tuple[str, str]]:
    """What was mended in a record, by name."""
    for repair in (row["repairs"] or "").split():
        yield f"mended: {repair}", REPAIRS[Repair.named(repair)]
