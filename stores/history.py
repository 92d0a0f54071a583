"""The snapshots of the Iceberg tables: what each job has committed, and how a table is set back to one of them."""

from datetime import UTC, datetime
from typing import NamedTuple

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot

from stores.errors import StoreError
from stores.lake import Lake
from stores.rewrite import ATTEMPT


class Commit(NamedTuple):
    """A snapshot of a table: which Flink job has made it, up to which of its checkpoints; "" and 0 for none."""

    at: datetime
    job: str
    checkpoint: int
    snapshot: int
    rows: int
    """in the whole table"""
    first: bool
    """whether there was none before it; if not, that one may have expired"""
    attempt: str = ""
    """of an erasure to commit this (stores/rewrite.py)"""

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Commit":
        """A snapshot as its summary says."""
        said = snapshot.summary.additional_properties if snapshot.summary else {}
        rows = int(said.get("total-records", 0))
        return cls(
            datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
            said.get("flink.job-id", ""),
            int(said.get("flink.max-committed-checkpoint-id", 0)),
            snapshot.snapshot_id,
            rows,
            # expiry may take the parent's id away too, but not the rows that came from it
            snapshot.parent_snapshot_id is None and rows == int(said.get("added-records", 0)),
            said.get(ATTEMPT, ""),
        )


def history_of(lake: Lake, table: str) -> list[Commit]:
    """The current snapshot and those that it came from, newest first; one that was set back is in none.

    Iceberg's committer goes the same way when it asks what is committed already.
    """
    with lake.readable():
        metadata = lake.table(table).metadata
    by_id = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
    found, snapshot_id = [], metadata.current_snapshot_id
    while snapshot_id in by_id:
        found.append(Commit.of(by_id[snapshot_id]))
        snapshot_id = by_id[snapshot_id].parent_snapshot_id
    return found


def committed_at(lake: Lake, table: str) -> datetime | None:
    """When a Flink job has last committed to a table, by its own clock; now and then it does without rows."""
    return max((commit.at for commit in history_of(lake, table) if commit.job), default=None)


def set_back(lake: Lake, table: str, current: Commit, back_to: Commit | None) -> None:
    """Set a table back from its current commit to one before it; None: to when it had none.

    Raises StoreError when another one is current.
    """
    meanwhile = f"table {lake.address.namespace}.{table} was written to meanwhile: stop the job first"
    with lake.readable():
        found = lake.table(table)
        if found.metadata.current_snapshot_id != current.snapshot:
            raise StoreError(meanwhile)
        change = found.manage_snapshots()
        try:
            if back_to is None:
                change.remove_branch(MAIN_BRANCH).commit()
            else:
                change.rollback_to_snapshot(back_to.snapshot).commit()
        except CommitFailedException:
            raise StoreError(meanwhile) from None
