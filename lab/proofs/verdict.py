"""Whether all numbers are right: what the tables say against what was fed, and the residuals of the ledger."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lab.proofs.report import Report
from lab.sample import worst
from lab.sample.generator import Truth
from lab.stack.patience import Deadline
from ops.answers.ledger import Residual, unbalanced
from settings import Settings
from stores.profiles import Key, Profiles

SECONDS_TO_BALANCE = 45


def residuals(settings: Settings) -> list[Residual]:
    """In what ledger, tables and usage do not come to agree; rows of the ledger show with the next checkpoint."""
    deadline = Deadline(SECONDS_TO_BALANCE)
    while (left := unbalanced(settings)) and not deadline.over:
        time.sleep(1)
    return left


class Difference(NamedTuple):
    """A count in the tables that is not what was fed."""

    what: str
    key: object
    found: int
    fed: int

    def __str__(self) -> str:
        return f"{self.what}, {self.key}: found {self.found}, fed {self.fed}"


def differences(found: Report, truth: Truth) -> list[str]:
    """Where what the tables say is not what was fed, a line each."""
    return [str(one) for one in compared(found, truth)]


_OF_RECORDS = frozenset({"event records by project", "update records by project"})


def compared(found: Report, truth: Truth, copies: int = 0) -> list[Difference]:
    """Where what the tables say is not what was fed. So many records came once more, as copies."""
    records: Counter[int] = Counter()
    updates: Counter[int] = Counter()
    for total in found.usage:
        records[total.project_id] += total.records
        updates[total.project_id] += total.update_records
    usage = {(u.project_id, u.month): u.events for u in found.usage if u.events}
    counts: list[tuple[str, Mapping[Any, int], Mapping[Any, int]]] = [
        ("outcomes", {"all": found.records}, {"all": truth.outcomes + copies}),
        ("event records by project", records, {p: t.records for p, t in truth.projects.items()}),
        ("usage by project and month", usage, truth.usage),
        ("event store rows", found.stored, truth.usage),
        ("event store identities", found.distinct, truth.usage),
        ("dead letters", found.dead_letters, truth.dead_letters),
        ("quarantined by project", found.quarantined, truth.quarantined),
        ("update records by project", updates, truth.update_records),
        ("user updates by project", found.user_updates, truth.user_updates),
        ("profiles by project", found.profiles, truth.profiles),
        ("members by cohort", found.members, truth.members),
        ("cohort messages by project", found.cohort_messages, truth.cohort_messages),
        ("cohort changes by cohort", found.cohort_changes, truth.cohort_changes),
    ]
    return [
        Difference(name, key, got.get(key, 0), fed.get(key, 0))
        for name, got, fed in counts
        for key in sorted(got.keys() | fed.keys(), key=str)
        if not 0 <= got.get(key, 0) - fed.get(key, 0) <= (copies if name in _OF_RECORDS else 0)
    ]


def of_worst(settings: Settings, expected: Sequence[str]) -> list[Difference]:
    """Whether the user of `lab.sample.worst` has the expected list, element by element. Raises StoreError."""
    (profile,) = Profiles(settings.tables_address).of_users([Key(worst.PROJECT, worst.USER)]).values()
    found = json.loads(profile.properties).get(worst.PROPERTY, [])
    right = sum(one == other for one, other in zip(found, expected, strict=False))
    if right == len(found) == len(expected):
        return []
    return [Difference("elements of one user's list at their place", worst.USER, right, len(expected))]
