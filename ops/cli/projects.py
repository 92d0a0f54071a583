"""`amplitude-bridge projects`: which Notifly project an Amplitude project is linked to, and since when."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from ops.cli.terminal import PROJECT_ID, Commands, as_json_option, cell, echo_fields
from ops.cli.times import as_past_moment
from settings import load
from stores.project import DEFAULT_MONTHLY_LIMIT, Plan, Project, Terms, iso, linked
from stores.projects import Projects

LIMIT: Final = click.IntRange(1, 10**15)
MAX_THRESHOLDS: Final = 20


def _as_name(text: str) -> str:
    if not text or not text.isprintable() or text != text.strip():
        msg = (
            f"{text!r} is no name of a Notifly project: it is empty, or has blanks around it or control characters"
        )
        raise click.BadParameter(msg)
    return text


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


@projects.command("add")
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


@projects.command("link")
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


@projects.command("unlink")
@click.argument("project_id", type=PROJECT_ID)
@_at
@click.pass_obj
def unlink(config: Path, /, project_id: int, at: datetime | None) -> None:
    """End the link of PROJECT_ID: what Amplitude uploads from then on is counted, neither stored nor metered."""
    end = at or _now()
    _registry(config).unlink(project_id, end)
    click.echo(f"Amplitude project {project_id} is unlinked: only uploads from before {iso(end)} are taken")


@projects.command("limit")
@click.argument("project_id", type=PROJECT_ID)
@click.argument("monthly_limit", metavar="EVENTS", type=LIMIT)
@click.pass_obj
def limit(config: Path, /, project_id: int, monthly_limit: int) -> None:
    """Let PROJECT_ID have EVENTS free events a month, from this UTC month on; earlier months keep their limit."""
    _change_terms(config, project_id, monthly_limit=monthly_limit)


@projects.command("thresholds")
@click.argument("project_id", type=PROJECT_ID)
@click.argument("percentages", nargs=-1, type=click.IntRange(1, 1000))
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
    click.echo(f"Amplitude project {project_id}: {_of_terms(terms)}, from {month} on")


def _of_terms(terms: Terms) -> str:
    percentages = ", ".join(map(str, terms.thresholds))
    alerts = f"alerts at {percentages} %" if percentages else "no alerts"
    return f"{terms.monthly_limit:,} events a month, {alerts}"


@projects.command("snapshots")
@click.argument("project_id", type=PROJECT_ID)
@click.argument("hours", type=_as_hours)
@click.pass_obj
def snapshots(config: Path, /, project_id: int, hours: int | None) -> None:
    """Let the user properties on events of PROJECT_ID change profiles too, or `off`.

    Events that Amplitude uploaded more than HOURS after they happened are left out: a backfill brings old values.
    """
    _registry(config).take_snapshots(project_id, hours)
    click.echo(f"Amplitude project {project_id}: user properties on events {_on_events(hours)}")


def _on_events(hours: int | None) -> str:
    if hours is None:
        return "do not change profiles"
    return f"change profiles, unless uploaded more than {hours} h after the event"


@projects.command("allow")
@click.argument("notifly_project", type=_as_name)
@click.argument("max_projects", metavar="N", type=click.IntRange(1))
@click.pass_obj
def allow(config: Path, /, notifly_project: str, max_projects: int) -> None:
    """Let NOTIFLY_PROJECT have N Amplitude projects linked at a time; without this it may have one."""
    registry = _registry(config)
    registry.create()
    registry.allow(notifly_project, max_projects)
    noun = "project" if max_projects == 1 else "projects"
    click.echo(f"{notifly_project} may have {max_projects} Amplitude {noun} linked at a time")


@projects.command("list")
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


@projects.command("show")
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


def _print(project: Project, plan: Plan) -> None:
    ids = f": {', '.join(map(str, plan.linked))}" if plan.linked else ""
    fields = [
        ("project", str(project.project_id)),
        ("status", f"{project.status}, {project.notifly_project}"),
        ("terms", _of_terms(project.terms)),
        *((f"until {past.until}", _of_terms(past.terms)) for past in project.earlier_terms),
        ("user properties", f"on events {_on_events(project.snapshot_hours)}"),
        ("plan", f"{len(plan.linked)} of {plan.max_projects} Amplitude projects linked{ids}"),
    ]
    echo_fields(fields)
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
        "links": links,
    }
