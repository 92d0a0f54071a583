"""How updates of a user merge, what a profile stores, and within which bounds."""

import json
from typing import Any

import pytest

from tests.cases import each
from udfs import profile
from udfs.profile import Clock, Profile, Update

START = 1767600000000000
SEQUENCE = 49590338271490256608559692538361571095921575989136588898
LARGE = "9" * 5000


def update(at: int, properties: dict[str, Any] | str, **other: Any) -> Update:
    """An update uploaded `at` microseconds behind START; its identity and sequence number go with it."""
    text = properties if isinstance(properties, str) else json.dumps(properties)
    made = Update(Clock(START + at, -1, -1, SEQUENCE + at, -1), at.to_bytes(16, "little"), "$identify", text)
    return made._replace(**other)


def merged(*updates: Update) -> Profile:
    """The profile of the updates, stored and read again behind each."""
    known = Profile()
    for one in updates:
        known.apply(one)
        known = Profile.load(*known.dump())
    return known


def properties(known: Profile) -> Any:
    return json.loads(known.dump()[0])


A, B, C = {"$add": {"n": 1}}, {"$set": {"n": 10}}, {"$add": {"n": 5}}

MERGED = {
    "nothing": ([], {}),
    "empty update": ([(0, {})], {}),
    "set": ([(0, {"$set": {"plan": "free"}}), (1, {"plan": "pro"})], {"plan": "pro"}),
    "late set": ([(1, {"plan": "pro"}), (0, {"plan": "free"})], {"plan": "pro"}),
    "per property": ([(1, {"a": 1}), (0, {"a": 0, "b": 0})], {"a": 1, "b": 0}),
    "operators in order": ([(0, A), (1, B), (2, C)], {"n": 15}),
    "set between two operators": ([(0, A), (2, C), (1, B)], {"n": 15}),
    "operator before a set": ([(1, B), (2, C), (0, A)], {"n": 15}),
    "set once": ([(1, {"$setOnce": {"a": 1}}), (0, {"$setOnce": {"a": 0}})], {"a": 0}),
    "set once around unset": (
        [(0, {"$setOnce": {"a": 0}}), (2, {"$setOnce": {"a": 2}}), (1, {"$unset": {"a": "-"}})],
        {"a": 2},
    ),
    "unset": ([(0, {"a": 1, "b": 1}), (1, {"$unset": {"a": "-"}})], {"b": 1}),
    "unset stays": ([(1, {"$unset": {"a": "-"}}), (0, {"a": 1})], {}),
    "unset, then added": ([(2, {"$add": {"a": 1}}), (1, {"$unset": {"a": "-"}}), (0, {"a": 5})], {"a": 1}),
    "clear": ([(0, {"a": 1, "$append": {"b": 1}}), (1, {"$clearAll": "-", "c": 1}), (2, A)], {"c": 1, "n": 1}),
    "late clear": ([(0, {"a": 1}), (2, {"b": 1}), (3, A), (1, {"$clearAll": "-"})], {"b": 1, "n": 1}),
    "before a clear": ([(2, {"$clearAll": "-"}), (1, {"a": 1, "$add": {"b": 1}})], {}),
    "older clear": ([(3, {"$clearAll": "-"}), (1, {"$clearAll": "-"}), (2, {"a": 1})], {}),
    "clear between operators": ([(0, A), (2, A), (1, {"$clearAll": "-"})], {"n": 1}),
    "lists": ([(2, {"$append": {"l": 2}}), (1, {"$set": {"l": 1}}), (3, {"$remove": {"l": 1}})], {"l": [2]}),
    "all of one update": ([(0, {"$set": {"n": 1}, "$add": {"n": 2}, "$append": {"n": 4}})], {"n": [3, 4]}),
    "odd names": ([(0, {"": 1, "a.b": 2, "$schema": 3, "😀": 4})], {"": 1, "a.b": 2, "$schema": 3, "😀": 4}),
}


@each(("updates", "expected"), MERGED.values(), ids=MERGED)
def test_updates_merge_in_clock_order(updates: list[tuple[int, Any]], expected: Any) -> None:
    assert properties(merged(*[update(*one) for one in updates])) == expected


@each("updates", [updates for updates, _ in MERGED.values()], ids=MERGED)
def test_what_is_loaded_is_what_was_dumped(updates: list[tuple[int, Any]]) -> None:
    known = merged(*[update(*one) for one in updates])
    assert Profile.load(*known.dump()).dump() == known.dump()


@each("updates", [updates for updates, _ in MERGED.values()], ids=MERGED)
def test_a_repeated_update_changes_nothing(updates: list[tuple[int, Any]]) -> None:
    known = merged(*[update(*one) for one in updates])
    before = known.dump()
    assert not any(known.apply(update(*one)) for one in updates)
    assert known.dump() == before


