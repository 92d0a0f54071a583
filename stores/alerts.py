"""Alerts, DynamoDB tables `alerts` and `notifications`: the thresholds that were reached, and messages about them.

A claim is one transaction: an item for each threshold of a project's month, on the condition that there is none,
and one notification about them all. So a threshold is claimed once, however many watches there are. A notification
stays until it is acknowledged; its id, the same at each attempt, is the receiver's idempotency key.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stores import dynamodb
from stores.table import Table
from stores.usage import Usage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from stores.project import Project

TABLE: Final = "alerts"
NOTIFICATIONS_TABLE: Final = "notifications"

_Key = tuple[int, str, int]


class Alert(NamedTuple):
    """A threshold, in percent of the limit, that a project's month has reached; times in ISO 8601, UTC."""

    project_id: int
    month: str
    threshold: int
    notification_id: str
    monthly_limit: int
    """at that time"""
    events: int
    """distinct events of the month when that was seen"""
    claimed_at: str
    notified_at: str | None = None
    """when the channel acknowledged it"""


class Notification(NamedTuple):
    """A message about thresholds that were claimed together; times in ISO 8601, UTC."""

    notification_id: str
    project_id: int
    notifly_project: str
    month: str
    thresholds: tuple[int, ...]
    monthly_limit: int
    events: int
    claimed_at: str
    attempts: int = 0
    retry_at: str = ""
    """not to be sent before"""
    last_error: str = ""


class Alerts:
    """The two tables. Methods raise StoreError in one line when they cannot be used."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.alerts = Table(address, TABLE, {"project_id": "N", "month_threshold": "S"}, client)
        self.client = self.alerts.client
        self.notifications = Table(address, NOTIFICATIONS_TABLE, {"notification_id": "S"}, self.client)
        self._claimed: set[_Key] | None = None

    def create(self) -> None:
        """Create the tables unless they are there."""
        self.alerts.create()
        self.notifications.create()

    def claim(self, project: "Project", total: Usage) -> Notification | None:
        """Claim the thresholds that a month's total has reached and nobody has claimed yet, all at once."""
        for _ in range(2):  # a second time only where somebody else has claimed meanwhile
            if self._claimed is None:
                self._claimed = {(alert.project_id, alert.month, alert.threshold) for alert in self.list()}
            terms = project.terms_of(total.month)
            keys = {threshold: (total.project_id, total.month, threshold) for threshold in terms.thresholds}
            reached = tuple(
                percent for percent in terms.reached(total.events) if keys[percent] not in self._claimed
            )
            if not reached:
                return None
            claim = Notification(
                f"{total.project_id}/{total.month}/{reached[-1]}",
                total.project_id,
                project.notifly_project,
                total.month,
                reached,
                terms.monthly_limit,
                total.events,
                dynamodb.now(),
            )
            if self._put(claim):
                self._claimed.update(keys[threshold] for threshold in reached)
                return claim
            self._claimed = None
        return None  # the next look claims what is left

    def _put(self, claim: Notification) -> bool:
        """Write a claim whole; False when somebody else has claimed one of its thresholds, or is about to."""
        alerts: list[Any] = [
            {
                "Put": {
                    "TableName": self.alerts.name,
                    "Item": _alert_item(claim, threshold),
                    "ConditionExpression": "attribute_not_exists(project_id)",
                }
            }
            for threshold in claim.thresholds
        ]
        notification: Any = {
            "Put": {"TableName": self.notifications.name, "Item": dynamodb.as_item(claim._asdict())}
        }
        with self.alerts.explained(self.notifications):
            try:
                self.client.transact_write_items(TransactItems=[*alerts, notification])
            except self.client.exceptions.TransactionCanceledException as error:
                codes = {reason["Code"] for reason in error.response["CancellationReasons"]}
                if not codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                    raise
                return False
        return True

    def pending(self) -> "list[Notification]":
        """The notifications that are not acknowledged yet, the oldest first."""
        found = (Notification(**dynamodb.from_item(item)) for item in self.notifications.scan())
        return sorted(found, key=lambda pending: (pending.claimed_at, pending.notification_id))

    def begin(self, notification: Notification, retry_at: datetime) -> Notification | None:
        """Take the next attempt; None when another sender has taken it, or it is acknowledged.

        Until `retry_at`, aware, nobody else tries: that is past the end of this attempt.
        """
        begun = notification._replace(attempts=notification.attempts + 1, retry_at=_iso(retry_at))
        return self._attempt(notification, begun)

    def failed(self, notification: Notification, error: str, retry_at: datetime) -> None:
        """Note why an attempt has failed, and when the next one is due."""
        self._attempt(notification, notification._replace(last_error=error, retry_at=_iso(retry_at)))

    def _attempt(self, known: Notification, changed: Notification) -> Notification | None:
        item = dynamodb.as_item(changed._asdict())
        outcome = self.notifications.put(item, "attempts = :known", known=known.attempts)
        return changed if outcome.written else None

    def acknowledge(self, notification: Notification) -> None:
        """Note that the channel has acknowledged a notification, and delete it: nothing is left to be sent."""
        told: list[Any] = [
            {
                "Update": {
                    "TableName": self.alerts.name,
                    "Key": _key(notification.project_id, notification.month, threshold),
                    "UpdateExpression": "SET notified_at = if_not_exists(notified_at, :now)",
                    "ExpressionAttributeValues": {":now": {"S": dynamodb.now()}},
                }
            }
            for threshold in notification.thresholds
        ]
        key = {"notification_id": {"S": notification.notification_id}}
        done: Any = {"Delete": {"TableName": self.notifications.name, "Key": key}}
        with self.alerts.explained(self.notifications):
            self.client.transact_write_items(TransactItems=[*told, done])

    def list(self) -> "list[Alert]":
        """All alerts by project, month and threshold."""
        return sorted(map(_alert, self.alerts.scan()))


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _key(project_id: int, month: str, threshold: int) -> Any:
    return {"project_id": {"N": str(project_id)}, "month_threshold": {"S": f"{month}/{threshold:04}"}}


def _alert_item(claim: Notification, threshold: int) -> dict[str, Any]:
    told = {name: value for name, value in claim._asdict().items() if name in Alert._fields}
    key: dict[str, Any] = _key(claim.project_id, claim.month, threshold)
    return dynamodb.as_item(told | {"threshold": threshold}) | key


def _alert(item: Any) -> Alert:
    values: Any = dynamodb.from_item(item)
    del values["month_threshold"]
    return Alert(**values)
