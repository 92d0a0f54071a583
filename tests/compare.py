"""What the tables hold against what the oracle says, value by value."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from stores.usage import Usage
from tests.oracle import Expected


def assert_as_expected(
    events: Sequence[dict[str, Any]], dead: Sequence[dict[str, Any]], usage: Sequence[Usage], expected: Expected
) -> None:
    """Rows of the event store and the dead letters, and the totals, are the oracle's: none missing, none extra."""
    identities = Counter((e["project_id"], e["identity"]) for e in events)
    assert [key for key, n in identities.items() if n > 1] == []
    assert Counter((e["project_id"], e["month"]) for e in events) == Counter(expected.usage)
    assert {(u.project_id, u.month): u.events for u in usage} == expected.usage
    assert sum(u.records for u in usage) == sum(expected.records.values())
    assert sorted((e["project_id"], e["name"]) for e in events) == sorted(
        (project_id, first.name) for (project_id, _), first in expected.events.items()
    )
    assert Counter(d["reason"] for d in dead if d["kind"] == "rejected") == expected.rejected
    assert Counter(d["project_id"] for d in dead if d["kind"] == "quarantined") == expected.quarantined
