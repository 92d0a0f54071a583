"""Backfills, DynamoDB table `backfills`: of each project the one that runs, or ran last, and how far it is.

An item is held by one process at a time. All times by which that is judged are DynamoDB's, so no two machines'
clocks are compared.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from stores import aws, dynamodb
from stores.errors import MissingError, StoreError
from stores.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = "backfills"
VALID: Final = timedelta(seconds=30)
"""How long a backfill holds its project without a sign of life."""


class Run(NamedTuple):
    """One backfill of a project."""

    project_id: int
    holder: str
    """who runs it: user, machine and process; empty once that has ended"""
    source: str
    """what was given: the archives, or the hours"""
    listing: str
    """a digest of the files' names and marks: where it differs, other files are there"""
    started_at: str
    """ISO 8601, UTC, by the stream's clock: what arrived before was there before"""
    seen_at: str
    """ISO 8601, UTC: the last sign of life"""
    file: int = 0
    """how many files are done"""
    line: int = 0
    """how many lines of the next one are done"""
    put: int = 0
    """records put on the stream"""
    ended_at: str | None = None
    """ISO 8601, UTC: when all was put"""


def listing(files: Iterable[tuple[str, str]]) -> str:
    """A digest of (name, mark) of files, in their order."""
    return hashlib.sha256(repr(list(files)).encode()).hexdigest()[:32]


class Backfills:
    """The table of backfills. Methods raise StoreError in one line when it cannot be used."""

    def __init__(self, address: dynamodb.TablesAddress, client: "DynamoDBClient | None" = None) -> None:
        self.table = Table(address, TABLE, {"project_id": "N"}, client)

    def create(self) -> None:
        """Create the table unless it is there."""
        self.table.create()

    def _current(self, project_id: int) -> tuple[Run | None, datetime]:
        """A project's backfill, None where there never was one, and what DynamoDB takes for the present."""
        key = dynamodb.as_item({"project_id": project_id})
        with self.table.explained():
            found = self.table.client.get_item(TableName=self.table.name, Key=key, ConsistentRead=True)
        item = dynamodb.from_item(found.get("Item", {}))
        return Run(**item) if item else None, aws.date(found)

    def list(self) -> "list[Run]":
        """The last backfill of each project; none where there is no table yet."""
        try:
            return [Run(**dynamodb.from_item(item)) for item in self.table.scan()]
        except MissingError:
            return []

    def take(self, run: Run, before: Run | None) -> Run:
        """Hold the project for this run, unless its item has changed since `before` was read.

        Raises StoreError where it has.
        """
        if before is None:
            held = self._write(run, "attribute_not_exists(holder)")
        else:
            held = self._write(run, "holder = :was AND seen_at = :at", was=before.holder, at=before.seen_at)
        if held is None:
            raise _taken(run.project_id, before)
        return held

    def wait_for(self, project_id: int, sleep: Callable[[float], None] = time.sleep) -> Run | None:
        """A project's backfill once nobody holds it, at the latest when a dead one's time is over.

        Raises StoreError where another process shows that it lives.
        """
        first, now = self._current(project_id)
        run = first
        while run and run.holder and now - datetime.fromisoformat(run.seen_at) < VALID:
            sleep(1)
            run, now = self._current(project_id)
            if run and first and run.holder and (run.holder, run.seen_at) != (first.holder, first.seen_at):
                raise _taken(project_id, run)
        return run

    def renew(self, run: Run) -> Run:
        """Write how far a run is. Raises StoreError where another process holds the project by now."""
        held = self._write(run, "holder = :holder")
        if held is None:
            raise _taken(run.project_id, self._current(run.project_id)[0])
        return held

    def release(self, run: Run) -> None:
        """Give the project free, with how far the run is, if it still holds it."""
        self._write(run._replace(holder=""), "holder = :was", was=run.holder)

    def _write(self, run: Run, condition: str, **given: str) -> Run | None:
        _, now = self._current(run.project_id)
        dated = run._replace(seen_at=now.isoformat())
        return dated if self.table.put(dynamodb.as_item(dated._asdict()), condition, **given).written else None


def _taken(project_id: int, by: Run | None) -> StoreError:
    who = f" ({by.holder}, since {by.started_at[:16].replace('T', ' ')} UTC)" if by else ""
    msg = f"another backfill of project {project_id} is running{who}: wait for its end, then repeat the command"
    return StoreError(msg)
