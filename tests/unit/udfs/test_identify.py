"""Amplitude's identify operators, each against its documented meaning, and how an update is read into them."""

from msgspec import Raw

from tests.cases import each
from udfs import identify

LONG = "9" * 5000
FULL = "9" * identify.MAX_DIGITS

MEANINGS = {
    "set once, unset": ("$setOnce", None, '"a"', '"a"'),
    "set once, set": ("$setOnce", '"b"', '"a"', '"b"'),
    "set once, null is set": ("$setOnce", "null", '"a"', "null"),
    "set once, spelling": ("$setOnce", None, f'[1.0, "\\u00e9",{LONG}]', f'[1.0, "\\u00e9",{LONG}]'),
    "add, unset": ("$add", None, "5", "5"),
    "add": ("$add", "17", "1", "18"),
    "add, negative": ("$add", "17", "-20", "-3"),
    "add, decimals": ("$add", "0.1", "0.2", "0.3"),
    "add, integer to decimal": ("$add", "1.50", "1", "2.50"),
    "add, exponents": ("$add", "1e2", "2.5E-1", "100.25"),
    "add, equal exponents": ("$add", "1e400", "1e400", "2E+400"),
    "add, beyond 64 bits": ("$add", str(2**64), str(10**40), str(2**64 + 10**40)),
    "add, beyond a double": ("$add", "9007199254740993", "0.000000001", "9007199254740993.000000001"),
    "add, longest": ("$add", FULL, "-1", FULL[:-1] + "8"),
    "append, unset": ("$append", None, '"a"', '["a"]'),
    "append": ("$append", '["a"]', '"a"', '["a","a"]'),
    "append, to no list": ("$append", '"a"', "1", '["a",1]'),
    "append, to null": ("$append", "null", "1", "[null,1]"),
    "append, list": ("$append", "[1]", "[2, [3]]", "[1,2,[3]]"),
    "append, object": ("$append", "[1]", '{"b": 2}', '[1,{"b": 2}]'),
    "append, empty list": ("$append", "[1 ]", "[]", "[1 ]"),
    "append, empty list to unset": ("$append", None, "[]", "[]"),
    "append, spelling": ("$append", f"[1.0, {LONG}]", "1e999999999", f"[1.0,{LONG},1e999999999]"),
    "prepend, unset": ("$prepend", None, '"a"', '["a"]'),
    "prepend": ("$prepend", '["a"]', '"b"', '["b","a"]'),
    "prepend, to no list": ("$prepend", '"a"', "1", '[1,"a"]'),
    "prepend, list keeps its order": ("$prepend", "[3]", "[1,2]", "[1,2,3]"),
    "pre-insert, unset": ("$preInsert", None, "[2,1]", "[2,1]"),
    "pre-insert, absent": ("$preInsert", '["a"]', '"b"', '["b","a"]'),
    "pre-insert, present": ("$preInsert", '["a", "b"]', '"b"', '["a", "b"]'),
    "pre-insert, list": ("$preInsert", "[3,1]", "[2,1,4,2]", "[2,4,3,1]"),
    "pre-insert, first spelling": ("$preInsert", "[]", r'["a","\u0061"]', '["a"]'),
    "pre-insert, to no list": ("$preInsert", '"a"', '"a"', '["a"]'),
    "post-insert, unset": ("$postInsert", None, "[2,1]", "[2,1]"),
    "post-insert, absent": ("$postInsert", '["a"]', '"b"', '["a","b"]'),
    "post-insert, present": ("$postInsert", '["a", "b"]', '"a"', '["a", "b"]'),
    "post-insert, list": ("$postInsert", "[3,1]", "[2,1,4,2]", "[3,1,2,4]"),
    "post-insert, other type": ("$postInsert", '[1,"true"]', '[1.0,true,"1"]', '[1,"true",1.0,true,"1"]'),
    "remove, unset": ("$remove", None, '"a"', None),
    "remove, from no list": ("$remove", '"a"', '"a"', '"a"'),
    "remove, every instance": ("$remove", '["a","b","a"]', '"a"', '["b"]'),
    "remove, list": ("$remove", "[1,2,3,2]", "[2,3,4]", "[1]"),
    "remove, last": ("$remove", "[1]", "1", "[]"),
    "remove, absent": ("$remove", "[1, 2]", "3", "[1, 2]"),
    "remove, other type": ("$remove", '[true,1.0,"1"]', "1", '[true,1.0,"1"]'),
    "remove, spelt otherwise": ("$remove", r'["\u00e9","é"]', r'"\u00E9"', "[]"),
    "remove, object": ("$remove", '[{"a":1,"b":[]},{"a":1}]', '{"b": [ ], "\\u0061": 1}', '[{"a":1}]'),
}

