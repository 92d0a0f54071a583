"""A profile is the fold of its distinct updates in clock order, whatever their order, copies and crashes."""

import json
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs import lists, profile
from udfs import property as property_
from udfs.profile import Clock, Profile, Update

NAMES = ("a", "b", "")
numbers = st.sampled_from((1, -1, 7, 2**70)) | st.sampled_from((0.1, -2.5))
scalars = numbers | st.sampled_from((None, True, "", "x", "é"))
values = scalars | st.lists(scalars, max_size=3) | st.just({"x": [1], "b": {}})
OPERATORS = ("$set", "$setOnce", "$add", "$append", "$prepend", "$preInsert", "$postInsert", "$remove", "$unset")
clocks = st.builds(Clock, st.integers(0, 3), st.integers(-1, 1), st.just(-1), st.integers(0, 2), st.just(-1))


def keyed(names: tuple[str, ...], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), operands, min_size=1, max_size=2)


def updates(properties: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[Update]]:
    """Distinct updates, some with equal clocks."""
    drawn = st.lists(st.tuples(clocks, properties), min_size=1, max_size=10)
    return drawn.map(
        lambda many: [
            Update(clock, Random(number).randbytes(16), "", json.dumps(asked))
            for number, (clock, asked) in enumerate(many)
        ]
    )


operators = st.lists(
    st.tuples(st.sampled_from(OPERATORS), keyed(NAMES, values))
    | st.tuples(st.sampled_from((*NAMES, "$schema")), values)
    | st.tuples(st.sampled_from(OPERATORS), scalars)
    | st.just(("$clearAll", "-")),
    min_size=1,
    max_size=3,
).map(dict)
absolute = st.dictionaries(st.sampled_from(("$set", "$unset")), keyed(NAMES, values), max_size=2)
last_writer_wins = st.builds(
    lambda some, more: some | more, absolute, st.sampled_from(({}, {}, {"$clearAll": ""}))
)
sums = st.fixed_dictionaries({"$add": keyed(NAMES, numbers)})


removals = st.tuples(st.sampled_from(("$remove", "$remove", "$append", "$set")), keyed(("a",), values)).map(
    lambda one: dict([one])
)


