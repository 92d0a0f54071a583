"""What `python -m lab.bench.state` feeds, and how it judges what is stored."""

import json
from itertools import islice

import numpy as np
import pytest

from lab.bench import state
from lab.bench.events import DUPLICATES
from lab.bench.state import keys, typical, verdict
from tests.cases import each
from udfs import parse


def test_typical_events_say_which_of_them_are_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "PROJECTS", range(1, 3))  # each has templates, which take a while to make
    phase = typical(3, "some", 200)
    seen: dict[str, int] = {}
    for line in phase.lines:
        event = json.loads(line)
        seen.setdefault(event["uuid"], event["event_id"])
    assert sorted(seen.values()) == phase.due.tolist()
    assert len(phase.due) == 200 * (1 - DUPLICATES)


def test_each_number_is_a_key_of_its_own_and_a_plain_event() -> None:
    lines = list(islice(keys(range(10**6)), 200))
    assert len({json.loads(line)["uuid"] for line in lines}) == 200
    assert max(map(len, lines)) < 200
    assert all(parse.quick(line) for line in lines)


@each(
    ("found", "judged"),
    [
        ([0, 1, 3], 3),
        ([3, 1, 0], 3),
        ([0, 1], "WRONG: 1 missing, 0 too many"),
        ([0, 1, 3, 3], "WRONG: 0 missing, 1 too many"),
        ([0, 1, 2], "WRONG: 1 missing, 1 too many"),
    ],
)
def test_rows_are_those_that_are_due_each_once(found: list[int], judged: int | str) -> None:
    assert verdict(np.array(found), np.array([0, 1, 3])) == judged
