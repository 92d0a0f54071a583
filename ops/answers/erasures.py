"""What was erased of a project, as its receipts and the lake say."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from settings import Settings
from stores.erased import erased
from stores.erasures import Erasure, Erasures, subject_of
from stores.history import Commit, history_of
from stores.lake import Lake


class Receipt(NamedTuple):
    """A receipt with what was found: rows by table and what became of them, `removed` or `cut`."""

    erasure: Erasure
    found: dict[str, dict[str, int]]
    held: dict[str, int]
    """by table: how many snapshots of before can still be read, and hold the rows"""


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
    return [_receipt(lake, one, counts, histories) for one in chosen]


def _receipt(
    lake: Lake, one: Erasure, counts: Counter[tuple[str, str, str, str]], histories: dict[str, list[Commit]]
) -> Receipt:
    found: dict[str, dict[str, int]] = {}
    for (erasure, subject, table, change), records in sorted(counts.items()):
        if (erasure, subject) == (one.erasure, one.subject):
            found.setdefault(table, {})[change] = records
    change = "cut" if one.subject.startswith("property ") else "removed"
    others = {"profiles": one.profiles, "cohort_members": one.members}
    found |= {table: {change: n} for table, n in others.items() if n}
    held = {}
    for table in found.keys() - others.keys():
        history = histories.setdefault(table, history_of(lake, table))
        held[table] = sum(_holds(one, commit) for commit in history[1:])
    return Receipt(one, found, dict(sorted(held.items())))


def _holds(one: Erasure, commit: Commit) -> bool:
    return one.done_at is None or commit.at < datetime.fromisoformat(one.done_at)
