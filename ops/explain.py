"""`amplitude-bridge explain-record`: what the job would do with the bytes of a file, and why, without a job.

The file is one record or an archive of them. Its parts are decoded one after the other by the job's own rules;
what stays in memory is the file, the member of the archive that is open, and a hash of each distinct event.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.table import Table

from ops.reasons import REASONS, REPAIRS
from ops.terminal import cell, config_option, echo_fields, printable
from settings import load
from stores.cohorts import Cohorts
from stores.project import Project, linked
from stores.projects import Projects
from stores.registry import read
from udfs import envelope, text
from udfs.attribute import Registry
from udfs.envelope import Limits, Part
from udfs.model import DECODED, EVENT_PREFIX, Kind, Reason, Rejection, Repair

ARCHIVE: Final = Limits(opened_bytes=2**40, parts=10**9)
"""Bounds that no archive meets, but the ratio: it stops decompression bombs."""
_GROUPS: Final = 100  # kinds of problems that are told apart, and names in JSON
_SHOWN: Final = 10  # of each on a terminal
_OUTCOMES: Final = {
    "accepted": "stored as events",
    "duplicate": "the same event of the same project stands earlier in this file",
    Kind.USER_UPDATE: "merged into profiles, and kept in the history",
    Kind.COHORT: "cohort messages: memberships, and a history of them",
    Kind.CONTROL: "recognised and counted; no events of a customer's",
    Kind.NOT_LINKED: "counted; their project was not linked when Amplitude uploaded them",
    Kind.QUARANTINED: "kept; nobody knows whose they are",
    Kind.REJECTED: "kept; unusable as they came",
}
_LOST: Final = (Kind.NOT_LINKED, Kind.QUARANTINED, Kind.REJECTED)

Row = Mapping[str, Any]
"""A row of `DECODED` by column."""


@dataclass
class Group:
    """Records that are not taken for the same reason, of the same project."""

    reason: Reason
    project_id: int | None
    first: int
    detail: str
    records: int = 0

    def words(self) -> list[tuple[str, str]]:
        """What a person needs to know about it, by name."""
        project = [] if self.project_id is None else [("project", str(self.project_id))]
        return [*project, ("detail", self.detail), *REASONS[self.reason]._asdict().items()]


@dataclass
class Summary:
    """What the job would do with the records of one file, in counts and first examples."""

    form: str | None = None
    """what envelope the file is"""
    note: str | None = None
    """in which way the file as one record would fare otherwise"""
    outcomes: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    groups: dict[tuple[Reason, int | None], Group] = field(default_factory=dict)
    ungrouped: int = 0
    """records that are not taken in yet other ways than those of `groups`"""
    last: Row = field(default_factory=dict)

    @property
    def records(self) -> int:
        """All of them."""
        return self.outcomes.total()

    @property
    def lost(self) -> int:
        """Those that do not reach their customer."""
        return sum(self.outcomes[kind] for kind in _LOST)

    def add(self, row: Row, *, copy: bool) -> None:
        """Count one more record; `copy` says that the event was there before."""
        at, self.last = self.records, row
        outcome = row["kind"] if row["kind"] != Kind.EVENT else "duplicate" if copy else "accepted"
        self.outcomes[outcome] += 1
        self.first.setdefault(outcome, at)
        if outcome == "accepted":
            self.names[row["name"]] += 1
        if outcome != "duplicate":
            self.repairs.update((row["repairs"] or "").split())
        if row["reason"]:
            key = (Reason(row["reason"]), row["project_id"])
            if key in self.groups or len(self.groups) < _GROUPS:
                self.groups.setdefault(key, Group(*key, at, row["detail"])).records += 1
            else:
                self.ungrouped += 1


def summarise(payload: bytes, arrival: datetime, registry: Registry) -> Summary:
    """What the job would do with these bytes, had they arrived then."""
    # not above: it loads pandas and PyFlink, a second that no other command needs to wait
    from udfs.decode import dead_letter, decode  # noqa: PLC0415

    def rows() -> Iterator[Row]:
        for data, fault in _parts(payload, ARCHIVE):
            row = dead_letter(fault, b"") if fault else decode(data, arrival, registry, part=True)
            yield dict(zip(DECODED, row, strict=True))

    whole = dict(zip(DECODED, decode(payload, arrival, registry), strict=True))
    if whole["kind"] != Kind.ENVELOPE:
        return _counted(Summary(), [whole])
    return _counted(Summary(whole["detail"], _as_one_record(payload)), rows())


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
        registry = read(Projects(address), Cohorts(address))
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
        "outcomes": {name: summary.outcomes[name] for name in _OUTCOMES},
        "names": [
            {"event_type": name.removeprefix(EVENT_PREFIX), "stored_as": name, "records": n}
            for name, n in summary.names.most_common(_GROUPS)
        ],
        "names_left_out": max(0, len(summary.names) - _GROUPS),
        "repairs": dict(summary.repairs),
        "problems": [group for group in groups if group["kind"] in _LOST],
        "control": [group for group in groups if group["kind"] not in _LOST],
        "records_left_out": summary.ungrouped,
        "event": dict(_event(summary.last)) if summary.form is None and summary.names else None,
    }


def _print(summary: Summary, size: int) -> None:
    if summary.form is None:
        _print_one(summary)
        return
    click.echo(f"{summary.form}, {size:,} bytes: {_records(summary.records)}, numbered from 0 as in `sub_index`.")
    lost = f"Not taken: {summary.lost:,} of {summary.records:,}." if summary.lost else "All are taken."
    click.echo(click.style(lost, bold=True))
    if summary.note:
        click.echo(summary.note)
    outcomes = _table("outcome", "records", "first", "that is")
    for name, meaning in _OUTCOMES.items():
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
            to = profile if row["to_profile"] else "kept in the history, for it names no user"
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
