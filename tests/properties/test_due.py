"""Shares are fair and whole, whatever waits; what is chosen was waiting, once, and is allowed."""

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ops.maintenance.due import Memory, chosen, keys, shares
from tests.unit.ops.test_due import NOW, waits
from udfs.export.answers import STOPPED, State

COUNTS = st.dictionaries(st.integers(0, 50), st.integers(0, 200), max_size=12)


@given(COUNTS, st.integers(0, 500))
def test_shares_are_whole_and_fair(counts: dict[int, int], most: int) -> None:
    found = shares(counts, most)
    assert sum(found.values()) == min(most, sum(counts.values()))
    assert all(0 <= found[one] <= count for one, count in counts.items())
    cut = [found[one] for one, count in counts.items() if found[one] < count]
    assert all(most - 1 <= min(cut) for most in found.values() if cut)  # by one, where it does not divide


ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.text("abc", max_size=3), st.integers(0, 3), st.integers(-5, 5)),
    unique_by=lambda row: row[:2],
    max_size=40,
)
STATES = st.dictionaries(st.integers(1, 4), st.sampled_from(list(State)))


@given(ROWS, STATES, st.integers(0, 30))
def test_what_is_chosen_waits_and_may_go(
    rows: list[tuple[int, str, int, int]], states: dict[int, str], most: int
) -> None:
    table, memory = waits(*rows), Memory()
    found = chosen(table, states, memory, NOW, most)
    assert len(found) == len(set(found)) <= most
    assert set(found) <= set(keys(table))
    due = {row[:3]: row[3] <= 0 for row in rows}
    assert all(states[key.project_id] != "paused" for key in found)
    assert all(due[key] or states[key.project_id] in STOPPED for key in found)
    of_wrong_keys = Counter(key.project_id for key in found if states[key.project_id] in STOPPED)
    assert set(of_wrong_keys.values()) <= {1}
    allowed = sum(due[key] for key in keys(table) if states.get(key.project_id) in {"ok", "throttled"})
    assert len(found) >= min(most, allowed)
    memory.note(found, NOW)
    assert not set(found) & set(chosen(table, states, memory, NOW + timedelta(seconds=1), most))
