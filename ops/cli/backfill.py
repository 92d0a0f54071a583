"""`amplitude-bridge backfill`: a project's history out of Amplitude's archives."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ops.answers.archived import Comparison, Judge, accounts, compared
from ops.cli.terminal import PROJECT_ID, Whole, as_json_option, cell, config_option, example, wide
from ops.cli.times import as_hour
from ops.maintenance.backfill import Archives, Backfill
from settings import Settings, https, load
from stores.amplitude.export_api import URLS, ExportApi, hours
from stores.amplitude.http import keys
from stores.archives import ArchiveError, members
from stores.errors import StoreError
from stores.lake import Lake
from stores.project import Project, iso
from stores.projects import Projects
from stores.stream import Stream

_SHOWN: Final = 48
_LOOK_AGAIN: Final = 3.0
_AHEAD: Final = timedelta(days=1)  # of this machine's clock, whatever the stream's says


class Share(click.FloatRange):
    """A part of the whole; its name is what a wrong one is not."""

    name = "number, such as 0.25"


def _as_address(text: str) -> str:
    try:
        return https(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    epilog=example(
        "backfill 434735 export.zip --dry-run",
        "backfill 434735 --from 2026-03-01T00 --to 2026-03-01T23 --keys keys",
    )
)
@config_option
@click.argument("project_id", metavar="PROJECT_ID", type=PROJECT_ID)
@click.argument("source", metavar="[ARCHIVES]", required=False)
@click.option("--from", "begin", metavar="HOUR", type=as_hour, help="Fetch from Amplitude: 2026-03-01T00, UTC.")
@click.option("--to", "end", metavar="HOUR", type=as_hour, help="The last hour to fetch.")
@click.option("--region", type=click.Choice([*URLS]), default="us", show_default=True, help="Of the organisation.")
@click.option(
    "--keys", type=click.Path(path_type=Path), help="A file that holds API_KEY:SECRET_KEY of the project."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where fetched archives are until all is verified.  [default: var/backfill/PROJECT]",
)
@click.option(
    "--endpoint", metavar="URL", type=_as_address, help="Another address than Amplitude's, such as a stand-in's."
)
@click.option(
    "--share",
    metavar="PART",
    default=0.25,
    show_default=True,
    type=Share(0, 1, min_open=True),
    help="Of what the stream's shards take a second, at most.",
)
@click.option("--as-of-link", is_flag=True, help="Leave out what was uploaded before the project was linked.")
@click.option("--extend-link", is_flag=True, help="Let the link begin with the archives, and take that too.")
@click.option("--dry-run", is_flag=True, help="Only compare the archives with what is stored.")
@click.option(
    "--wait",
    default=10,
    show_default=True,
    type=Whole(0),
    help="Minutes for the job to store what was put.",
)
@as_json_option
def backfill(  # noqa: PLR0913  one of each option
    config: Path,
    project_id: int,
    source: str | None,
    *,
    share: float,
    as_of_link: bool,
    extend_link: bool,
    dry_run: bool,
    wait: int,
    as_json: bool,
    **asked: Any,
) -> None:
    """Put the events of Amplitude's ARCHIVES on the stream, unless they are stored.

    ARCHIVES is a file, a folder or s3://bucket/prefix: zips of the Export API, or .json.gz files. With --from,
    --to and --keys they are fetched from Amplitude instead, an hour at a time.

    Nothing is stored twice, however old it is and however often this is done. What was killed goes on where it
    was: repeat the command. At the end the rows of each hour are compared with what is stored.

    Exit code 0: each row is accounted for; 1: some are missing; 2: something is not as it must be.
    """
    if as_of_link and extend_link:
        msg = "--as-of-link and --extend-link exclude each other"
        raise click.UsageError(msg)
    settings, bars = load(config), Console(stderr=True)
    registry = Projects(settings.tables_address)
    project, stream = registry.get(project_id), Stream(settings.stream_address)
    given = _given(project_id, source, asked, bars)
    files = members(given.paths, settings.lake_address)
    archives = Archives(settings, project, files, stream.summary().capacity)
    found = _look(archives, given.hours, bars)
    if source and not found.rows:
        msg = f"{source} holds no events: give a zip of Amplitude's Export API, or its .json.gz files"
        raise ArchiveError(msg)
    if extend_link and found.before_link:
        archives = replace(archives, project=_extended(registry, found, project, dry_run))
        found = _look(archives, given.hours, bars)
    elif found.before_link and not as_of_link and not dry_run:
        raise StoreError(_before_link(found, project))
    if dry_run:
        _print(found, as_json, put=None)
        return
    if archives.project != project:
        _wait_for_workers(settings)
    with bars.status("waiting until no other backfill of the project runs"):
        begun = Backfill(archives, given.name)
    with _to_go_on(), begun as running:
        if running.resumed:
            click.echo(f"going on behind {running.run.put:,} records that were put before", err=True)
        with _bar(bars, "records put", found.count("missing")) as (progress, task):
            for records in running.put(share):
                progress.advance(task, records)
        verified = _verified(archives, running.since, found, bars, wait)
        put = running.run.put
    _print(verified, as_json, put=put)
    if verified.residual:
        sys.exit(1)
    given.clear()


@dataclass(frozen=True)
class Given:
    """What a backfill is of."""

    name: str
    paths: Sequence[str]
    hours: Sequence[datetime] = ()
    folder: Path | None = None
    """holds what was fetched"""

    def clear(self) -> None:
        """Remove what was fetched: it is personal data, and all of it is stored."""
        if self.folder:
            for path in self.paths:
                Path(path).unlink(missing_ok=True)
            with suppress(OSError):  # other hours are there
                self.folder.rmdir()


def _given(project_id: int, source: str | None, asked: Mapping[str, Any], console: Console) -> Given:
    """The archives that were named, or those that are fetched. Raises AmplitudeError."""
    begin, end, file = (asked[name] for name in ("begin", "end", "keys"))
    if source is not None:
        if begin or end or file:
            msg = "give ARCHIVES, or --from, --to and --keys"
            raise click.UsageError(msg)
        return Given(source, [source])
    if not (begin and end and file):
        msg = "give ARCHIVES, or all of --from, --to and --keys"
        raise click.UsageError(msg)
    wanted = hours(begin, end, datetime.now(UTC))
    api = ExportApi(asked["endpoint"] or URLS[asked["region"]], keys(file))
    folder = asked["folder"] or Path("var/backfill") / str(project_id)
    paths = []
    with _bar(console, "hours fetched", len(wanted)) as (progress, task):
        for path in api.fetch(wanted, folder):
            paths.append(str(path))
            progress.advance(task)
    return Given(f"{begin:%Y-%m-%dT%H} to {end:%Y-%m-%dT%H}", paths, wanted, folder)


def _extended(registry: Projects, found: Comparison, project: Project, dry_run: bool) -> Project:
    assert found.before_link  # noqa: S101
    at = found.before_link.replace(tzinfo=None)
    if dry_run:
        return project.linked_from(at)
    extended = registry.extend(project.project_id, at)
    click.echo(f"project {project.project_id} is linked from {iso(at)} on", err=True)
    return extended


def _wait_for_workers(settings: Settings) -> None:
    seconds = settings.ingest.projects_refresh_seconds
    click.echo(f"waiting {seconds} s, until every worker knows the registry as it is now", err=True)
    time.sleep(seconds)


def _before_link(found: Comparison, project: Project) -> str:
    rows = sum(n for (_, why), n in found.why.items() if why == "before_link")
    return (
        f"{rows:,} of {found.rows:,} events were uploaded before project {project.project_id} was linked "
        f"({iso(project.links[0].linked_at)}): say --as-of-link to leave them out, or --extend-link to take them"
    )


def _look(archives: Archives, wanted: Sequence[datetime], console: Console) -> Comparison:
    """Judge all rows, and put nothing: what is stored was stored before. Raises StoreError, ArchiveError."""
    judge = Judge(Lake(archives.settings.lake_address), archives.project.project_id, datetime.now(UTC) + _AHEAD)
    with console.status("reading") as status:
        found = (one for _, one in archives.judged(judge))
        return compared(found, judge, wanted, lambda rows: status.update(f"{rows:,} rows read"))


def _verified(
    archives: Archives, since: datetime, before: Comparison, console: Console, minutes: int
) -> Comparison:
    """Judge all rows again, until each is accounted for or the time is over. Raises StoreError."""
    begin = time.monotonic()
    while True:
        judge = Judge(Lake(archives.settings.lake_address), archives.project.project_id, since)
        started = time.monotonic()
        with _bar(console, "rows verified", before.rows) as (progress, task):
            found = (one for _, one in archives.judged(judge))
            result = compared(found, judge, before.hours, lambda done: progress.update(task, completed=done))
        now = time.monotonic()
        if not result.count("missing") or now - begin >= minutes * 60:
            return result
        time.sleep(max(_LOOK_AGAIN, now - started))


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[tuple[Progress, Any]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        yield progress, progress.add_task(what, total=total)


@contextmanager
def _to_go_on() -> Iterator[None]:
    """A store that gives up says how to go on."""
    try:
        yield
    except StoreError as error:
        if "repeat the command" in str(error):
            raise
        msg = f"{error}: mend that, then repeat the command, which goes on where it stopped"
        raise StoreError(msg) from None


def _print(found: Comparison, as_json: bool, put: int | None) -> None:
    why = [
        {"outcome": outcome, "reason": reason, "records": n} for (outcome, reason), n in found.why.most_common()
    ]
    if as_json:
        whole = {"put": put, "hours": list(accounts(found)), "not_taken": why, "residual": found.residual}
        click.echo(json.dumps(whole, indent=2))
        return
    Console().print(_table(found, "missing" if put is not None else "to be put"))
    before, copies = found.count("before"), found.count("copy")
    if before or copies:
        click.echo(f"duplicates: {before:,} were stored before, {copies:,} are copies in the archives")
    if erased := found.count("erased"):
        click.echo(f"erased: {erased:,} are of users or events that were erased since, and are left out")
    for one in why:
        click.echo(f"{one['outcome']}: {one['records']:,} {one['reason']}")
    if put is None:
        return
    click.echo(f"put on the stream: {put:,}")
    if found.residual:
        click.echo("missing rows may still be on their way: --dry-run compares again; does the job run?")
    click.echo(f"residual {found.residual:,}")


def _table(found: Comparison, last: str) -> Table:
    names = ("amplitude", "stored", "duplicates", "rejected", "erased")
    table = wide(["hour (UTC)"], (*names, last), title="Each hour's rows at Amplitude, and what became of them")
    lines = list(accounts(found))
    for one in lines[:_SHOWN]:
        hour = str(one["hour"])[:16].replace("T", " ") if one["hour"] else "none"
        table.add_row(cell(hour), *(f"{one[name]:,}" for name in (*names, "missing")))
    if len(lines) > _SHOWN:
        table.add_row(f"… {len(lines) - _SHOWN} more: --json")
    table.add_section()
    table.add_row("all", *(f"{sum(int(one[name] or 0) for one in lines):,}" for name in (*names, "missing")))
    return table
