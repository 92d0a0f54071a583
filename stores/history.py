"""The snapshots of the Iceberg tables: what each job has committed, and how a table is set back to one of them.

A snapshot that a checkpoint needs is kept by a tag when those around it expire.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ManageSnapshots

from stores.errors import StoreError
from stores.lake import Lake
from stores.rewrite import ATTEMPT

_LOOKS: Final = 5
_SET_BACK: Final = "amplitude-bridge.set-back"
KEEP: Final = "keep-"
"""How the names of tags begin that keep what a checkpoint or savepoint needs."""


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
    kept: tuple[str, ...] = ()
    """the tags that keep it, when those between it and the current one have expired"""
    taken: int = 0
    """how many data files it has taken away, as compaction does"""

    def serves(self, tag: str) -> bool:
        """Whether no other commit can be the newest one before what the tag of that name is for."""
        return not self.kept or tag in self.kept

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
            taken=int(said.get("deleted-data-files", 0)),
        )


def history_of(lake: Lake, table: str) -> list[Commit]:
    """The current snapshot and those that it came from, newest first; one that was set back is in none.

    Iceberg's committer goes the same way when it asks what is committed already. Where snapshots have expired,
    those that tags keep follow.
    """
    with lake.readable():
        metadata = lake.table(table).metadata
    by_id = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
    found, snapshot_id = [], metadata.current_snapshot_id
    while snapshot_id in by_id:
        found.append(by_id.pop(snapshot_id))
        snapshot_id = found[-1].parent_snapshot_id
    history = [Commit.of(snapshot) for snapshot in found]
    tags: dict[int, list[str]] = {}
    for name, snapshot_id in _kept(metadata).items():
        tags.setdefault(snapshot_id, []).append(name)
    older = [
        Commit.of(by_id[one])._replace(kept=tuple(tags[one])) for one in tags.keys() & by_id.keys() if history
    ]
    return history + sorted(older, reverse=True)


def tag(job: str, checkpoint: int) -> str:
    """The name of the tag that keeps what a checkpoint of a job needs."""
    return f"{KEEP}{job[:6]}-{checkpoint}"


def _kept(metadata: TableMetadata) -> dict[str, int]:
    return {name: ref.snapshot_id for name, ref in metadata.refs.items() if name.startswith(KEEP)}


def kept(lake: Lake, table: str) -> dict[str, int]:
    """The tags that keep what checkpoints need, with their snapshots."""
    with lake.readable():
        return _kept(lake.table(table).metadata)


def keep(lake: Lake, table: str, wanted: Mapping[str, int], age: timedelta) -> None:
    """Let a table have these tags, and no other ones of `KEEP`; each ends when its snapshot is of that age.

    Raises StoreError when others write to the table again and again meanwhile.
    """
    for _ in range(_LOOKS):
        with lake.readable(), suppress(CommitFailedException):
            found = lake.table(table)
            there, change = _kept(found.metadata), found.manage_snapshots()
            if there == wanted:
                return
            for name, _ in there.items() - wanted.items():
                change.remove_tag(name)
            for name, snapshot in wanted.items() - there.items():
                change.create_tag(snapshot, name, round(age.total_seconds() * 1000))
            change.commit()
    if kept(lake, table) != wanted:
        msg = f"table {lake.address.namespace}.{table} was written to meanwhile, {_LOOKS} times: repeat it"
        raise StoreError(msg)


def committed_at(lake: Lake, table: str) -> datetime | None:
    """When a Flink job has last committed to a table, by its own clock; now and then it does without rows."""
    return max((commit.at for commit in history_of(lake, table) if commit.job), default=None)


def times_set_back(lake: Lake, table: str) -> int:
    """How often a table has been set back. Raises StoreError."""
    with lake.readable():
        return int(lake.table(table).properties.get(_SET_BACK, 0))


def set_back(lake: Lake, table: str, current: Commit, back_to: Commit | None) -> None:
    """Set a table back from its current commit to one before it; None: to when it had none.

    Tags on what is taken out go with it, and it is counted. Raises StoreError when another one is current.
    """
    meanwhile = f"table {lake.address.namespace}.{table} was written to meanwhile: stop the job first"
    with lake.readable():
        found = lake.table(table)
        if found.metadata.current_snapshot_id != current.snapshot:
            raise StoreError(meanwhile)
        times = {snapshot.snapshot_id: snapshot.timestamp_ms for snapshot in found.metadata.snapshots}
        last = times[back_to.snapshot] if back_to else 0
        gone = [name for name, snapshot in _kept(found.metadata).items() if times[snapshot] > last]
        try:
            with found.transaction() as both, ManageSnapshots(both) as change:
                for name in gone:
                    change.remove_tag(name)
                if back_to is None:
                    change.remove_branch(MAIN_BRANCH)
                else:
                    # by its id: a snapshot that a tag has kept is no ancestor any more
                    change.set_current_snapshot(back_to.snapshot)
                both.set_properties({_SET_BACK: str(int(found.properties.get(_SET_BACK, 0)) + 1)})
        except CommitFailedException:
            raise StoreError(meanwhile) from None
