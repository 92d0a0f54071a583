"""What the tables hold that came after a checkpoint, and how they are set back to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from stores.errors import StoreError
from stores.history import Commit, tag

Histories = Mapping[str, Sequence[Commit]]
"""By table its commits, newest first."""


class Step(NamedTuple):
    """A table that holds what came after a checkpoint, and the commit to set it back to; None: to no rows."""

    table: str
    current: Commit
    back_to: Commit | None

    @property
    def rows(self) -> int:
        """How many rows the table loses."""
        return self.current.rows - (self.back_to.rows if self.back_to else 0)


class Rewind(NamedTuple):
    """What to do, and when the checkpoint's own rows were committed, or the first rows of all."""

    steps: list[Step]
    at: datetime


def beyond(histories: Histories, job: str, checkpoint: int) -> set[Commit]:
    """The commits after a checkpoint of a job, which is known by its id or how that begins.

    They are what it has committed of later checkpoints, and all of jobs that began to commit after it. None when
    the job has no commit at all.
    """
    commits = sorted(commit for history in histories.values() for commit in history if commit.job)
    began: dict[str, datetime] = {}
    for commit in commits:
        began.setdefault(commit.job, commit.at)
    since = min((at for name, at in began.items() if name.startswith(job)), default=None)
    return {
        commit
        for commit in commits
        if since is not None
        and (commit.checkpoint > checkpoint if commit.job.startswith(job) else began[commit.job] > since)
    }


def planned(histories: Histories, job: str, checkpoint: int) -> Rewind:
    """How to set tables back to a checkpoint of a job, which is known by its id or how that begins.

    Raises StoreError when the job has no commit, or the one to go back to has expired.
    """
    commits = sorted(commit for history in histories.values() for commit in history if commit.job)
    if not any(commit.job.startswith(job) for commit in commits):
        msg = f"no table has a commit of job {job}: what came after its checkpoint {checkpoint} cannot be told"
        raise StoreError(msg)
    later, steps = beyond(histories, job, checkpoint), []
    for table, history in histories.items():
        # from the oldest on: a compaction in between holds them too
        count = max((i for i, commit in enumerate(history, 1) if commit in later), default=0)
        if not count:
            continue
        expired = (
            not history[-1].first if count == len(history) else not history[count].serves(tag(job, checkpoint))
        )
        if expired:
            msg = f"table {table} cannot be set back to checkpoint {checkpoint}: that snapshot has expired"
            raise StoreError(msg)
        steps.append(Step(table, history[0], history[count] if count < len(history) else None))

    def began(step: Step) -> datetime:
        own = (commit.at for commit in histories[step.table] if commit.job.startswith(job))
        return min(own, default=step.current.at)

    # the table with the job's first commit last: what was stopped halfway is planned alike when it is repeated
    steps.sort(key=began, reverse=True)
    return Rewind(steps, max((commit.at for commit in commits if commit not in later), default=commits[0].at))
