"""The project registry, DynamoDB tables `projects` and `plans`: the Notifly project of each Amplitude project.

A link has a beginning and perhaps an end. All are kept: a record belongs to the Notifly project that the
Amplitude project was linked to when Amplitude uploaded it. Each change is one transaction over both tables, on
the condition that nothing has changed since it was read, so no link is lost and no plan is exceeded.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from stores import dynamodb
from stores.errors import StoreError
from stores.project import Link, Plan, Project, Terms, iso
from stores.project_items import (
    SET_TERMS,
    Versioned,
    of_rules,
    of_terms,
    plan_of,
    project_of,
    registration,
    reservation,
)
from stores.rules import Rules
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "projects"
PLANS_TABLE: Final = "plans"
CONTACT: Final = "contact@notifly.tech"


class Projects:
    """The registry's tables. Methods raise StoreError in one line that says what to do."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.projects = Table(address, TABLE, {"project_id": "N"}, client)
        self.client = self.projects.client
        self.plans = Table(address, PLANS_TABLE, {"notifly_project": "S"}, self.client)

    def create(self) -> None:
        """Create the tables unless they are there."""
        self.projects.create()
        self.plans.create()

    def add(self, project: Project) -> None:
        """Register a project. Refused when its id is registered, or its Notifly project's plan is used up."""
        self._write(project, version=0)

    def link(self, project_id: int, notifly_project: str, at: datetime) -> None:
        """Link a project again, from then on. Refused like `add`, while it is linked, and before its last end."""
        project, version = self._read(project_id)
        end, now = project.links[-1].unlinked_at, f"Amplitude project {project_id} is {_state(project)}"
        if end is None:
            msg = f"{now}: end that with projects unlink {project_id} first"
            raise StoreError(msg)
        if at < end:
            msg = f"{now}: link it from then on or later, not from {iso(at)}"
            raise StoreError(msg)
        self._write(project._replace(links=(*project.links, Link(notifly_project, at))), version)

    def extend(self, project_id: int, at: datetime) -> Project:
        """Let a project's first link begin at an earlier time; the project as it is then.

        Refused where that link was to another Notifly project than the last one.
        """
        project, version = self._read(project_id)
        extended = project.linked_from(at)
        if extended.links[0].notifly_project != project.notifly_project:
            first, last = extended.links[0].notifly_project, project.notifly_project
            msg = f"Amplitude project {project_id} was linked to {first} before {last}: no link is extended"
            raise StoreError(msg)
        change = registration(extended, version)
        with self.projects.explained():
            try:
                # the plan stays as it is: no link is added
                self.client.update_item(TableName=self.projects.name, **change)
            except self.client.exceptions.ConditionalCheckFailedException:
                raise _overtaken(project_id) from None
        return extended

    def unlink(self, project_id: int, at: datetime) -> None:
        """End a project's link; `at` is the first moment without. Refused unless it is linked, from then on."""
        project, version = self._read(project_id)
        (*earlier, last), now = project.links, f"Amplitude project {project_id} is {_state(project)}"
        if last.unlinked_at is not None:
            msg = f"{now}: there is no link to end"
            raise StoreError(msg)
        if at < last.linked_at:
            msg = f"{now}: unlink it from then on or later, not from {iso(at)}"
            raise StoreError(msg)
        self._write(project._replace(links=(*earlier, last._replace(unlinked_at=at))), version)

    def take_snapshots(self, project_id: int, hours: int | None) -> None:
        """Set how late an event may be for its user properties to change profiles; None: they never do."""
        _, version = self._read(project_id)
        if hours is None:
            self._change(project_id, version, "SET version = :next REMOVE snapshot_hours", {})
        else:
            change = "SET version = :next, snapshot_hours = :hours"
            self._change(project_id, version, change, {":hours": {"N": str(hours)}})

    def set_terms(self, project_id: int, terms: Terms, month: str) -> None:
        """Set the terms of this month `YYYY-MM` and all later ones; those of earlier months stay."""
        project, version = self._read(project_id)
        self._change(project_id, version, f"SET {SET_TERMS}", of_terms(project.with_terms(terms, month)))

    def set_rules(self, project_id: int, change: Callable[[Rules], Rules]) -> Rules:
        """Give a project the rules that `change` makes of those it has, and return them."""
        project, version = self._read(project_id)
        rules = change(project.rules or Rules())
        attributes = of_rules(rules)
        given = "".join(f", {name} = :{name}" for name in attributes)
        gone = ", ".join(name for name in Rules._fields if name not in attributes)
        expression = f"SET version = :next{given}" + (f" REMOVE {gone}" if gone else "")
        self._change(project_id, version, expression, {f":{name}": one for name, one in attributes.items()})
        return rules

    def _change(self, project_id: int, version: int, change: str, values: dict[str, Any]) -> None:
        """Change a project's item alone, unless another version than the one read is there by now."""
        with self.projects.explained():
            try:
                self.client.update_item(
                    TableName=self.projects.name,
                    Key={"project_id": {"N": str(project_id)}},
                    UpdateExpression=change,
                    ConditionExpression="version = :version",
                    ExpressionAttributeValues=values
                    | {":version": {"N": str(version)}, ":next": {"N": str(version + 1)}},
                )
            except self.client.exceptions.ConditionalCheckFailedException:
                raise _overtaken(project_id) from None

    def allow(self, notifly_project: str, max_projects: int) -> None:
        """Set how many Amplitude projects may be linked at a time: at least one, and as many as are linked now."""
        if max_projects < 1:
            msg = f"a plan of {max_projects} projects: allow at least 1, and projects unlink what is not wanted"
            raise StoreError(msg)
        failed = self.client.exceptions
        with self.plans.explained():
            try:
                self.client.update_item(
                    TableName=self.plans.name,
                    Key={"notifly_project": {"S": notifly_project}},
                    UpdateExpression="SET max_projects = :max",
                    ConditionExpression="attribute_not_exists(linked) OR size(linked) <= :max",
                    ExpressionAttributeValues={":max": {"N": str(max_projects)}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except failed.ConditionalCheckFailedException as error:
                response: Any = error.response
                plan = self._plan(notifly_project, response["Item"])
                msg = f"{_holding(plan)}: allow at least {len(plan.linked)}, or projects unlink one first"
                raise StoreError(msg) from None
            except failed.TransactionConflictException:
                raise _overtaken(notifly_project) from None

    def get(self, project_id: int) -> Project:
        """One registered project. Refused when there is none."""
        return self._read(project_id).project

    def list(self) -> "list[Project]":
        """All registered projects by id."""
        return sorted(self._project(item).project for item in self.projects.scan())

    def plan(self, notifly_project: str) -> Plan:
        """What a Notifly project may have linked, and has; one that nobody has allowed anything may have one."""
        return self._plan(notifly_project, self.plans.get(notifly_project=notifly_project) or {})

    def all_plans(self) -> dict[str, Plan]:
        """The plans of all Notifly projects that have, or may have, something linked."""
        items = {item["notifly_project"]["S"]: item for item in self.plans.scan()}
        return {name: self._plan(name, item) for name, item in items.items()}

    def _read(self, project_id: int) -> Versioned:
        """A project, and its version for `_write`."""
        found = self.projects.get(project_id=project_id)
        if found is None:
            msg = f"Amplitude project {project_id} is not registered: projects add registers it"
            raise StoreError(msg)
        return self._project(found)

    def _write(self, project: Project, version: int) -> None:
        """Write a project and its plan at once, unless another version than this one (0: none) is there by now."""
        changes: Any = [
            {"Update": {"TableName": self.projects.name, **registration(project, version)}},
            {"Update": {"TableName": self.plans.name, **reservation(project)}},
        ]
        with self.projects.explained(self.plans):
            try:
                self.client.transact_write_items(TransactItems=changes)
            except self.client.exceptions.TransactionCanceledException as error:
                raise self._refusal(project, version, *error.response["CancellationReasons"]) or error from None

    def _refusal(self, project: Project, version: int, on_registry: Any, on_plan: Any) -> StoreError | None:
        """Why a transaction was cancelled; None when it was not by a condition or another transaction."""
        failed, conflict = "ConditionalCheckFailed", "TransactionConflict"
        if on_registry["Code"] == failed and version == 0:
            there = self._project(on_registry["Item"]).project
            is_linked = there.status == "linked"
            remedy = "to begin earlier, projects extend-link" if is_linked else "link it again with projects link"
            return StoreError(
                f"Amplitude project {there.project_id} is registered already, {_state(there)}: "
                f"{remedy} {there.project_id}"
            )
        if on_plan["Code"] == failed and on_registry["Code"] != failed:
            found = self._plan(project.notifly_project, on_plan["Item"])
            return StoreError(
                f"{_holding(found)}, and its plan allows {found.max_projects}: more need a plan that allows them, "
                f"contact {CONTACT}, then: projects allow {found.notifly_project} {found.max_projects + 1}"
            )
        if {on_registry["Code"], on_plan["Code"]} & {failed, conflict}:
            return _overtaken(f"Amplitude project {project.project_id} or {project.notifly_project}")
        return None

    def _project(self, item: Mapping[str, Any]) -> Versioned:
        return project_of(self.projects.name, item)

    def _plan(self, notifly_project: str, plan: Mapping[str, Any]) -> Plan:
        return plan_of(self.plans.name, notifly_project, plan)


def _state(project: Project) -> str:
    last = project.links[-1]
    if last.unlinked_at is None:
        return f"linked to {last.notifly_project} since {iso(last.linked_at)}"
    return f"unlinked from {last.notifly_project} since {iso(last.unlinked_at)}"


def _holding(plan: Plan) -> str:
    noun = "project" if len(plan.linked) == 1 else "projects"
    return f"{plan.notifly_project} has Amplitude {noun} {', '.join(map(str, plan.linked))} linked"


def _overtaken(what: object) -> StoreError:
    return StoreError(
        f"{what} was changed by somebody else at the same moment: look at projects list and try again"
    )
