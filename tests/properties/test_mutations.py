"""Records of every shape, made worse in every way: each one has its outcome, and never one of another tenant.

An example is a record and a seed, out of which some dozens of mutants are derived: Hypothesis itself would take
longer to draw one than all of them take to be judged.
"""

import json
import re
from collections import Counter
from datetime import datetime
from itertools import islice
from random import Random
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.proofs import soak
from lab.sample.mutate import MUTATORS, Mutator
from stores.project import Link, Project, linked
from tests import oracle
from tests.builders import ARRIVAL, OTHER_PROJECT, PROJECT
from tests.cases import each
from tests.compare import link_times
from tests.leaves import Leaf, leaves
from tests.oracle_envelope import UnclearError
from tests.properties.strategies import mutant, records
from tests.unit.lab.test_mutate import DONORS
from udfs.attribute import Registry
from udfs.functions import as_series
from udfs.model import DECODED, Kind, Reason

# 25 000 mutants by default, 250 000 with HYPOTHESIS_PROFILE=nightly
MUTANTS = 50
EXAMPLES = max(500, settings.default.max_examples // 4)

LATE = datetime.fromisoformat("2026-03-15 09:30:29")
PROJECTS = [
    linked(PROJECT, "acme"),
    Project(OTHER_PROJECT, (Link("globex", datetime.fromisoformat("2024-01-01"), LATE),)),
]
COHORTS = {"gs72ns": PROJECT}
REGISTRY: Registry = {project.project_id: project for project in PROJECTS} | {"gs72ns": PROJECTS[0]}
NAIVE_ARRIVAL = ARRIVAL.replace(tzinfo=None)
NAME, MONTH, RUNG, PROJECT_ID, USER_ID = (
    list(DECODED).index(n) for n in ("name", "month", "identity_rung", "project_id", "user_id")
)


def strict_app(payload: bytes) -> int:
    """The project that the bytes themselves name: the one `app` of the one object."""
    outermost: list[tuple[str, Any]] = []

    def remember(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = pairs

    json.loads(payload.decode("utf-8-sig"), object_pairs_hook=remember, parse_int=lambda digits: f"{digits}")
    (app,) = [value for name, value in outermost if name == "app"]
    assert re.fullmatch("[0-9]{1,19}", app)
    return int(app)


def passed_over(leaf: Leaf) -> bool:
    """Whether an event is taken though its bytes are no UTF-8: they may be in an object that stands twice.

    The quick way passes over all but the last of a name, and nothing of them is stored: see udfs/test_poison.py.
    """
    payload = bytes(leaf.payload)
    if leaf.kind != Kind.EVENT or payload.decode(errors="ignore").encode() == payload:
        return False
    objects = re.findall(rb'"(event_properties|user_properties|groups|group_properties|data)"', payload)
    assert len(objects) > len(set(objects)), payload
    return True


Verdicts: TypeAlias = Counter[tuple[Any, ...]]


def verdict(leaf: Leaf) -> tuple[Any, ...]:
    row = leaf.row
    told = {
        Kind.EVENT: (row[NAME], row[MONTH], row[RUNG]),
        Kind.USER_UPDATE: (row[RUNG], row[USER_ID] or ""),
    }
    return leaf.kind, leaf.reason, row[PROJECT_ID], *told.get(Kind(leaf.kind), ())


def expected(payload: bytes) -> Verdicts:
    """The same from the oracle."""
    found: Verdicts = Counter()
    for outcome in oracle.outcomes(payload, ARRIVAL, link_times(PROJECTS, COHORTS)):
        match outcome:
            case oracle.Event(project_id, identity, name, month):
                found["event", None, project_id, name, month, identity[0]] += 1
            case oracle.UserUpdate(project_id, identity, user_id):
                found["user_update", None, project_id, identity[0], user_id] += 1
            case oracle.Cohort(project_id):
                found["cohort", None, project_id] += 1
            case oracle.DeadLetter(reason, project_id):
                found[outcome.kind, reason, project_id] += 1
    return found


def test_whatever_is_done_to_a_record_it_has_its_outcome_and_its_own_project() -> None:
    tally: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES)
    @given(records, st.integers(0, 2**32))
    def mutants_of(record: bytes, seed: int) -> None:
        rng = Random(seed)
        rows = []
        for payload in (mutant(rng, record) for _ in range(MUTANTS)):
            found = leaves(payload, NAIVE_ARRIVAL, REGISTRY)
            tally["mutants"] += 1
            tally["outcomes"] += max(1, len(found))
            assert found
            assert all(leaf.kind != Kind.ENVELOPE and leaf.reason != Reason.INTERNAL_ERROR for leaf in found)
            if any(map(passed_over, found)):
                tally["unclear"] += 1
                rows += [leaf.row for leaf in found]
                continue
            for leaf in found:
                if leaf.kind in (Kind.EVENT, Kind.USER_UPDATE):
                    assert strict_app(leaf.payload) == leaf.row[PROJECT_ID]
            try:
                assert Counter(map(verdict, found)) == expected(payload), payload
            except UnclearError:
                tally["unclear"] += 1
            rows += [leaf.row for leaf in found]
        assert {len(row) for row in rows} == {len(DECODED)}
        as_series(rows)
        outcomes.update(row[0] for row in rows)

    mutants_of()
    print(dict(tally), dict(outcomes))
    assert tally["mutants"] >= 20_000
    assert outcomes.total() == tally["outcomes"] >= tally["mutants"]
    assert set(outcomes) == set(Kind) - {Kind.ENVELOPE, Kind.FILTERED}  # no project here has filters
    assert tally["unclear"] < tally["mutants"] // 20
    assert outcomes[Kind.EVENT] > tally["mutants"] // 10


@each("mutator", MUTATORS)
@each("payload", [b"", b"\xff\xfe", b"[" * 100_000, b'"\\ud83d"'])
def test_any_bytes_can_be_mutated_with_or_without_donors(mutator: Mutator, payload: bytes) -> None:
    for seed in range(20):
        for donors in ([], [b""], DONORS):
            assert isinstance(mutator(Random(seed), payload, donors), bytes)


def test_the_soak_feeds_the_same_for_a_seed_and_accounts_for_each_record() -> None:
    first, second = (list(islice(soak.traffic(1), 300)) for _ in range(2))
    assert first == second
    assert first[:20] != list(islice(soak.traffic(2), 20))
    expected = soak.Expected()
    for put in first:
        expected.add(put.data)
    assert expected.outcomes.total() >= 300
    assert not [outcome for outcome in expected.outcomes if outcome.reason == "internal_error"]
