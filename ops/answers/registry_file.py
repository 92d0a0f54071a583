"""The registry as a file: what one says, what would change, and the file that says what is there.

The file is TOML, in the words of `projects show --json`. What it does not name stays as it is. Links are history:
a file ends the last one or adds new ones, and is refused where it tells another past than the registry.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from errors import OneLineError
from stores.project import DEFAULT_MONTHLY_LIMIT, DEFAULT_THRESHOLDS, Link, Plan, Project, Terms, iso
from stores.projects import Projects
from stores.rules import EventFilter, Rules, documented, rules_of

MAX_THRESHOLDS: Final = 20
_ACTIONS: Final = {"drop": "dropped", "hash": "hashed"}
_HEADING: Final = re.compile(r"^[ \t]*\[\[[ \t]*projects[ \t]*\]\]", re.MULTILINE)


class FileError(OneLineError):
    """A file of the registry is wrong; the message is one line that names the file, the line or field, and why."""


def name_of_project(text: str) -> str:
    """A Notifly project's name. Raises ValueError."""
    if not text or not text.isprintable() or text != text.strip():
        msg = (
            f"{text!r} is no name of a Notifly project: it is empty, or has blanks around it or control characters"
        )
        raise ValueError(msg)
    return text


def _past(at: datetime) -> datetime:
    """A time as the registry has it: naive, UTC."""
    try:
        moment = at.astimezone(UTC)
    except OverflowError:
        msg = "is before the year 1 in UTC"
        raise ValueError(msg) from None
    if moment > datetime.now(UTC):
        msg = "lies in the future: apply it when the time has come"
        raise ValueError(msg)
    return moment.replace(tzinfo=None)


_Name = Annotated[str, AfterValidator(name_of_project)]
_Past = Annotated[AwareDatetime, AfterValidator(_past)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _rules(**document: Any) -> Any:
    """A part of a project's rules, unless one of them may not be. Raises RuleError."""
    rules_of(document)
    (part,) = document.values()
    return part


class _Link(_Part):
    notifly_project: _Name
    linked_at: _Past
    unlinked_at: _Past | None = None


class _Project(_Part):
    project_id: Annotated[int, Field(ge=0, lt=2**63)]
    links: Annotated[list[_Link], Field(min_length=1)]
    monthly_limit: Annotated[int, Field(ge=1, le=10**15)] = DEFAULT_MONTHLY_LIMIT
    thresholds: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(max_length=MAX_THRESHOLDS)] = list(
        DEFAULT_THRESHOLDS
    )
    snapshot_hours: Annotated[int, Field(ge=1, le=24 * 366)] | None = None
    field_rules: Annotated[dict[str, Any], AfterValidator(lambda part: _rules(field_rules=part))] = {}
    event_filters: Annotated[list[Any], AfterValidator(lambda part: _rules(event_filters=part))] = []

    def project(self) -> Project:
        """The project as the registry has it."""
        links = tuple(Link(one.notifly_project, one.linked_at, one.unlinked_at) for one in self.links)
        terms = Terms(self.monthly_limit, tuple(sorted(set(self.thresholds))))
        rules = rules_of({"field_rules": self.field_rules, "event_filters": self.event_filters})
        return Project(self.project_id, links, terms, (), self.snapshot_hours, rules if any(rules) else None)


class _File(_Part):
    plans: dict[_Name, Annotated[int, Field(ge=1)]] = {}
    projects: list[_Project] = []


class Wanted(NamedTuple):
    """What a file says: projects by id, and how many each Notifly project may have linked."""

    source: str
    projects: Mapping[int, Project]
    plans: Mapping[str, int]


class Change(NamedTuple):
    """One change, in words, and what makes it."""

    words: str
    make: Callable[[Projects], object]


def parse(data: bytes, source: str) -> Wanted:
    """Read a file whole. Raises FileError."""
    try:
        text = data.decode()
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, lists without end
        msg = f"{source}: is no TOML: {error}"
        raise FileError(msg) from None
    try:
        found = _File.model_validate(tree)
    except ValidationError as error:
        raise FileError(_sentence(source, text, error.errors(include_url=False)[0])) from None
    for place, one in enumerate(found.projects):
        if fault := _fault(found.projects[:place], one):
            raise FileError(f"{_at(source, text, place)}: project {one.project_id}: {fault}")  # noqa: EM102
    return Wanted(source, {one.project_id: one.project() for one in found.projects}, found.plans)


def _fault(before: Sequence[_Project], one: _Project) -> str:
    if any(other.project_id == one.project_id for other in before):
        return "it is there twice"
    last: datetime | None = datetime.min  # noqa: DTZ901  naive UTC, as the registry has it
    for link in one.links:
        if last is None or link.linked_at < last:
            return f"links: the one from {iso(link.linked_at)} begins before the end of the one above it"
        if link.unlinked_at is not None and link.unlinked_at < link.linked_at:
            return f"links: the one from {iso(link.linked_at)} ends before it begins"
        last = link.unlinked_at
    return ""


