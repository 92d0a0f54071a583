"""Projects and plans as items of the registry's tables. Reading is strict: another form is never guessed at."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

from stores.errors import StoreError
from stores.project import DEFAULT_THRESHOLDS, EarlierTerms, Link, Plan, Project, Terms, iso
from stores.rules import EventFilter, Rules, checked

SET_TERMS: Final = (
    "monthly_limit = :monthly_limit, thresholds = :thresholds, earlier_terms = :earlier_terms, version = :next"
)
"""The part of an update that writes `of_terms` and the next version."""


class Versioned(NamedTuple):
    """A project, and the version of its item that a change of it is made from."""

    project: Project
    version: int


def project_of(table: str, item: Mapping[str, Any]) -> Versioned:
    """A project as its item has it. Raises StoreError, naming the item, when it is not as documented."""
    with _as_documented(table, item["project_id"]["N"]):
        links = tuple(_link(entry["M"]) for entry in item["links"]["L"])
        earlier = item["earlier_terms"]["L"] if "earlier_terms" in item else []
        hours = int(item["snapshot_hours"]["N"]) if "snapshot_hours" in item else None
        past = tuple(EarlierTerms(terms["M"]["until"]["S"], _terms(terms["M"])) for terms in earlier)
        project = Project(int(item["project_id"]["N"]), links, _terms(item), past, hours, _rules(item))
        _check_order(links)
        if (item["notifly_project"]["S"], item["status"]["S"]) != (project.notifly_project, project.status):
            msg = "notifly_project and status are not those of the last of links"
            raise ValueError(msg)
        return Versioned(project, int(item["version"]["N"]))


def plan_of(table: str, notifly_project: str, plan: Mapping[str, Any]) -> Plan:
    """A plan; an item that is not there is empty. Raises StoreError when it is not as documented."""
    with _as_documented(table, notifly_project):
        allowed = int(plan["max_projects"]["N"]) if "max_projects" in plan else 1
        has = plan["linked"]["NS"] if "linked" in plan else []
        return Plan(notifly_project, allowed, tuple(sorted(map(int, has))))


def of_terms(project: Project) -> dict[str, Any]:
    """The values that `SET_TERMS` names, but for the version."""
    earlier = [{"M": {"until": {"S": past.until}, **_attributes(past.terms)}} for past in project.earlier_terms]
    now = {f":{name}": value for name, value in _attributes(project.terms).items()}
    return {**now, ":earlier_terms": {"L": earlier}}


def _attributes(terms: Terms) -> dict[str, Any]:
    return {
        "monthly_limit": {"N": str(terms.monthly_limit)},
        "thresholds": {"L": [{"N": str(threshold)} for threshold in terms.thresholds]},
    }


def _terms(item: Mapping[str, Any]) -> Terms:
    limit = int(item["monthly_limit"]["N"])
    # absent from items of before there were alerts
    if "thresholds" not in item:
        return Terms(limit, DEFAULT_THRESHOLDS)
    return Terms(limit, tuple(int(threshold["N"]) for threshold in item["thresholds"]["L"]))


def of_rules(rules: Rules) -> dict[str, Any]:
    """Rules as the attributes of an item; none for what there is none of."""
    fields = {path: {"S": action} for path, action in rules.field_rules}
    filters = [{"M": _attributes_of_filter(one)} for one in rules.event_filters]
    return ({"field_rules": {"M": fields}} if fields else {}) | (
        {"event_filters": {"L": filters}} if filters else {}
    )


def _attributes_of_filter(one: EventFilter) -> dict[str, Any]:
    where = {path: {"S": text} for path, text in one.where}
    return ({} if one.event is None else {"event": {"S": one.event}}) | {"where": {"M": where}}


def _rules(item: Mapping[str, Any]) -> Rules | None:
    """The rules of an item; None where it has none. Raises RuleError for one that may not be applied."""
    fields = item["field_rules"]["M"] if "field_rules" in item else {}
    filters = item["event_filters"]["L"] if "event_filters" in item else []
    if not fields and not filters:
        return None
    return checked(
        ((path, action["S"]) for path, action in fields.items()), (_filter(one["M"]) for one in filters)
    )


def _filter(entry: Mapping[str, Any]) -> EventFilter:
    event = entry["event"]["S"] if "event" in entry else None
    return EventFilter(event, tuple((path, text["S"]) for path, text in entry["where"]["M"].items()))


def _check_order(links: Sequence[Link]) -> None:
    backwards = any(link.unlinked_at is not None and link.unlinked_at < link.linked_at for link in links)
    overlapping = any(
        link.unlinked_at is None or after.linked_at < link.unlinked_at for link, after in pairwise(links)
    )
    if backwards or overlapping:
        msg = "links end before they begin, or overlap"
        raise ValueError(msg)


def _link(entry: Mapping[str, Any]) -> Link:
    end = _moment(entry["unlinked_at"]["S"]) if "unlinked_at" in entry else None
    return Link(entry["notifly_project"]["S"], _moment(entry["linked_at"]["S"]), end)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta():
        msg = f"{text!r} is not UTC"
        raise ValueError(msg)
    return moment.replace(tzinfo=None)


@contextmanager
def _as_documented(table: str, key: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"DynamoDB table {table}: mend or delete item {key}, it is not as docs/data.md has it: {error!r}"
        raise StoreError(msg) from None


def registration(project: Project, version: int) -> dict[str, Any]:
    """The change of the registry: all attributes anew, on the condition that the version read is still there."""
    links = [
        {"notifly_project": {"S": link.notifly_project}, "linked_at": {"S": iso(link.linked_at)}}
        | ({"unlinked_at": {"S": iso(link.unlinked_at)}} if link.unlinked_at else {})
        for link in project.links
    ]
    values = {
        ":notifly_project": {"S": project.notifly_project},
        ":status": {"S": project.status},
        **of_terms(project),
        ":links": {"L": [{"M": link} for link in links]},
        ":next": {"N": str(version + 1)},
    }
    return {
        "Key": {"project_id": {"N": str(project.project_id)}},
        "UpdateExpression": "SET notifly_project = :notifly_project, #status = :status, links = :links, "
        + SET_TERMS,
        "ConditionExpression": "version = :version" if version else "attribute_not_exists(project_id)",
        "ExpressionAttributeNames": {"#status": "status"},  # a reserved word
        "ExpressionAttributeValues": values | ({":version": {"N": str(version)}} if version else {}),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def reservation(project: Project) -> dict[str, Any]:
    """The change of the plan: a place taken, on the condition that one is free, or given back."""
    change: dict[str, Any] = {
        "Key": {"notifly_project": {"S": project.notifly_project}},
        "UpdateExpression": "DELETE linked :project",
        "ExpressionAttributeValues": {":project": {"NS": [str(project.project_id)]}},
    }
    if project.status == "linked":
        change |= {
            "UpdateExpression": "ADD linked :project",
            # without max_projects the comparison is false: one is allowed, and linked is there when one is linked
            "ConditionExpression": "attribute_not_exists(linked) OR size(linked) < max_projects",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    return change
