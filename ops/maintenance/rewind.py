"""The tables as they were at an older checkpoint, so that it may be restored.

When the newest checkpoint cannot be read, the one before is the way on. But Iceberg skips what it has committed
already (jobs/restore.py): so what came after that checkpoint is taken out of the tables' history first, and the
restored job reads it from the stream again.
"""

from datetime import datetime
from itertools import takewhile
from typing import Final, NamedTuple

from settings import Settings
from stores import erased
from stores.checkpoints import checkpoint_id, job_of
from stores.errors import StoreError
from stores.history import history_of, set_back
from stores.lake import EXPORT_TABLES, TABLES, Condition, Lake
from stores.rewind import Histories, Step, beyond, planned
from stores.stream import Stream

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class WayBack(NamedTuple):
    """How the tables come back to a checkpoint of a job."""

    job: str
    checkpoint: int
    steps: list[Step]
    """none when the tables hold nothing that came after it"""
    at: datetime
    """when the checkpoint was committed"""


def way_back(lake: Lake, path: str) -> WayBack:
    """What to do. Raises StoreError when the checkpoint cannot be read, or the tables cannot come back to it."""
    job = job_of(path)
    if not job:
        msg = f"{path}: only a name that Flink gave names the job: JOB_ID/chk-N or savepoint-…"
        raise StoreError(msg)
    checkpoint = checkpoint_id(lake, path)
    histories = _histories(lake, job)
    if "/savepoint-" in path and any(one.job.startswith(job) for one in beyond(histories, job, checkpoint)):
        # rows of such a savepoint are committed with the next checkpoint, and their manifests deleted
        msg = f"{path}: its job ran on, and Iceberg has deleted what its restore would read; take a chk-N"
        raise StoreError(msg)
    steps, at = planned(histories, job, checkpoint)
    return WayBack(job, checkpoint, steps, at)


def _histories(lake: Lake, job: str) -> Histories:
    """The histories of the tables that a job writes to: the export job's if it has committed there."""
    export = {table: history_of(lake, table) for table in EXPORT_TABLES if lake.exists(table)}
    if any(one.job.startswith(job) for history in export.values() for one in history):
        return export
    return {table: history_of(lake, table) for table in TABLES}


def check_stream(settings: Settings, path: str, found: WayBack) -> None:
    """Raise StoreError when the stream of these tables no longer has all that arrived since the checkpoint."""
    of_export = any(one.table in EXPORT_TABLES for one in found.steps)
    stream = Stream(settings.export_stream_address if of_export else settings.stream_address)
    if (since := stream.retention(stream.now()).since) > found.at:
        name = stream.address.name
        msg = (
            f"{path} is of {found.at:{_TIME}}, and stream {name} has its records since {since:{_TIME}} only: "
            "not all that is taken out would come again"
        )
        raise StoreError(msg)


def undone(lake: Lake, found: WayBack) -> list[tuple[int, str]]:
    """Project and name of the erasures whose rows come back: they are to be repeated."""
    gone = {attempt for one in found.steps for attempt in _attempts(lake, one)}
    rows = list(erased.erased(lake, ("project_id", "erasure", "attempt")))
    back = {row["erasure"] for row in rows if row["attempt"] in gone}
    # a dead letter may name no project, but not all that an erasure took
    named = {(row["project_id"], row["erasure"]) for row in rows if row["erasure"] in back}
    return sorted(one for one in named if one[0] is not None)


def carry_out(lake: Lake, found: WayBack) -> None:
    """Set the tables back, one by one; what was stopped halfway is finished when it is repeated.

    What was erased since is there again, and no longer counted as erased.
    """
    for one in found.steps:
        erased.drop(lake, _attempts(lake, one))
        set_back(lake, one.table, one.current, one.back_to)


def _attempts(lake: Lake, step: Step) -> set[str]:
    """The attempts to erase whose commits a table loses; those that have expired are known by their time."""
    back_to = step.back_to and step.back_to.snapshot
    later = takewhile(lambda commit: commit.snapshot != back_to, history_of(lake, step.table))
    rows = erased.erased(lake, ("erasure", "attempt"), [Condition("table_name", "=", step.table)])
    after = {row["attempt"] for row in rows if not step.back_to or erased.began(row["erasure"]) > step.back_to.at}
    return after | {commit.attempt for commit in later if commit.attempt}
