"""Two different sets of fields never share an identity, whatever their text; one set always has the same."""

import json
import random
from datetime import datetime
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import MISSING, encode, event
from udfs import events, identity, parse
from udfs.identity import Identity

Fields: TypeAlias = tuple[Any, ...]

# Short texts out of what an identity itself is written with: separators, lengths and rungs.
treacherous = st.text(alphabet="|:0123é😀", max_size=6) | st.text(max_size=4)
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-12, 12)
times = st.datetimes()
ladder = st.one_of(
    st.tuples(st.just(1), treacherous, treacherous),
    st.tuples(st.just(2), treacherous, treacherous, treacherous),
    st.tuples(st.just(3), treacherous, numbers, times, treacherous),
)
leaves = st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2)
branches = st.lists(leaves, max_size=2) | st.dictionaries(st.text("abc", max_size=1), leaves, max_size=3)
json_values = leaves | branches | st.dictionaries(st.text("ab", max_size=1), branches, max_size=2)
contents = st.dictionaries(st.sampled_from(("city", "data", "price", "")), json_values, max_size=3)

RULES = {1: identity.by_uuid, 2: identity.by_insert_id, 3: identity.by_event_id}


def named(fields: Fields) -> Identity:
    rung, *rest = fields
    return RULES[rung](*rest)


def identity_of(payload: bytes) -> Identity:
    parsed = parse.quick(payload)
    if parsed is None:
        record = parse.record(payload)
        assert isinstance(record, parse.Record)
        parsed = parse.careful(record.fields, record.repairs)
        assert not isinstance(parsed, parse.Rejection)
    return events.identify(parsed[0], payload)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same JSON with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = chance.sample(list(value), len(value))
        return {key: shuffled(value[key], chance) for key in keys}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


@given(ladder, ladder)
def test_different_fields_have_different_identities(one: Fields, other: Fields) -> None:
    first, second = named(one), named(other)
    assert (first.text == second.text) == (first.hash == second.hash) == (one == other)


@given(st.lists(treacherous, min_size=3, max_size=3), st.integers(0, 20))
def test_moving_the_border_between_two_fields_is_another_event(fields: list[str], border: int) -> None:
    together = fields[0] + fields[1]
    at = border % (len(together) + 1)
    moved = (together[:at], together[at:], fields[2])
    assert (identity.by_insert_id(*moved) == identity.by_insert_id(*fields)) == (moved == tuple(fields))


@given(ladder)
def test_an_identity_can_be_read_back(fields: Fields) -> None:
    rung, rest = named(fields).text.split("|", 1)
    found = []
    while rest:
        length, rest = rest.split(":", 1)
        found.append(rest[: int(length)])
        rest = rest[int(length) + 1 :]
    spelt = [field.isoformat() if isinstance(field, datetime) else str(field) for field in fields[1:]]
    assert (int(rung), found) == (fields[0], spelt)


@given(contents, contents)
def test_different_contents_are_different_events(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (identity.by_content(one) == identity.by_content(other)) == same


@given(contents, st.integers(0, 1000), st.text(max_size=3))
def test_order_and_spelling_of_a_record_do_not_matter_at_rung_4(
    content: dict[str, Any], seed: int, processed_time: str
) -> None:
    record = event(uuid=MISSING, device_id=None) | content
    again = shuffled(record | {"processed_time": processed_time}, random.Random(seed))
    spelt = json.dumps(again, ensure_ascii=True, indent=seed % 3 or None).encode()
    found = identity_of(encode(record))
    assert found.rung == 4
    assert identity_of(spelt) == found