@each("field", Clock._fields)
def test_each_part_of_the_clock_decides_behind_those_before(field: str) -> None:
    behind = Clock._fields[Clock._fields.index(field) + 1 :]
    early = Clock(5, 5, 5, 5, 5)
    late = early._replace(**{field: 6}, **dict.fromkeys(behind, 4))
    updates = [update(1, {"a": "late"}, clock=late), update(2, {"a": "early"}, clock=early)]
    assert properties(merged(*updates)) == properties(merged(*updates[::-1])) == {"a": "late"}


def test_equal_clocks_are_ordered_by_identity() -> None:
    clock = update(0, {}).clock
    updates = [update(1, {"a": name}, clock=clock, identity=name.encode() * 16) for name in "ab"]
    assert properties(merged(*updates)) == properties(merged(*updates[::-1])) == {"a": "b"}


def test_a_snapshot_sets_names_only() -> None:
    known = merged(update(0, {"$set": {"a": 1}, "n": 1}, snapshot=True), update(1, A))
    assert properties(known) == {"$set": {"a": 1}, "n": 2}


def test_values_keep_their_spelling() -> None:
    known = merged(
        update(0, f'{{"a": [1.0, {LARGE}] ,"b":"\\u00e9","c":1e999}}'), update(1, {"$setOnce": {"a": 1}})
    )
    assert known.dump()[0] == f'{{"a":[1.0, {LARGE}],"b":"\\u00e9","c":1e999}}'


def test_apply_tells_whether_anything_stored_changed() -> None:
    known = Profile()
    assert known.apply(update(1, {"a": 1}))
    assert not known.apply(update(0, {"a": 0, "$add": {"a": 1}}))
    assert known.apply(update(2, {"a": 1}))
    assert known.apply(update(3, {"$setOnce": {"a": 0}}))
    assert not known.apply(update(4, {"$add": {"a": "x"}}))
    assert not known.apply(update(9, {}))


def test_refused_operators_are_counted_since_load() -> None:
    known = Profile()
    known.apply(update(0, {"$add": {"a": "1", "b": 1}, "$append": 1, "c": "text"}))
    known.apply(update(1, {"$add": {"c": 1}}))
    assert known.take_refused() == 3
    assert properties(known) == {"b": 1, "c": "text"}
    assert Profile.load(*known.dump()).take_refused() == 0


def test_a_refused_operator_counts_once_a_late_value_lets_it() -> None:
    known = merged(update(0, {"c": "text"}), update(2, {"$add": {"c": 1}}), update(1, {"c": 7}))
    assert properties(known) == {"c": 8}


def test_the_layout_of_a_profile() -> None:
    known = merged(
        update(0, {"$clearAll": "-"}),
        update(
            1, {"plan": "free", "city": "Seoul", "old": 1, "$append": {"list": 1}}, source="amplitude__" + "x" * 99
        ),
        update(2, {"plan": "pro", "$unset": {"old": "-"}, "$setOnce": {"city": "Busan"}}),
    )
    assert known.dump() == (
        '{"city":"Seoul","list":[1],"plan":"pro"}',
        '{"version":1,"updates":['
        f'[1767600000000001,-1,-1,{SEQUENCE + 1},-1,"AQAAAAAAAAAAAAAAAAAAAA==","amplitude__{"x" * 89}"],'
        f'[1767600000000002,-1,-1,{SEQUENCE + 2},-1,"AgAAAAAAAAAAAAAAAAAAAA==","$identify"],'
        f'[1767600000000000,-1,-1,{SEQUENCE},-1,"AAAAAAAAAAAAAAAAAAAAAA==","$identify"]],'
        '"properties":{"city":{"set":0,"by":0,"open":[[1,"$setOnce","Busan"]]},'
        '"list":{"open":[[0,"$append",1]],"base":[]},"old":1,"plan":1},"cleared":2}',
    )


@each(
    "merge",
    ["", "[]", "{}", '{"version":2}', '{"version":2,"updates":[],"properties":{}}', '{"version":1}'],
)
def test_an_unknown_layout_is_refused_in_one_line(merge: str) -> None:
    with pytest.raises(ValueError, match=r"^the merge text of a profile is of no known layout: .+$"):
        Profile.load("{}", merge)


def test_updates_that_nothing_refers_to_are_dropped() -> None:
    known = merged(*[update(at, {"a": at, "b": at}) for at in range(5)])
    assert len(json.loads(known.dump()[1])["updates"]) == 1


