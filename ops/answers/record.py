"""`amplitude-bridge explain-record`: what the job would do with the bytes of a file, and why, without a job.

The file is one record or an archive of them. Its parts are decoded one after the other by the job's own rules;
what stays in memory is the file, the member of the archive that is open, and a hash of each distinct event.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers.aggregates import note
from ops.answers.outcomes import GROUPS, LOST, OUTCOMES, Row, Summary
from ops.answers.reasons import REASONS, REPAIRS
from ops.cli.terminal import cell, config_option, echo_fields, printable
from settings import load
from stores.cohorts import Cohorts
from stores.project import Project, linked
from stores.projects import Projects
from stores.registry import registered
from udfs import envelope, kpl, text
from udfs.attribute import Registry
from udfs.envelope import Form, Limits, Part
from udfs.model import DECODED, EVENT_PREFIX, Kind, Reason, Rejection, Repair

ARCHIVE: Final = Limits(opened_bytes=2**40, parts=10**9)
"""Bounds that no archive meets, but the ratio: it stops decompression bombs."""
_SHOWN: Final = 10  # of each on a terminal
_TAKEN: Final = ("All are taken.", "All are taken, once the connector hands them over.")
_NUMBERED: Final = ("numbered from 0 as in `sub_index`.", "opened by the connector: `sub_index` is null.")


def summarise(payload: bytes, arrival: datetime, registry: Registry) -> Summary:
    """What the job would do with these bytes, had they arrived then."""
    # not above: it loads pandas and PyFlink, a second that no other command needs to wait
    from udfs.decode import dead_letter, decode  # noqa: PLC0415

    def rows(record: bytes) -> Iterator[Row]:
        whole = decode(record, arrival, registry)
        if whole[0] != Kind.ENVELOPE:
            yield dict(zip(DECODED, whole, strict=True))
            return
        for data, fault in _parts(record, ARCHIVE):
            row = dead_letter(fault, b"") if fault else decode(data, arrival, registry, part=True)
            yield dict(zip(DECODED, row, strict=True))

    if inside := kpl.opened(payload):  # the connector opens it: each record is handed over as if it stood alone
        handed = inside.records[: inside.handed_over]
        parts = [note(inside), *filter(None, dict.fromkeys(_as_one_record(one.data) for one in handed))]
        summary = _counted(Summary(Form.KPL, " ".join(parts)), (row for one in handed for row in rows(one.data)))
        summary.drop(len(inside.dropped))
        return summary
    form = decode(payload, arrival, registry)
    if form[0] != Kind.ENVELOPE:
        return _counted(Summary(), rows(payload))
    return _counted(Summary(form[2], _as_one_record(payload)), rows(payload))


def _parts(payload: bytes, limits: Limits) -> Iterator[Part]:
    try:
        yield from envelope.unpack(payload, limits)
    except Exception as error:
        # a rule that raises is our bug, and goes the way it goes in the job
        yield Part(payload, Rejection(Reason.INTERNAL_ERROR, repr(error)))


def _counted(summary: Summary, rows: Iterable[Row]) -> Summary:
    seen = set[tuple[int, bytes]]()
    with Console(stderr=True).status("opening") as status:
        for number, row in enumerate(rows, 1):
            key = (row["project_id"], row["identity_hash"])
            summary.add(row, copy=key in seen)
            if row["kind"] == Kind.EVENT:
                seen.add(key)
            if number % 1000 == 0:
                status.update(f"{number:,} records")
    return summary


def _as_one_record(payload: bytes) -> str | None:
    if len(payload) > text.MAX_BYTES:
        return "As one record it does not fit on the stream: its records are judged as if each had come alone."
    for _, fault in _parts(payload, Limits()):
        if fault and fault.reason is Reason.ENVELOPE_TOO_LARGE:
            return f"As one record the job would open it in part only ({fault.detail}): send it in smaller parts."
    return None


class _Everyone(Mapping[int | str, Project]):
    """A registry in which every project is linked since ever, and every cohort registered for a project 0."""

    def __getitem__(self, key: int | str) -> Project:
        return linked(key if isinstance(key, int) else 0, "(any)")

    def __iter__(self) -> Iterator[int | str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _as_project(spelled: str) -> Project:
    number, _, name = spelled.partition("=")
    if not (number.isascii() and number.isdigit() and name):
        msg = f"{spelled!r} is not ID=NAME, such as 434735=acme"
        raise click.BadParameter(msg)
    return linked(int(number), name)


@click.command("explain-record")
@click.argument("file", type=click.File("rb"))
@click.option("--registry", "asked", is_flag=True, help="Ask the registry that --config names.")
@click.option(
    "--project", "given", metavar="ID=NAME", multiple=True, type=_as_project, help="As if only these were linked."
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences and tables.")
def explain_record(file: BinaryIO, *, asked: bool, given: Sequence[Project], config: Path, as_json: bool) -> None:
    """Say what the job would do with the record, or the archive of records, in FILE (- for stdin).

    Exit code 0: all are taken; 1: some are rejected, quarantined or not linked; 2: the file cannot be read.
    """
    registry: Registry = _Everyone()
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
    payload = file.read()
    summary = summarise(payload, datetime.now(UTC).replace(tzinfo=None), registry)
    if as_json:
        click.echo(json.dumps({"bytes": len(payload), "registry": source, **_tree(summary)}, indent=2))
    else:
        _print(summary, len(payload))
        click.echo(f"\n{printable(source)}")
    if summary.lost:
        sys.exit(1)


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
        "problems": [group for group in groups if group["kind"] in LOST],
        "control": [group for group in groups if group["kind"] not in LOST],
        "records_left_out": summary.ungrouped,
        "event": dict(_event(summary.last)) if summary.form is None and summary.names else None,
    }


def _print(summary: Summary, size: int) -> None:
    if summary.form is None:
        _print_one(summary)
        return
    click.echo(
        f"{summary.form}, {size:,} bytes: {_records(summary.records)}, {_NUMBERED[summary.form == Form.KPL]}"
    )
    lost = (
        f"Not taken: {summary.lost:,} of {summary.records:,}."
        if summary.lost
        else _TAKEN[summary.form == Form.KPL]
    )
    click.echo(click.style(lost, bold=True))
    if summary.note:
        click.echo(summary.note)
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
    month = (
        row["month"]
        if row["server_upload_time"]
        else f"{row['month']}, of its arrival: server_upload_time cannot be used"
    )
    yield "month", month
    yield "identity", f"rung {row['identity_rung']}: {row['identity']}"
    yield from _mended(row)


def _mended(row: Row) -> Iterator[tuple[str, str]]:
    """What was mended in a record, by name."""
    for repair in (row["repairs"] or "").split():
        yield f"mended: {repair}", REPAIRS[Repair.named(repair)]
