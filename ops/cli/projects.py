"""`amplitude-bridge projects`: which Notifly project an Amplitude project is linked to, and since when."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from ops.answers.registry_file import (
    MAX_THRESHOLDS,
    Change,
    differences,
    exported,
    in_words,
    name_of_project,
    of_terms,
    on_events,
    parse,
)
from ops.answers.strangers import printable
from ops.cli.rules import fields, filters
from ops.cli.terminal import PROJECT_ID, Commands, Whole, as_json_option, cell, echo_fields, example
from ops.cli.times import as_past_moment
from ops.maintenance.apply import applied
from settings import load
from stores.project import DEFAULT_MONTHLY_LIMIT, Plan, Project, iso, linked
from stores.projects import Projects
from stores.rules import documented

LIMIT: Final = Whole(1, 10**15)


def _as_name(text: str) -> str:
    try:
        return name_of_project(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _as_hours(text: str) -> int | None:
    if text == "off":
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 24 * 366):
        msg = f"{text!r} is neither `off` nor a number of hours from 1 to {24 * 366}"
        raise click.BadParameter(msg)
    return int(text)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)  # to be read and written by people


_at = click.option("--at", metavar="TIME", type=as_past_moment, help="ISO 8601 with its zone. [default: now]")


@click.group(cls=Commands)
def projects() -> None:
    """The registry: which Notifly project an Amplitude project is linked to, and since when.

    A record belongs to the Notifly project that its Amplitude project was linked to when Amplitude uploaded it
    (server_upload_time; its arrival where that is absent). Uploaded before the first link it is counted as
    before_link, in a gap or after the end as unlinked: neither is stored nor metered.

    Workers know of a change within ingest.projects_refresh_seconds. What they took or refused before stays so.
    """


def _registry(config: Path) -> Projects:
    return Projects(load(config).tables_address)


@projects.command("add", epilog=example("projects add 434735 acme-shop --linked-at 2026-01-01T00:00Z"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("notifly_project", type=_as_name)
@click.option("--linked-at", metavar="TIME", type=as_past_moment, help="ISO 8601 with its zone. [default: now]")
@click.option("--monthly-limit", default=DEFAULT_MONTHLY_LIMIT, show_default=True, type=LIMIT)
@click.pass_obj
def add(
    config: Path, /, project_id: int, notifly_project: str, linked_at: datetime | None, monthly_limit: int
) -> None:
    """Register Amplitude's PROJECT_ID and link it to NOTIFLY_PROJECT."""
    registry, at = _registry(config), linked_at or _now()
    registry.create()
    registry.add(linked(project_id, notifly_project, at, monthly_limit))
    click.echo(
        f"Amplitude project {project_id} is linked to {notifly_project}: uploads from {iso(at)} on are taken"
    )


