"""Connecting a project: what to enter in Amplitude, the registration, the test, and the end of a link."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from ops.answers.connection import NAMELESS, Connection, Place, checked, looked, tables
from ops.answers.registry_file import name_of_project
from ops.answers.steps import AWAY
from ops.console.asks import REGISTRY, Answer, Ask, Moved, Shown
from ops.console.people import Right
from stores.errors import StoreError
from stores.project import linked
from stores.projects import CONTACT, Projects

WAIT: Final = 300.0
"""Seconds for which a test waits for a record."""
_LARGEST: Final = 2**63 - 1
_CHECK_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 2.0


def form(ask: Ask) -> Answer:
    """The form by which a project is registered."""
    return _form(ask)


def _form(ask: Ask, refusal: str = "", status: int = 200, **more: Any) -> Answer:
    given = {name: ask.form.get(name, "") for name in ("project_id", "notifly_project")}
    values = {"given": given, "refusal": refusal, "contact": CONTACT, "detail": "", "plan": None}
    return Shown("connect_new.html", values | more, status)


def register(ask: Ask) -> Answer:
    """Register a project and link it from now on; then the test of its connection."""
    project_id, name = ask.form.get("project_id", "").strip(), ask.form.get("notifly_project", "")
    if not (project_id.isascii() and project_id.isdecimal() and int(project_id) <= _LARGEST):
        return _form(ask, "id", 422)
    if refusal := _refused_name(ask, name):
        return _form(ask, refusal, 422)
    registry = Projects(tables(ask.settings))
    registry.create()
    if any(one.project_id == int(project_id) for one in registry.list()):
        return _form(ask, "registered", 409)
    plan = registry.plan(name)
    if len(plan.linked) >= plan.max_projects:
        return _form(ask, "plan", 409, plan=plan)
    ask.note("projects.add", int(project_id), notifly_project=name)
    new = linked(int(project_id), name, _second(ask))
    if refusal := _refused(ask, int(project_id), lambda: registry.add(new)):
        return _form(ask, "registry", 409, detail=refusal)
    return Moved(_tested(int(project_id), ask))


def _refused_name(ask: Ask, name: str) -> str:
    """Why a project is not to be linked to a Notifly project of this name."""
    try:
        name_of_project(name)
    except ValueError:
        return "name"
    return "" if ask.who.may(Right.OPERATE) or name in ask.who.projects else "name"


def show(ask: Ask) -> Answer:
    """How a project is connected; with `test` in the query, the test that began then."""
    return _page(ask)


def _page(ask: Ask, refusal: str = "") -> Answer:
    plan = Projects(tables(ask.settings)).plan(ask.of.notifly_project)
    values = {"plan": plan, "contact": CONTACT, "test": _test(ask), "refusal": refusal}
    return Shown("connect.html", values, 409 if refusal else 200)


def test(ask: Ask) -> Answer:
    """Begin a test: the page asks for its steps."""
    return Moved(_tested(ask.of.project_id, ask))


def link(ask: Ask) -> Answer:
    """Link a project again, from now on, to the Notifly project that it last belonged to."""
    project_id, name = ask.of.project_id, ask.of.notifly_project
    ask.note("projects.link", project_id, notifly_project=name)
    act = partial(Projects(tables(ask.settings)).link, project_id, name, _second(ask))
    refusal = _refused(ask, project_id, act)
    return _page(ask, refusal) if refusal else Moved(_tested(project_id, ask))


def unlink(ask: Ask) -> Answer:
    """End the link of a project, from now on."""
    project_id = ask.of.project_id
    ask.note("projects.unlink", project_id, notifly_project=ask.of.notifly_project)
    act = partial(Projects(tables(ask.settings)).unlink, project_id, _second(ask))
    refusal = _refused(ask, project_id, act)
    return _page(ask, refusal) if refusal else Moved(f"/projects/{project_id}/connect")


def _refused(ask: Ask, project_id: int, act: Callable[[], None]) -> str:
    """Change the registry; why it has refused that, in words, empty when it has not."""
    try:
        act()
    except StoreError as error:
        return str(error)
    finally:
        ask.site.reads.forget(REGISTRY)
        ask.site.reads.forget(("checked", project_id))
    return ""


def _tested(project_id: int, ask: Ask) -> str:
    return f"/projects/{project_id}/connect?test={ask.now:%Y-%m-%dT%H:%M:%SZ}"


def _second(ask: Ask) -> datetime:
    """Now, as the registry has it: naive UTC, to be read by people."""
    return ask.now.replace(tzinfo=None, microsecond=0)


def _test(ask: Ask) -> dict[str, Any] | None:
    """The steps of the test that the query names, and whether it has ended."""
    begun = _begun(ask)
    if begun is None:
        return None
    project_id, place = ask.of.project_id, Place(ask.site.flink, ask.settings.console.amplitude_role)
    question = partial(checked, ask.settings, project_id, place)
    found = ask.shared(("checked", project_id), _CHECK_SECONDS, question)
    look = partial(looked, ask.settings, found, begun, WAIT)
    last = ask.shared(("looked", project_id, begun, found.failed), _LOOK_SECONDS, look)
    if last is None:
        return {"found": found, "ended": False, "end": "waiting"}
    end = _end(whole := replace(found, steps=(*found.steps, last)))
    # what is not certain is told, and looked at again as long as the test lasts
    certain = end not in {"away", "nameless"} or ask.now - begun >= timedelta(seconds=WAIT)
    return {"found": whole, "ended": certain, "end": end}


def _end(found: Connection) -> str:
    """How a test ends: `ok`, `nameless`, `away`, or the name of the step that somebody has to mend first."""
    last = found.steps[-1]
    if last.words.startswith(AWAY):
        return "away"
    otherwise = "nameless" if last.words.endswith(NAMELESS) else "ok"
    return next((step.name for step in found.steps if step.state == "failed"), otherwise)


def _begun(ask: Ask) -> datetime | None:
    """When the test of the query began; a time that is none, or long ago, is none."""
    try:
        at = datetime.fromisoformat(ask.query.get("test", "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if timedelta() <= ask.now - at <= timedelta(hours=1) else None