def test_each_property_is_explained_by_the_update_that_changed_it_last() -> None:
    known = merged(
        update(0, {"a": 1, "b": [1], "gone": 1}),
        update(1, {"b": [1]}, source="amplitude__Play Song"),
        update(
            2, {"$setOnce": {"a": 2, "c": 3}, "$add": {"a": 0}, "$postInsert": {"b": 1}, "$unset": {"gone": "-"}}
        ),
        update(3, {"$add": {"n": 1, "b": 1}}, source="s"),
    )
    assert known.explained() == [
        ("a", "1", "$identify", START, SEQUENCE),
        ("b", "[1]", "amplitude__Play Song", START + 1, SEQUENCE + 1),
        ("c", "3", "$identify", START + 2, SEQUENCE + 2),
        ("n", "1", "s", START + 3, SEQUENCE + 3),
    ]


def opened(known: Profile) -> int:
    """How many operators are not folded."""
    written = json.loads(known.dump()[1])["properties"].values()
    return sum(len(one.get("open", ())) for one in written if isinstance(one, dict))


def test_operators_are_folded_behind_the_horizon() -> None:
    updates = [update(0, A), update(1, A), update(profile.HORIZON + 1, {"a": 1})]
    known = merged(*updates)
    assert opened(known) == 1
    assert properties(known) == {"n": 2, "a": 1}
    assert [one.uploaded - START for one in known.explained()] == [profile.HORIZON + 1, 1]
    assert [known.apply(one) for one in updates] == [False] * 3


def test_behind_the_horizon_late_updates_still_count() -> None:
    known = merged(update(5, {"$add": {"n": 1, "m": 1}}), update(profile.HORIZON + 9, {"a": 1}))
    known.apply(update(4, A))
    known.apply(update(3, {"m": 7}))
    known.apply(update(2, {"$add": {"m": 100}}))
    assert properties(known) == {"n": 2, "m": 7, "a": 1}
    assert opened(known) == 0
    assert known.apply(update(4, {"$clearAll": "-"}, identity=b"c" * 16))
    assert properties(known) == {"a": 1}


def test_the_oldest_of_too_many_operators_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_OPEN", 3)
    updates = [update(at, {"$append": {f"p{at % 2}": at}}) for at in range(7)]
    known = merged(*updates)
    assert opened(known) == 3
    assert properties(known) == {"p0": [0, 2, 4, 6], "p1": [1, 3, 5]}
    assert not any(known.apply(one) for one in updates)


def test_an_update_folded_in_part_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_OPEN", 1)
    both = update(0, {"$add": {"a": 1, "b": 1}})
    known = merged(both)
    assert opened(known) == 1
    assert not known.apply(both)
    known.apply(update(1, {"a": 0, "b": 0}))
    assert not known.apply(both)


def test_what_is_folded_stays_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_OPEN", 0)
    known = merged(update(0, {"a": 1}), update(1, {"$add": {"a": 1}}), update(2, {"$setOnce": {"a": 0}}))
    assert known.explained() == [("a", "2", "$identify", START + 1, SEQUENCE + 1)]


def test_an_update_folded_bit_by_bit_is_remembered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = merged(update(0, {"$add": {"a": 1, "b": 1}}))
    for most in (1, 0):
        monkeypatch.setattr(profile, "MAX_OPEN", most)
        known.apply(update(1 - most, {"c": most}, identity=bytes([most]) * 16))
    assert json.loads(known.dump()[1])["applied"] == "AAAAAAAAAAA="


def test_the_newest_folded_updates_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_OPEN", 0)
    monkeypatch.setattr(profile, "MAX_APPLIED", 3)
    updates = [update(at, A) for at in range(5)]
    known = merged(*updates)
    assert json.loads(known.dump()[1])["applied"] == "AgAAAAAAAAADAAAAAAAAAAQAAAAAAAAA"
    assert [known.apply(one) for one in updates[2:]] == [False] * 3
    assert known.apply(updates[0])


def test_an_identity_is_not_found_across_two_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_OPEN", 0)
    known = merged(update(0, A, identity=b"aaaabbbb" * 2), update(1, A, identity=b"ccccdddd" * 2))
    assert known.apply(update(2, A, identity=b"bbbbcccc" * 2))
    assert not known.apply(update(2, A, identity=b"ccccdddd" * 2))


def test_a_late_removal_before_what_adds_is_applied_in_its_place() -> None:
    start, removal = update(1, {"l": [1, 2]}), update(3, {"$remove": {"l": 2}})
    late = update(2, {"$remove": {"l": 1}})
    assert properties(merged(start, removal, update(4, {"$append": {"l": 1}}), late)) == {"l": [1]}
    assert properties(merged(start, removal, late, update(5, {"$append": {"l": 2}}))) == {"l": [2]}


def test_what_was_taken_out_does_not_come_back_with_its_operator() -> None:
    update_ = update(1, {"$append": {"p": [{"x": 1, "y": 2}]}})
    profile = merged(update_)
    profile.reduce('{"p":[{"y":2}]}')
    again = Profile.load(*profile.dump())
    assert not again.apply(update_)
    assert properties(again) == {"p": [{"y": 2}]}