def spelled(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def present(found: dict[str, Any], name: str) -> list[Any]:
    return listed(found[name]) if name in found else []


def lacking(found: dict[str, Any], name: str, operand: Any) -> list[Any]:
    new: list[Any] = []
    for one in listed(operand):
        if spelled(one) not in map(spelled, present(found, name) + new):
            new.append(one)
    return new


def add(found: dict[str, Any], name: str, operand: Any) -> None:
    if {type(operand), type(found.get(name, 0))} <= {int, Decimal}:
        found[name] = found.get(name, 0) + operand


def remove(found: dict[str, Any], name: str, operand: Any) -> None:
    if isinstance(found.get(name), list):
        gone = list(map(spelled, listed(operand)))
        found[name] = [one for one in found[name] if spelled(one) not in gone]


STEPS: dict[str, Callable[[dict[str, Any], str, Any], Any]] = {
    "$unset": lambda found, name, _: found.pop(name, None),
    "": dict.__setitem__,  # plain properties
    "$set": dict.__setitem__,
    "$setOnce": dict.setdefault,
    "$add": add,
    "$append": lambda found, name, it: found.update({name: present(found, name) + listed(it)}),
    "$prepend": lambda found, name, it: found.update({name: listed(it) + present(found, name)}),
    "$preInsert": lambda found, name, it: found.update({name: lacking(found, name, it) + present(found, name)}),
    "$postInsert": lambda found, name, it: found.update({name: present(found, name) + lacking(found, name, it)}),
    "$remove": remove,
}


def folded(updates: list[Update]) -> dict[str, Any]:
    """The oracle: one update after the other in clock order."""
    found: dict[str, Any] = {}
    for update in sorted(updates, key=lambda one: (one.clock, one.identity)):
        asked = json.loads(update.properties, parse_float=Decimal)
        if "$clearAll" in asked:
            found.clear()
        plain = {name: value for name, value in asked.items() if name not in {*OPERATORS, "$clearAll"}}
        for operator, step in STEPS.items():
            operands = asked.get(operator) if operator else plain
            for name, operand in operands.items() if isinstance(operands, dict) else ():
                step(found, name, operand)
    return found


def applied(updates: list[Update], to: Profile) -> Profile:
    for update in updates:
        to.apply(update)
    return to


def after_a_crash(updates: list[Update], chance: Random) -> Profile:
    """Updates in any order with copies; once all but a dump is lost, and some that it holds come again."""
    arriving = updates + chance.choices(updates, k=3)
    chance.shuffle(arriving)
    crash = chance.randint(0, len(arriving))
    known = Profile.load(*applied(arriving[:crash], Profile()).dump())
    replayed = arriving[chance.randint(0, crash) :]
    chance.shuffle(replayed)
    return applied(replayed, known)


def properties(known: Profile) -> Any:
    return json.loads(known.dump()[0], parse_float=Decimal)


seeds = st.integers(0, 2**32)


@given(updates(operators), seeds)
def test_order_copies_and_crashes_do_not_matter(updates: list[Update], seed: int) -> None:
    known = after_a_crash(updates, Random(seed))
    assert spelled(properties(known)) == spelled(folded(updates))
    straight = applied(updates, Profile())
    assert known.dump() == straight.dump()
    assert known.explained() == straight.explained()


@given(updates(operators) | updates(removals), seeds)
def test_it_does_not_matter_when_values_are_made(updates: list[Update], seed: int) -> None:
    chance, known, straight = Random(seed), Profile(), applied(updates, Profile())
    for update in chance.sample(updates, len(updates)):
        known.apply(update)
        if chance.random() < 0.5:
            known.take_refused()  # settles
    assert known.dump() == straight.dump()
    assert spelled(properties(known)) == spelled(folded(updates))


@given(st.lists(values, max_size=4), st.sampled_from((None, 0, 2)), st.booleans())
def test_a_list_is_compared_as_each_of_its_elements(many: list[Any], indent: int | None, ascii_only: bool) -> None:
    text = msgspec.Raw(json.dumps(many, indent=indent, ensure_ascii=ascii_only).encode())
    alone = [msgspec.Raw(json.dumps(one).encode()) for one in many]
    assert list(lists.compared(text)) == [lists.canonical(one) for one in alone]


@given(st.recursive(scalars, lambda some: st.lists(some) | st.dictionaries(st.text(), some), max_leaves=8))
def test_the_two_ways_of_comparing_agree(value: Any) -> None:
    text = json.dumps(value, separators=(" ,", " : ")).encode()
    assert lists._canonical(text) == lists._canonical_by_parts(text.strip())


few = st.sampled_from((1, "a", [1], {"x": 1}, [], ["a", "a", "b"], [1, {"x": 1}, 1]))
listings = st.tuples(st.sampled_from(OPERATORS[3:8] * 2 + OPERATORS), keyed(("a",), few)).map(
    lambda one: dict([one])
)


def in_any_order(asked: list[Any], chance: Random) -> list[Update]:
    clocks = [Clock(chance.randint(0, 30), -1, -1, number, -1) for number in range(len(asked))]
    return [
        Update(clock, chance.randbytes(16), "", json.dumps(one)) for clock, one in zip(clocks, asked, strict=True)
    ]


@given(st.lists(listings, min_size=5, max_size=40), seeds, st.integers(0, 5), st.integers(0, 3))
def test_a_list_is_folded_alike_whether_it_is_held_or_read_anew(
    asked: list[Any], seed: int, most: int, folded_most: int
) -> None:
    chance, held, anew = Random(seed), Profile(), Profile()
    with pytest.MonkeyPatch.context() as bounds:
        bounds.setattr(profile, "MAX_OPEN", most)
        bounds.setattr(property_, "_MOST_FOLDED", folded_most)
        for update in in_any_order(asked, chance):
            assert held.apply(update) == anew.apply(update)
            if chance.random() < 0.5:
                assert held.dump() == anew.dump()
                anew = Profile.load(*anew.dump())
        assert held.dump() == anew.dump()


@given(st.lists(listings, min_size=5, max_size=40), seeds)
def test_a_list_is_the_same_whenever_it_is_settled_stored_or_forgotten(asked: list[Any], seed: int) -> None:
    chance, known = Random(seed), Profile()
    arriving = in_any_order(asked, chance)
    for update in arriving:
        known.apply(update)
        match chance.randint(0, 9):
            case 0:
                known = Profile.load(*known.dump())
            case 1:
                known.dump()
                known.forget()
            case 2 | 3 | 4 | 5:
                known.dump()
    assert spelled(properties(known)) == spelled(folded(arriving))
    assert known.dump() == applied(arriving, Profile()).dump()


def mixture(chance: Random) -> list[Update]:
    """Updates of a few kinds of operators, some of them often."""
    kinds, asked = (*OPERATORS, "$clearAll"), list[dict[str, Any]]()
    weights = [chance.random() ** 3 for _ in OPERATORS] + [chance.random() / 5]
    operands = (1, "a", [1], {"x": 1}, [], ["a", "a", "b"], [1, {"x": 1}, 1], ["a", 1], [2, 3, "a"], -2.5, "-0")
    for _ in range(chance.randint(5, 45)):
        one: dict[str, Any] = {}
        for operator in chance.choices(kinds, weights, k=chance.randint(1, 3)):
            one.setdefault(operator, {})[chance.choice("aab")] = chance.choice(operands)
        asked.append(one)
    return in_any_order(asked, chance)


@given(seeds, st.sampled_from((0, 1, 5, 512)), st.sampled_from((0, 2, 512)))
def test_a_profile_that_is_kept_is_as_one_that_is_read_anew(seed: int, most: int, folded_most: int) -> None:
    chance, kept, anew = Random(seed), Profile(), Profile()
    arriving = mixture(chance)
    with pytest.MonkeyPatch.context() as bounds:
        bounds.setattr(profile, "MAX_OPEN", most)
        bounds.setattr(property_, "_MOST_FOLDED", folded_most)
        for update in arriving:
            assert kept.apply(update) == anew.apply(update)
            if chance.random() < 0.6:
                assert kept.dump() == anew.dump()
                assert kept.explained() == anew.explained()
                anew = Profile.load(*anew.dump())
        assert kept.dump() == anew.dump()
    if most == 512:
        straight = applied(sorted(arriving, key=lambda one: (one.clock, one.identity)), Profile())
        assert spelled(properties(kept)) == spelled(folded(arriving))
        assert kept.dump() == straight.dump()
        assert applied(arriving, Profile()).take_refused() == straight.take_refused()


@given(updates(operators), seeds)
def test_what_is_loaded_is_what_was_dumped(updates: list[Update], seed: int) -> None:
    known = after_a_crash(updates, Random(seed))
    again = Profile.load(*known.dump())
    assert again.dump() == known.dump()
    assert again.explained() == known.explained()


@given(updates(sums) | updates(last_writer_wins), seeds, st.integers(0, 3), st.integers(0, 3))
def test_folding_early_changes_neither_sums_nor_what_is_set(
    updates: list[Update], seed: int, horizon: int, most: int
) -> None:
    with pytest.MonkeyPatch.context() as bounds:
        bounds.setattr(profile, "HORIZON", horizon)
        bounds.setattr(profile, "MAX_OPEN", most)
        known = after_a_crash(updates, Random(seed))
    assert spelled(properties(known)) == spelled(folded(updates))


@given(updates(operators), seeds, st.integers(0, 3), st.integers(0, 3))
def test_folding_early_lets_no_copy_through(updates: list[Update], seed: int, horizon: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as bounds:
        bounds.setattr(profile, "HORIZON", horizon)
        bounds.setattr(profile, "MAX_OPEN", most)
        known = after_a_crash(updates, Random(seed))
        before = known.dump()
        assert [known.apply(update) for update in updates] == [False] * len(updates)
        assert known.dump() == before