@projects.command("link", epilog=example("projects link 434735 other-shop"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("notifly_project", type=_as_name, required=False)
@_at
@click.pass_obj
def link(config: Path, /, project_id: int, notifly_project: str | None, at: datetime | None) -> None:
    """Link PROJECT_ID again after an unlink, to NOTIFLY_PROJECT or to the one that it last belonged to."""
    registry, since = _registry(config), at or _now()
    name = notifly_project or registry.get(project_id).notifly_project
    registry.link(project_id, name, since)
    click.echo(f"Amplitude project {project_id} is linked to {name}: uploads from {iso(since)} on are taken")


@projects.command("extend-link", epilog=example("projects extend-link 434735 --linked-at 2026-01-01T00:00Z"))
@click.argument("project_id", type=PROJECT_ID)
@click.option("--linked-at", metavar="TIME", type=as_past_moment, required=True, help="ISO 8601 with its zone.")
@click.pass_obj
def extend_link(config: Path, /, project_id: int, linked_at: datetime) -> None:
    """Let the first link of PROJECT_ID begin earlier, where it was registered too late.

    What was refused as before_link does not come back: put it on the stream with `backfill`.
    """
    first = _registry(config).extend(project_id, linked_at).links[0]
    click.echo(
        f"Amplitude project {project_id} is linked to {first.notifly_project}: "
        f"uploads from {iso(first.linked_at)} on are taken"
    )


@projects.command("unlink", epilog=example("projects unlink 434735 --at 2026-03-01T12:00Z"))
@click.argument("project_id", type=PROJECT_ID)
@_at
@click.pass_obj
def unlink(config: Path, /, project_id: int, at: datetime | None) -> None:
    """End the link of PROJECT_ID: what Amplitude uploads from then on is counted, neither stored nor metered."""
    end = at or _now()
    _registry(config).unlink(project_id, end)
    click.echo(f"Amplitude project {project_id} is unlinked: only uploads from before {iso(end)} are taken")


@projects.command("limit", epilog=example("projects limit 434735 20000000"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("monthly_limit", metavar="EVENTS", type=LIMIT)
@click.pass_obj
def limit(config: Path, /, project_id: int, monthly_limit: int) -> None:
    """Let PROJECT_ID have EVENTS free events a month, from this UTC month on; earlier months keep their limit."""
    _change_terms(config, project_id, monthly_limit=monthly_limit)


@projects.command("thresholds", epilog=example("projects thresholds 434735 80 100"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("percentages", nargs=-1, type=Whole(1, 1000))
@click.pass_obj
def thresholds(config: Path, /, project_id: int, percentages: tuple[int, ...]) -> None:
    """Alert when PROJECT_ID reaches PERCENTAGES of its limit, from this UTC month on; none given, never.

    One that this month has reached already is told of now, unless it was told of before.
    """
    if len(percentages) > MAX_THRESHOLDS:
        msg = f"{len(percentages)} thresholds: give at most {MAX_THRESHOLDS}"
        raise click.BadParameter(msg)
    _change_terms(config, project_id, thresholds=tuple(sorted(set(percentages))))


def _change_terms(config: Path, project_id: int, **changes: Any) -> None:
    registry = _registry(config)
    terms = registry.get(project_id).terms._replace(**changes)
    month = f"{_now():%Y-%m}"
    registry.set_terms(project_id, terms, month)
    click.echo(f"Amplitude project {project_id}: {of_terms(terms)}, from {month} on")


@projects.command("snapshots", epilog=example("projects snapshots 434735 24"))
@click.argument("project_id", type=PROJECT_ID)
@click.argument("hours", type=_as_hours)
@click.pass_obj
def snapshots(config: Path, /, project_id: int, hours: int | None) -> None:
    """Let the user properties on events of PROJECT_ID change profiles too, or `off`.

    Events that Amplitude uploaded more than HOURS after they happened are left out: a backfill brings old values.
    """
    _registry(config).take_snapshots(project_id, hours)
    click.echo(f"Amplitude project {project_id}: user properties on events {on_events(hours)}")


@projects.command("allow", epilog=example("projects allow acme-shop 2"))
@click.argument("notifly_project", type=_as_name)
@click.argument("max_projects", metavar="N", type=Whole(1))
@click.pass_obj
def allow(config: Path, /, notifly_project: str, max_projects: int) -> None:
    """Let NOTIFLY_PROJECT have N Amplitude projects linked at a time; without this it may have one."""
    registry = _registry(config)
    registry.create()
    registry.allow(notifly_project, max_projects)
    noun = "project" if max_projects == 1 else "projects"
    click.echo(f"{notifly_project} may have {max_projects} Amplitude {noun} linked at a time")


@projects.command("list", epilog=example("projects list --json"))
@as_json_option
@click.pass_obj
def list_projects(config: Path, /, *, as_json: bool) -> None:
    """Show all registered projects."""
    known = _registry(config).list()
    if as_json:
        click.echo(json.dumps([_described(project) for project in known], indent=2))
        return
    table = Table("project", "Notifly project", "status", "since", "monthly limit")
    for project in known:
        last = project.links[-1]
        since = _shown((last.unlinked_at or last.linked_at).replace(microsecond=0))
        words = (
            project.project_id,
            last.notifly_project,
            project.status,
            since,
            f"{project.terms.monthly_limit:,}",
        )
        table.add_row(*map(cell, words))
    Console().print(table)


@projects.command("show", epilog=example("projects show 434735"))
@click.argument("project_id", type=PROJECT_ID)
@as_json_option
@click.pass_obj
def show(config: Path, /, project_id: int, *, as_json: bool) -> None:
    """Show one project: all its links, and the plan of the Notifly project that it belongs or belonged to."""
    registry = _registry(config)
    project = registry.get(project_id)
    plan = registry.plan(project.notifly_project)
    if as_json:
        terms = {"max_projects": plan.max_projects, "linked": plan.linked}
        click.echo(json.dumps({**_described(project), "plan": terms}, indent=2))
    else:
        _print(project, plan)


_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
_prune = click.option(
    "--prune", is_flag=True, help="End the links of projects that FILE does not name, and lower plans likewise."
)


def _changes(registry: Projects, file: str, *, prune: bool) -> list[Change]:
    with click.open_file(file, "rb") as source:
        wanted = parse(source.read(), file)
    return differences(wanted, registry.list(), registry.all_plans(), _now(), prune=prune)


@projects.command("diff", epilog=example("projects diff registry.toml --prune"))
@_file
@_prune
@as_json_option
@click.pass_obj
def diff(config: Path, /, *, file: str, prune: bool, as_json: bool) -> None:
    """Say what `projects apply` would change, a line each, and change nothing.

    Exit code 0: nothing; 1: something; 2: FILE is wrong, or contradicts the registry.
    """
    changes = [change.words for change in _changes(_registry(config), file, prune=prune)]
    if as_json:
        click.echo(json.dumps(changes, indent=2))
    for words in () if as_json else changes:
        click.echo(printable(words))
    if changes:
        sys.exit(1)


@projects.command("apply", epilog=example("projects apply registry.toml"))
@_file
@_prune
@click.pass_obj
def apply(config: Path, /, *, file: str, prune: bool) -> None:
    """Make the registry as FILE says; `projects export` writes such a file, `projects diff` looks only.

    What FILE does not name stays as it is. A file that is wrong anywhere, or tells another past of links than the
    registry, is refused whole. It may be repeated: what is done already is left out.
    """
    registry = _registry(config)
    registry.create()
    changes = _changes(registry, file, prune=prune)
    for change in applied(registry, changes):
        click.echo(printable(change.words))
    if not changes:
        click.echo("the registry is as the file says")


@projects.command("export", epilog=example("projects export > registry.toml"))
@click.pass_obj
def export(config: Path, /) -> None:
    """Print the registry as a file for `projects apply`, in TOML, to be kept in Git.

    Terms of earlier months are not in it.
    """
    registry = _registry(config)
    click.echo(exported(registry.list(), registry.all_plans()), nl=False)


def _print(project: Project, plan: Plan) -> None:
    ids = f": {', '.join(map(str, plan.linked))}" if plan.linked else ""
    told = [
        ("project", str(project.project_id)),
        ("status", f"{project.status}, {project.notifly_project}"),
        ("terms", of_terms(project.terms)),
        *((f"until {past.until}", of_terms(past.terms)) for past in project.earlier_terms),
        ("user properties", f"on events {on_events(project.snapshot_hours)}"),
        *in_words(project.rules),
        ("plan", f"{len(plan.linked)} of {plan.max_projects} Amplitude projects linked{ids}"),
    ]
    echo_fields(told)
    table = Table("Notifly project", "linked", "unlinked")
    for one in project.links:
        end = "" if one.unlinked_at is None else _shown(one.unlinked_at)
        table.add_row(*map(cell, (one.notifly_project, _shown(one.linked_at), end)))
    Console().print(table)


def _shown(at: datetime) -> str:
    return "ever" if at == datetime.min else iso(at)  # noqa: DTZ901  naive UTC, as the registry has it


def _described(project: Project) -> dict[str, Any]:
    """A project as JSON has it: times in ISO 8601 with Z, null for the end of a link that lasts."""
    links = [
        {
            "notifly_project": one.notifly_project,
            "linked_at": iso(one.linked_at),
            "unlinked_at": one.unlinked_at and iso(one.unlinked_at),
        }
        for one in project.links
    ]
    return {
        "project_id": project.project_id,
        "notifly_project": project.notifly_project,
        "status": project.status,
        **project.terms._asdict(),
        "earlier_terms": [{"until": past.until, **past.terms._asdict()} for past in project.earlier_terms],
        "snapshot_hours": project.snapshot_hours,
        **documented(project.rules),
        "links": links,
    }


projects.add_command(fields)
projects.add_command(filters)
