"""A document that is cut, whatever its layout: no object in it becomes a record, the next record is taken."""

import json
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.leaves import opened
from tests.oracle_envelope import held

INNER, SOUND = {"uuid": "inner", "event_type": "x", "app": 1}, b'{"uuid":"sound","event_type":"y","app":1}'
leaves = st.sampled_from([1, None, "a", "{", '}\n{"', [], {}, INNER])
inside = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(lambda some: INNER | {"l": some}),
        st.tuples(inner, inner).map(lambda two: {"p": two[0], "q": two[1]}),
    ),
    max_leaves=6,
)
objects = inside.map(lambda value: {"uuid": "outer", "l": [INNER, value, INNER], "m": value, "n": 1})
documents = st.one_of(objects, st.lists(objects, min_size=1, max_size=3))
SEPARATORS = [None, (",", ":"), (",\n", ": "), (",\n", ":\n"), (" , ", " :\n"), (",", ":\r\n")]


def may_hold(text: str) -> bool:
    """Whether an object may be the next value in one that this text has begun, by the marks before."""
    brackets, last, at = "", "", 0
    while at < len(text):
        mark = text[at]
        if mark == '"':
            try:
                at = json.JSONDecoder().raw_decode(text, at)[1] - 1
            except ValueError:  # cut in a string
                return False
        elif mark in "{[":
            brackets += mark
        elif mark in "}]":
            brackets = brackets[:-1]
        last = last if mark.isspace() else mark
        at += 1
    return "{" in brackets and (last in "[," if brackets.endswith("[") else last == ":")


@settings(max_examples=max(500, settings.default.max_examples))
@given(
    documents,
    st.sampled_from([None, 0, 1, 2, "\t"]),
    st.sampled_from(SEPARATORS),
    st.integers(1, 10_000),
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
)
@example([{"uuid": "outer", "l": [INNER] * 3}], 0, None, 30, b"\n")
def test_no_object_of_a_cut_document_is_a_record(
    document: Any, indent: int | str | None, separators: tuple[str, str] | None, cut: int, between: bytes
) -> None:
    spelled = json.dumps(document, indent=indent, separators=separators)
    text = spelled[: -(cut % len(spelled)) or None]
    heads = [head for head in opened(text.encode() + between + SOUND)[0] if is_object(head)]
    assert {json.loads(head)["uuid"] for head in heads} <= {"outer", "sound"}
    set_in = indent not in (None, 0) and separators in SEPARATORS[:2] and "\n" in text.lstrip("[ \t\n")
    assert not heads or heads[-1] == SOUND or may_hold(text)
    assert SOUND in heads or (may_hold(text) and not set_in)


def damaged(rng: Random) -> bytes:
    """Records in a row, in an array or not, with something else in one place."""
    indent, key = rng.choice([None, None, 0, 2]), rng.choice(["id", "uuid"])
    between = rng.choice(["", ",", "\n", ",\n", " "])
    inner = [{key: "inner", "v": 1}, {key: "inner"}]
    records = [{"uuid": "outer", "l": inner, "p": {key: "inner", "b": []}}] * 3
    text = between.join(json.dumps(record, indent=indent) for record in records)
    text = rng.choice(["[%s]", "%s"]) % text
    at = rng.randrange(1, len(text) - 1)
    return (text[:at] + rng.choice(["", *'{}[]",:x']) + text[at + rng.choice([0, 1, 9]) :]).encode()


def test_damage_in_the_middle_takes_few_neighbours_with_it() -> None:
    """And few objects within come out; which, the oracle knows: where they may begin like a record."""
    rng, outer, inner = Random(1), 0, 0
    for text in (damaged(rng) for _ in range(2_000)):
        heads = opened(text)[0] or [text]
        assert heads == [one for one in held(text) if isinstance(one, bytes)]
        uuids = [json.loads(head) for head in heads if is_object(head)]
        outer += sum(one.get("uuid") == "outer" for one in uuids)
        inner += any("inner" in one.values() for one in uuids)
    assert outer >= 4_400  # 4 000, and those of texts that what was put in leaves whole
    assert inner <= 180


def is_object(head: bytes) -> bool:
    try:
        return isinstance(json.loads(head), dict)
    except ValueError:
        return False
