"""What the tables hold against what the oracle says, value by value."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from stores.project import Project
from stores.usage import Usage
from tests.oracle import Expected

Rows: TypeAlias = Sequence[dict[str, Any]]
MIB = 2**20


def link_times(projects: Iterable[Project], cohorts: Mapping[str, int] | None = None) -> dict[int | str, Any]:
    """What the oracle wants to know of a registry."""
    times: dict[int | str, Any] = {
        one.project_id: [(link.linked_at, link.unlinked_at) for link in one.links] for one in projects
    }
    return times | dict(cohorts or {})


def assert_as_expected(
    events: Rows,
    dead: Rows,
    usage: Sequence[Usage],
    expected: Expected,
    *,
    user_updates: Rows | None = None,
    cohorts: Rows | None = None,
) -> None:
    """Rows of the lake's tables, and the totals, are the oracle's: none missing, none extra."""
    identities = Counter((e["project_id"], e["identity"]) for e in events)
    assert [key for key, n in identities.items() if n > 1] == []
    assert Counter((e["project_id"], e["month"]) for e in events) == Counter(expected.usage)
    assert {(u.project_id, u.month): u.events for u in usage} == expected.usage
    assert sum(u.records for u in usage) == sum(expected.records.values())
    assert sum(u.update_records for u in usage) == sum(expected.update_records.values())
    assert sum(u.updates for u in usage) == len(expected.updates)
    assert sorted((e["project_id"], e["name"]) for e in events) == sorted(
        (project_id, first.name) for (project_id, _), first in expected.events.items()
    )
    assert Counter((d["kind"], d["reason"]) for d in dead) == expected.dead_letters
    assert Counter(d["project_id"] for d in dead if d["reason"] == "unknown_project") == expected.quarantined
    for row in dead:
        assert_whole(row)
    if user_updates is not None:
        assert Counter((u["project_id"], u["user_id"] or "") for u in user_updates) == Counter(
            (update.project_id, update.user_id) for update in expected.updates.values()
        )
    if cohorts is not None:
        assert Counter(c["project_id"] for c in cohorts) == expected.cohorts


def assert_whole(dead: dict[str, Any]) -> None:
    """A dead letter has its bytes: cut at 1 MiB, and none when the project was not linked."""
    if dead["kind"] == "not_linked":
        assert dead["payload"] is None
    elif dead["payload_length"] > MIB:
        assert len(dead["payload"]) == MIB
        assert len(dead["payload_sha256"]) == sha256().digest_size * 2
    else:
        assert (len(dead["payload"]), dead["payload_sha256"]) == (dead["payload_length"], None)
