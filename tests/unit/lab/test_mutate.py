"""Mutations are functions of their seed, and each kind really changes something; so is the soak's traffic."""

from collections import Counter
from random import Random

from lab.proofs import soak
from lab.sample import envelopes
from lab.sample.mutate import MUTATORS, Mutator, mutate
from tests.builders import EVENT_A, EVENT_B, EVENT_C, encode, event
from tests.cases import each

PAYLOAD = encode(event())
DONORS = [encode(record) for record in (EVENT_A, EVENT_B, EVENT_C)]


def mutated(seed: int, count: int = 200) -> list[bytes]:
    rng = Random(seed)
    return [mutate(rng, PAYLOAD, DONORS) for _ in range(count)]


def test_a_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert mutated(1) == mutated(1)
    assert set(mutated(1)) != set(mutated(2))
    assert len(set(mutated(1))) > 180


@each("mutator", MUTATORS)
def test_each_mutator_changes_what_it_is_given(mutator: Mutator) -> None:
    rng = Random(3)
    changed = [mutator(rng, PAYLOAD, DONORS) for _ in range(50)]
    assert sum(payload != PAYLOAD for payload in changed) > 25


def test_what_the_connector_opens_are_records_of_their_own() -> None:
    expected = soak.Expected()
    expected.add(envelopes.aggregate([b"[]", b"[]", b""]))
    assert expected.outcomes == Counter({soak.Outcome("rejected", "empty", 0): 3})


def test_a_record_with_another_outcome_than_it_must_have_is_residual_twice() -> None:
    event, duplicate = soak.Outcome("event", soak.FIRST, 1), soak.Outcome("event", soak.AGAIN, 1)
    fed, come = Counter({event: 3}), Counter({event: 2, duplicate: 1})
    assert soak.residuals(fed, come) == Counter({event: 1, duplicate: 1})
    assert not soak.residuals(fed, fed)
