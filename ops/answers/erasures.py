"""What was erased of a project, as its receipts and the lake say."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from settings import Maintenance, Settings
from stores.erased import began, erased, holding
from stores.erasures import Erasure, Erasures, subject_of
from stores.history import Commit, history_of, kept
from stores.lake import TABLES, Lake


class Receipt(NamedTuple):
    """A receipt with what was found: rows by table and what became of them, `removed` or `cut`."""

    erasure: Erasure
    found: dict[str, dict[str, int]]
    held: dict[str, int]
    """by table: how many snapshots of before can still be read, and hold the rows"""
    kept_for: tuple[str, ...]
    """the tags that keep some of these, for checkpoints and savepoints"""
    snapshots_go: datetime | None
    """the first `maintain` after then lets the others expire, if the job commits; None where none is held"""
    strays_go: datetime | None
    """the same of files that a job has written and never committed; None until it is done"""


def receipts(settings: Settings, project_id: int, user_ids: Sequence[str] = ()) -> list[Receipt]:
    """All receipts of a project, the oldest first, or those of some users. Raises StoreError."""
    lake = Lake(settings.lake_address)
    subjects = {subject_of(project_id, user) for user in user_ids}
    chosen = [
        one
        for one in Erasures(settings.tables_address).of_project(project_id)
        if not subjects or one.subject in subjects
    ]
    columns = ("erasure", "subject", "table_name", "change", "records")
    counts: Counter[tuple[str, str, str, str]] = Counter()
    runs = {run: one.erasure for one in chosen for run in (one.erasure, *one.continues)}
    for row in erased(lake, columns) if chosen else ():
        if row["erasure"] in runs:
            counts[runs[row["erasure"]], row["subject"], row["table_name"], row["change"]] += row["records"]
    histories: dict[str, list[Commit]] = {}
    rules = settings.maintenance
    return [_receipt(lake, one, _found(one, counts), histories, rules) for one in chosen]


def _found(one: Erasure, counts: Counter[tuple[str, str, str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (erasure, subject, table, change), records in sorted(counts.items()):
        if (erasure, subject) == (one.erasure, one.subject):
            found.setdefault(table, {})[change] = records
    change = "cut" if one.subject.startswith("property ") else "removed"
    others = {"profiles": one.profiles, "cohort_members": one.members}
    return found | {table: {change: n} for table, n in others.items() if n}


def _receipt(
    lake: Lake,
    one: Erasure,
    found: dict[str, dict[str, int]],
    histories: dict[str, list[Commit]],
    rules: Maintenance,
) -> Receipt:
    done_at = datetime.fromisoformat(one.done_at) if one.done_at else None
    held: dict[str, list[Commit]] = {}
    tags: set[str] = set()
    for table in sorted(found.keys() & {*TABLES}):
        history = histories.setdefault(table, history_of(lake, table))
        held[table] = holding(history, began(one.erasure), {one.erasure, *one.continues}.__contains__)
        snapshots = {commit.snapshot for commit in held[table]}
        tags |= {name for name, snapshot in kept(lake, table).items() if snapshot in snapshots}
    newest = max((commit.at for commits in held.values() for commit in commits), default=None)
    return Receipt(
        one,
        found,
        {table: len(commits) for table, commits in held.items()},
        tuple(sorted(tags)),
        newest and newest + timedelta(hours=rules.snapshot_hours),
        done_at and done_at + timedelta(days=rules.orphan_days),
    )
