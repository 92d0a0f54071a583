"""An object that cannot be read takes none of those behind it with it, on one line or on several."""

import gzip
from itertools import product

from tests.cases import each
from tests.leaves import opened
from udfs import envelope

A = b'{"id":1,"t":"x","l":[{"a":1},{"b":[2]}],"p":{"q":"{\\"}"}}'
B, C = A.replace(b"1", b"2"), A.replace(b"1", b"3")
BROKEN = {
    "a comma too many": A[:-1] + b",}",
    "a comma too many within": A.replace(b"1}", b"1,}"),
    "a comma too few": A.replace(b'1,"t"', b'1 "t"'),
    "no JSON's word": A.replace(b":1}", b":x}"),
    "an escape that is none": A.replace(b'"x"', b'"\\x"'),
    "an end of a line in a text": A.replace(b'"x"', b'"\t\n"'),
    "quotes in a text": A.replace(b'"x"', b'"say "x" now"'),
    "quotes of another kind": A.replace(b'"x"', b"'x'"),
    "keys without quotes": A.replace(b'"t"', b"t").replace(b'"p"', b"p"),
    "no end": A[:-1],
    "ends of several missing": A[:-2],
    "cut in a key": A[:11],
    "cut in the first key": A[:4],
    "cut in a text": A[:14],
    "cut in an array": A[:31],
}


@each("broken", BROKEN.values(), ids=BROKEN)
def test_those_behind_a_broken_object_are_taken(broken: bytes) -> None:
    for text, between in product((b"%b", b"[%b]"), (b"", b",", b", ", b" ", b"|")):
        heads, _ = opened(text % between.join([A, broken, B, C, broken, B]))
        assert [one for one in heads if one in {A, B, C}] == [A, B, C, B], (text, between)
        assert len(heads) == 6, (text, between)


INSIDE = {
    "of no indent, cut": (b'{\n"l": [\n{\n"a": 1\n},\n{\n"a": 2', [b'{\n"l": [\n{\n"a": 1\n},\n{\n"a": 2', B]),
    "behind a comma in an array": (b'{"l":[{"a":1},', [b'{"l":[{"a":1},\n' + B]),
    "behind a comma in an array, indented": (b'{\n "l": [\n  {},', [b'{\n "l": [\n  {}', B]),
    "behind a key": (b'{"l":', [b'{"l":\n' + B]),
    "behind a comma": (b'{"l":1,', [b'{"l":1', B]),
    "a comma too many within": (b'{\n"l": [\n{\n"a": 1,\n}]}', [b'{\n"l": [\n{\n"a": 1,\n}]}', B]),
}  # fmt: skip


@each(("cut", "heads"), INSIDE.values(), ids=INSIDE)
def test_what_may_stand_in_a_cut_object_is_no_record(cut: bytes, heads: list[bytes]) -> None:
    assert opened(cut + b"\n" + B) == (heads, [])
    assert opened(cut + b"\n" + gzip.compress(B))[0] == [cut.rstrip(b","), B]
    assert opened(gzip.compress(cut) + gzip.compress(B))[0] == [cut.rstrip(b","), B]


REST, NO_COMMA = b'"l":[{"id":1}],"p":{"id":2}}', b'{"id":1 "l":[{"id":2},{"id":3}],"p":{"id":4}}'
OVER_LINES = b'{\n"id":1 "l":[\n{\n"a":1\n},\n{\n"a":2\n}\n]\n}'
DAMAGED = {
    "a bracket of another kind": (A.replace(b'"x",', b'"x"],') + B, [A.replace(b'"x",', b'"x"],'), B]),
    "a bracket too many": (A + b"}" + B + b"}}\n" + C, [A, b"}", B, b"}}", C]),
    "a beginning that is lost": (REST + B + b"," + C, [REST, B, C]),
    "in an array": (b"[" + A[1:] + b"," + B + b"]", [A[1:], B]),
    "over lines": (OVER_LINES + b"\n" + B, [OVER_LINES, B]),
    "like what is in it": (NO_COMMA + B, [NO_COMMA, B]),
}  # fmt: skip


@each(("text", "heads"), DAMAGED.values(), ids=DAMAGED)
def test_what_is_damaged_in_the_middle_is_one_part(text: bytes, heads: list[bytes]) -> None:
    assert opened(text) == (heads, [])


def test_a_broken_object_alone_is_one_record() -> None:
    for broken in BROKEN.values():
        assert envelope.form(broken) is None
    assert envelope.form(b'{"a":[' * 100_000) is None


def test_what_comes_in_one_after_the_other_may_break_anywhere() -> None:
    for end in range(1, len(A)):
        heads, _ = opened(A[:end] + B + C)
        assert heads[-1] == C, A[:end]


@each("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_lines_of_another_encoding_are_one_record(encoding: str) -> None:
    payload = b"\n".join([A, B, C]).decode().encode(encoding)
    assert envelope.form(payload) is None
    assert opened(gzip.compress(payload)) == ([payload], [])