REFUSED = {
    "text": ("1", '"1"'),
    "true": ("1", "true"),
    "null": ("1", "null"),
    "list": ("1", "[1]"),
    "to text": ('"1"', "1"),
    "to true": ("true", "1"),
    "to null": ("null", "1"),
    "to list": ("[]", "1"),
    "too many digits": (None, LONG),
    "to too many digits": (LONG, "1"),
    "sum of too many digits": (FULL, "1"),
    "far apart": ("1e999999999", "1"),
    "far apart downwards": ("1", "1e-999999999999"),
    "exponent of 40 digits": ("1", "1e" + "9" * 40),
    "zero with an exponent of 40 digits": ("1", "0e-" + "9" * 40),
}


def raw(text: str | None) -> Raw | None:
    return None if text is None else Raw(text)


@each(("operator", "value", "operand", "result"), MEANINGS.values(), ids=MEANINGS)
def test_meaning(operator: str, value: str | None, operand: str, result: str | None) -> None:
    current = identify.Current(raw(value))
    assert current.apply(identify.NAMES.index(operator), Raw(operand)) == (raw(result) != raw(value))
    assert current.value == raw(result)


def test_every_relative_operator_has_a_meaning_here() -> None:
    assert {operator for operator, *_ in MEANINGS.values()} == set(identify.NAMES)


@each(("value", "operand"), REFUSED.values(), ids=REFUSED)
def test_a_sum_that_is_none_is_refused(value: str | None, operand: str) -> None:
    current = identify.Current(raw(value))
    assert current.apply(identify.NAMES.index("$add"), Raw(operand)) is None
    assert current.value == raw(value)


def test_plain_properties_keep_their_spelling() -> None:
    changes = identify.changes(f'{{"a": [1, 2.0] ,"$schema":1,"":null,"a.b":{LONG}}}')
    expected = {"a": Raw("[1, 2.0]"), "$schema": Raw("1"), "": Raw("null"), "a.b": Raw(LONG)}
    assert changes == identify.Changes(False, expected, [], 0)


def test_the_order_within_an_update_is_fixed() -> None:
    changes = identify.changes(
        '{"$remove":{"a":1},"$postInsert":{"a":2},"$preInsert":{"a":3},"$prepend":{"a":4},"$append":{"a":5},'
        '"$add":{"a":6},"$setOnce":{"a":7},"$set":{"a":8,"b":9},"a":0,"b":0,"c":0,"$unset":{"b":"-","c":"-","d":"-"},'
        '"$clearAll":"-"}'
    )
    assert changes.clears
    assert changes.values == {"a": Raw("8"), "b": Raw("9"), "c": Raw("0"), "d": None}
    assert [identify.NAMES[rank] for _, rank, _ in changes.operations] == list(identify.NAMES)
    assert [bytes(operand) for *_, operand in changes.operations] == [b"7", b"6", b"5", b"4", b"3", b"2", b"1"]


def test_a_snapshot_has_plain_names_only() -> None:
    changes = identify.changes('{"$set":{"a":1},"$clearAll":"-"}', snapshot=True)
    assert changes == identify.Changes(False, {"$set": Raw('{"a":1}'), "$clearAll": Raw('"-"')}, [], 0)


@each("operator", sorted(identify.OPERATORS - {"$clearAll"}))
@each("operand", ['"-"', "1", "null", "true", "[]", '[{"a":1}]'])
def test_an_operator_without_an_object_is_refused(operator: str, operand: str) -> None:
    assert identify.changes(f'{{"{operator}":{operand},"b":1}}') == identify.Changes(False, {"b": Raw("1")}, [], 1)


@each("operand", ['"-"', "1", "null", "{}", "[]"])
def test_clear_all_takes_any_operand(operand: str) -> None:
    assert identify.changes(f'{{"$clearAll":{operand}}}') == identify.Changes(True, {}, [], 0)


def test_adding_what_is_no_number_is_refused_by_itself() -> None:
    changes = identify.changes('{"$add":{"a":"1","b":2,"c":true,"d":null,"e":[1]}}')
    assert changes.operations == [("b", identify.NAMES.index("$add"), Raw("2"))]
    assert changes.refused == 4
