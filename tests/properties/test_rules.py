"""Field rules against an oracle that walks the record: what stands at a path is gone or hashed, all else stays."""

import json
from hashlib import sha256
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from stores.project import Project, linked
from stores.rules import FieldRule, Rules, checked
from tests.builders import ARRIVAL, PROJECT, encode, event, user_update
from tests.leaves import leaves
from tests.properties.strategies import any_bytes, any_event, styles, whole_events, written
from udfs import identify
from udfs.decode import decode
from udfs.model import DECODED, Kind

Actions: TypeAlias = dict[str, str]

NAIVE_ARRIVAL = ARRIVAL.replace(tzinfo=None)
names = st.sampled_from(("a", "b", "a.b", "b.a", "밤 편지", "", "$set", "\\"))
scalars = st.sampled_from(("010-1234-5678", "", "밤", '"', 7, -0.5, 10**30, True, None))
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
objects = st.dictionaries(names, trees, max_size=4)
operated = objects | st.dictionaries(st.sampled_from(sorted(identify.OPERATORS)), objects, max_size=2)
below = st.lists(st.sampled_from(("a", "b", "밤 편지")), min_size=1, max_size=3).map(".".join)
paths = st.builds("{}.{}".format, st.sampled_from(("event_properties", "user_properties", "other")), below)
actions = st.dictionaries(paths, st.sampled_from(("drop", "hash")), min_size=1, max_size=4)


def apart(chosen: Actions) -> Rules:
    """Rules for those of the paths that do not lie in another."""
    kept = {path: one for path, one in chosen.items() if not any(path.startswith(f"{other}.") for other in chosen)}
    return checked(kept.items(), [])


rules = actions.map(apart)


def project(own: Rules) -> Project:
    return linked(PROJECT, "acme")._replace(rules=own)


def expected(value: Any, prefix: str, own: Actions) -> Any:
    """The oracle: every name is at the path that its names spell, joined with dots."""
    if isinstance(value, list):
        return [expected(one, prefix, own) for one in value]
    if not isinstance(value, dict):
        return value
    operators = identify.OPERATORS if prefix == "user_properties" else ()
    at = {name: prefix if name in operators else f"{prefix}.{name}" for name in value}
    kept = {name: one for name, one in value.items() if own.get(at[name]) != "drop"}
    return {name: hashed(one) if at[name] in own else expected(one, at[name], own) for name, one in kept.items()}


def hashed(value: Any) -> Any:
    if isinstance(value, list):
        return [hashed(one) for one in value]
    spelled = value if isinstance(value, str) else encode(value).decode()
    return None if value is None else sha256(spelled.encode()).hexdigest()


@given(objects, operated, trees, rules)
def test_what_stands_at_a_path_is_gone_or_hashed_and_all_else_is_left(
    events: Any, users: Any, other: Any, own: Rules
) -> None:
    for record in (event(event_properties=events, user_properties=users, other=other),
                   user_update(event_properties=events, user_properties=users, other=other)):  # fmt: skip
        row = dict(zip(DECODED, decode(encode(record), NAIVE_ARRIVAL, {PROJECT: project(own)}), strict=True))
        found = {name: json.loads(row[name]) for name in ("event_properties", "user_properties")}
        found["other"] = json.loads(row["extra"] or "{}").get("other")
        by_path = dict(own.field_rules)
        assert found == {name: expected(record[name], name, by_path) for name in found}


ANY_RULES = Rules(
    (FieldRule("city", "hash"), FieldRule("data", "drop"), FieldRule("event_properties.a", "drop"),
     FieldRule("user_properties.a", "hash"), FieldRule("x", "drop"), FieldRule("y.a", "hash"))
)  # fmt: skip
RULED_COLUMNS = {"city", "data", "event_properties", "user_properties", "extra", "repairs"}


@given(any_bytes | st.builds(written, any_event | whole_events, styles))
def test_whatever_the_bytes_rules_change_only_what_they_are_about(payload: bytes) -> None:
    plain, ruled = (
        leaves(payload, NAIVE_ARRIVAL, {PROJECT: one, 1: one})
        for one in (linked(PROJECT, "acme"), project(ANY_RULES))
    )
    assert len(plain) == len(ruled)
    for before, after in zip(plain, ruled, strict=True):
        may_change = RULED_COLUMNS if after.kind in {Kind.EVENT, Kind.USER_UPDATE} else {"payload"}
        changed = {name for name, value in before.columns.items() if value != after.columns[name]}
        assert changed <= may_change
        if after.kind in {Kind.EVENT, Kind.USER_UPDATE}:
            assert not {"x", "data"} & json.loads(after.columns["extra"] or "{}").keys()
            assert after.columns["data"] == "{}"