def _at(source: str, text: str, place: int) -> str:
    """The file, and the line where the project at this place of the list begins."""
    headings = [found.start() for found in _HEADING.finditer(text)]
    return f"{source}, line {text.count(chr(10), 0, headings[place]) + 1}" if place < len(headings) else source


def _sentence(source: str, text: str, problem: Any) -> str:
    path = "".join(map(_key, problem["loc"])).lstrip(".")
    place = problem["loc"][1] if problem["loc"][0] == "projects" and len(problem["loc"]) > 1 else len(text)
    where = f"{_at(source, text, place)}: {path}"
    match problem["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is nothing that a file of the registry has: see projects export"
        case _:
            value = problem["input"]
            shown = value.isoformat() if isinstance(value, datetime) else repr(value)[:80]
            return f"{where} = {shown}: {problem['msg'].removeprefix('Value error, ')}"


def _key(part: int | str) -> str:
    """A part of a field's path; a key of strangers may steer no terminal."""
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if part.isidentifier() else f".{part!r}"


def differences(
    wanted: Wanted,
    registered: Sequence[Project],
    plans: Mapping[str, Plan],
    now: datetime,
    *,
    prune: bool = False,
) -> list[Change]:
    """What has to change until the registry is as the file says, in an order in which it can; `now` is naive UTC.

    With `prune`, projects that the file does not name lose their link, and plans that it does not name allow no
    more than what is linked. Raises FileError when the file contradicts the registry.
    """
    known = {one.project_id: one for one in registered}
    after = {**known, **wanted.projects}
    ends: list[Change] = []
    if prune:
        gone = [one for one in registered if one.project_id not in wanted.projects and one.status == "linked"]
        after |= {one.project_id: _ended(one, now) for one in gone}
        ends = [_unlink("-", one, now) for one in gone]
    linked = Counter(one.notifly_project for one in after.values() if one.status == "linked")
    left = {name: max(1, linked[name]) if prune else plan.max_projects for name, plan in plans.items()}
    allowed = left | dict(wanted.plans)
    _check_plans(wanted.source, linked, allowed)
    others: list[Change] = []
    for project_id, project in wanted.projects.items():
        first, *rest = _of_project(wanted.source, known.get(project_id), project, f"{now:%Y-%m}")
        ends += first
        others += [change for changes in rest for change in changes]
    raised, lowered = _of_plans(allowed, plans)
    return [*raised, *ends, *others, *lowered]


def _ended(project: Project, at: datetime) -> Project:
    *earlier, last = project.links
    return project._replace(links=(*earlier, last._replace(unlinked_at=at)))


def _check_plans(source: str, linked: Mapping[str, int], allowed: Mapping[str, int]) -> None:
    for name, count in sorted(linked.items()):
        if count > allowed.get(name, 1):
            msg = (
                f"{source}: {name} would have {count} projects linked, and its plan allows "
                f"{allowed.get(name, 1)}: under [plans] write {_text(name)} = {count}, or end a link"
            )
            raise FileError(msg)


def _of_plans(allowed: Mapping[str, int], plans: Mapping[str, Plan]) -> tuple[list[Change], list[Change]]:
    """The plans that allow more than before, which goes first, and those that allow less, which goes last."""
    changes: tuple[list[Change], list[Change]] = ([], [])
    for name, most in sorted(allowed.items()):
        before = plans[name].max_projects if name in plans else 1
        if most != before:
            words = f"~ plan {name}: {most} projects linked at a time (was {before})"
            changes[most < before].append(
                Change(words, partial(Projects.allow, notifly_project=name, max_projects=most))
            )
    return changes


def _of_project(source: str, known: Project | None, project: Project, month: str) -> Iterator[list[Change]]:
    """First the end of the link that is registered, which makes room, then what else is to change."""
    if known is None:
        yield []
        words = f"+ project {project.project_id}: {_linked(project.links[-1])}, {of_terms(project.terms)}"
        yield [Change(words, partial(Projects.add, project=project))]
    else:
        ended, later = _of_links(source, known, project)
        yield ended
        yield later
    terms = project.terms if known is None else known.terms
    if project.terms != terms:
        words = (
            f"~ project {project.project_id}: {of_terms(project.terms)} (was {of_terms(terms)}), from {month} on"
        )
        yield [
            Change(
                words, partial(Projects.set_terms, project_id=project.project_id, terms=project.terms, month=month)
            )
        ]
    if project.snapshot_hours != (known.snapshot_hours if known else None):
        words = f"~ project {project.project_id}: user properties on events {on_events(project.snapshot_hours)}"
        take = partial(Projects.take_snapshots, project_id=project.project_id, hours=project.snapshot_hours)
        yield [Change(words, take)]
    if project.rules != (known.rules if known else None):
        rules = project.rules or Rules()
        words = f"~ project {project.project_id}: {', '.join(map(' '.join, in_words(rules)))}"
        yield [Change(words, partial(Projects.set_rules, project_id=project.project_id, change=lambda _: rules))]


def _of_links(source: str, known: Project, project: Project) -> tuple[list[Change], list[Change]]:
    """The end of the last link that is registered, and those that come after it."""
    *past, last = known.links
    there, further = project.links[: len(known.links)], project.links[len(known.links) :]
    same = [*there[:-1]] == past and len(there) == len(known.links) and there[-1][:2] == last[:2]
    if not same or last.unlinked_at not in {None, there[-1].unlinked_at}:
        msg = (
            f"{source}: project {project.project_id}: links are another past than the registry's, which stays: "
            f"begin with those of projects show {project.project_id}, then end the last one or add others"
        )
        raise FileError(msg)
    ended = [] if there[-1] == last else [_unlink("~", known, there[-1].unlinked_at)]
    later: list[Change] = []
    for one in further:
        link = partial(
            Projects.link, project_id=project.project_id, notifly_project=one.notifly_project, at=one.linked_at
        )
        later.append(Change(f"~ project {project.project_id}: {_linked(one._replace(unlinked_at=None))}", link))
        if one.unlinked_at is not None:
            later.append(_unlink("~", project._replace(links=(one,)), one.unlinked_at))
    return ended, later


def _unlink(mark: str, project: Project, at: datetime | None) -> Change:
    if at is None:
        msg = "a link that has ended does not go on"
        raise ValueError(msg)
    words = f"{mark} project {project.project_id}: unlinked from {project.notifly_project} as of {iso(at)}"
    return Change(words, partial(Projects.unlink, project_id=project.project_id, at=at))


def _linked(link: Link) -> str:
    until = f" until {iso(link.unlinked_at)}" if link.unlinked_at else ""
    return f"linked to {link.notifly_project} from {iso(link.linked_at)} on{until}"


def of_terms(terms: Terms) -> str:
    """Terms in words."""
    percentages = ", ".join(map(str, terms.thresholds))
    alerts = f"alerts at {percentages} %" if percentages else "no alerts"
    return f"{terms.monthly_limit:,} events a month, {alerts}"


def on_events(hours: int | None) -> str:
    """What the user properties on events do, in words."""
    if hours is None:
        return "do not change profiles"
    return f"change profiles, unless uploaded more than {hours} h after the event"


def in_words(rules: Rules | None) -> list[tuple[str, str]]:
    """Rules as people read them, by name; the number of a filter is the one that `--remove` takes."""
    fields, filters = rules or Rules()
    told = "; ".join(f"{path} {_ACTIONS[action]}" for path, action in fields)
    numbered = (f"{number}: {_of_filter(one)}" for number, one in enumerate(filters, 1))
    return [("field rules", told or "none"), ("filters", "; ".join(numbered) or "none")]


def _of_filter(one: EventFilter) -> str:
    name = "any event" if one.event is None else repr(one.event)
    return " and ".join([name, *(f"{path}={text}" for path, text in one.where)])


def exported(registered: Sequence[Project], plans: Mapping[str, Plan]) -> str:
    """The file that says what is registered; terms of earlier months are not in it."""
    several = {name: plan.max_projects for name, plan in sorted(plans.items()) if plan.max_projects > 1}
    lines = ["[plans]", *(f"{_text(name)} = {most}" for name, most in several.items())] if several else []
    for one in registered:
        lines += [
            *([""] if lines else []),
            "[[projects]]",
            f"project_id = {one.project_id}",
            f"monthly_limit = {one.terms.monthly_limit}",
            f"thresholds = {list(one.terms.thresholds)}",
            *([f"snapshot_hours = {one.snapshot_hours}"] if one.snapshot_hours else []),
            *(f"{name} = {_inline(part)}" for name, part in documented(one.rules).items() if part),
            "links = [",
            *(f"  {{ {_entry(link)} }}," for link in one.links),
            "]",
        ]
    return "".join(f"{line}\n" for line in lines)


def _entry(link: Link) -> str:
    until = f", unlinked_at = {iso(link.unlinked_at)}" if link.unlinked_at else ""
    return f"notifly_project = {_text(link.notifly_project)}, linked_at = {iso(link.linked_at)}{until}"


def _inline(value: Any) -> str:
    """Tables, lists and texts in one line of TOML."""
    match value:
        case dict():
            return f"{{ {', '.join(f'{_text(name)} = {_inline(one)}' for name, one in value.items())} }}"
        case list():
            return f"[{', '.join(map(_inline, value))}]"
    return _text(value)


def _text(text: str) -> str:
    """A text as TOML has it: JSON's escapes are TOML's too, but for those of letters beyond 16 bits."""
    return json.dumps(text, ensure_ascii=False)
