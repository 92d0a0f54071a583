"""What the bytes of others may cost: steps, reads and memory by their length, whatever is in them."""

import gzip
import tracemalloc
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.cases import each
from tests.leaves import opened
from tests.unit.udfs.test_damaged import CHECKSUM, HALF, A, B, gz
from tests.unit.udfs.test_envelope_neighbours import A_GZ, A_ZIP
from tests.unit.udfs.test_inflate import MIB, zipped
from tests.unit.udfs.test_many_broken import FEW
from tests.unit.udfs.test_profile import merged, properties, update
from tests.unit.udfs.test_profile import opened as unfolded
from tests.unit.udfs.test_tar import WHOLE, tarred
from udfs import envelope, inflate, lists, profile, tar, values
from udfs.envelope import Limits
from udfs.model import Reason
from udfs.profile import Profile

ZEROS = bytes(4 * MIB)
BOMBS = {
    "gzip": (gzip.compress(ZEROS, 1), Reason.ENVELOPE_TOO_LARGE),
    "gzip of many members": (gzip.compress(ZEROS[:MIB], 1) * 4, Reason.ENVELOPE_TOO_LARGE),
    "gzip in gzip": (gzip.compress(gzip.compress(gzip.compress(ZEROS, 1))), Reason.ENVELOPE_TOO_LARGE),
    "zip": (zipped(ZEROS), Reason.ENVELOPE_TOO_LARGE),
    "zip of bzip2": (zipped(ZEROS, method=zipfile.ZIP_BZIP2), Reason.COMPRESSION_UNKNOWN),
    "zip of LZMA": (zipped(ZEROS, method=zipfile.ZIP_LZMA), Reason.COMPRESSION_UNKNOWN),
}


@each(("payload", "reason"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_comes_to_nothing(payload: bytes, reason: Reason) -> None:
    """4 MiB out of a few KiB: more than there is room for, by size and by ratio."""
    tracemalloc.start()
    try:
        size = sum(len(part.payload) for part in envelope.unpack(payload) if not part.fault)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert {fault.reason for fault in opened(payload)[1]} == {reason}
    assert size <= max(MIB, 200 * len(payload))
    assert peak < 3 * max(MIB, 200 * len(payload))


COSTLY = {
    "wrong checksums": lambda n: CHECKSUM * n,
    "heads alone": lambda n: gz(b"")[:10] * n,
    "heads of stored blocks": lambda n: (gz(b"")[:10] + b"\0\xff\xff\0\0") * n,
    "heads that all reach the same damage": lambda n: (
        b"".join(
            gz(b"")[:10] + b"\0" + (15 * left).to_bytes(2, "little") + (0xFFFF - 15 * left).to_bytes(2, "little")
            for left in reversed(range(min(n, 4_000)))
        )
        + b"\0\0\0\xff\xff" * n * 5
    ),
    "damaged and sound": lambda n: (HALF + gz(B)) * (n // 10),
    "words": lambda n: (gz(A) + b"junk\n") * n,
    "half a zip": lambda n: b"PK\x03\x04" * n,
}


@pytest.mark.parametrize("maker", COSTLY.values(), ids=COSTLY)
def test_rows_of_damaged_members_cost_by_their_length(
    maker: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At n and at 4 n: how many bytes are inflated, and how often something is sought behind a fault."""
    inflated = tries = 0
    inflate_one, goes_on = inflate.Content.inflate, inflate.goes_on

    def counting(self: inflate.Content, payload: bytes, at: int, end: int, bits: int) -> int:
        nonlocal inflated
        found = inflate_one(self, payload, at, end, bits)
        inflated += found - at
        return found

    def trying(payload: bytes, at: int) -> int:
        nonlocal tries
        tries += 1
        return goes_on(payload, at)

    monkeypatch.setattr(inflate.Content, "inflate", counting)
    monkeypatch.setattr(inflate, "goes_on", trying)
    for payload in (maker(2_000), maker(8_000)):
        inflated = tries = 0
        opened(payload)
        assert inflated <= 6 * len(payload)
        assert tries <= 1_000


@pytest.mark.parametrize("group", [A_GZ + b"{}", b"{}" + A_ZIP, b"{}\n" + gzip.compress(b"", mtime=0)])
def test_a_row_costs_by_its_length(group: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is spelled out twice at most, however long the row is."""
    spelled = 0
    spelling = values.Text._spelling

    def counting(self: values.Text, at: int, size: int) -> str:
        nonlocal spelled
        spelled += size
        return spelling(self, at, size)

    monkeypatch.setattr(values.Text, "_spelling", counting)
    payload = group * 2_000
    assert sum(1 for part in envelope.unpack(payload) if not part.fault) >= 2_000
    assert spelled <= 2 * len(payload)


EVENT = b'{"k":[1,2,3,{"a":"b"}],"l":{"m":[[]]},"id":%d'
BROKEN: dict[str, Callable[[int], bytes]] = {
    "braces by the line": lambda n: b"\n{" * n,
    "braces by the line in a gzip": lambda n: gzip.compress(b"\n{" * n),
    "cut in a key": lambda n: b',{"a' * n,
    "cut in a key, without separators, in a gzip": lambda n: gzip.compress(b'{"a' * n),
    "the same key": lambda n: b'{"a":1 {"a":1 {"a":1 "' * n,
    "the same key in each other": lambda n: b'{"a":{"a":{"a":1,}' * n,
    "events with a mark too many": lambda n: gzip.compress(b"".join(EVENT % at + b"!}\n" for at in range(n))),
    "events with a comma too many": lambda n: gzip.compress(b"".join(EVENT % at + b",}\n" for at in range(n))),
    "events with a comma too many in a line": lambda n: b",".join(EVENT % at + b",}" for at in range(n)),
    "events of another language": lambda n: b"".join((EVENT % at).replace(b'"', b"'") + b"}\n" for at in range(n)),
    "brackets": lambda n: b"\n".join([b'{"a":' + b"[[]]," * 20 + b"}"] * n),
    "quotes": lambda n: b"\n".join([b'{"' + b'"' * 100 + b"}"] * n),
    "texts without an end": lambda n: b"\n".join([b'{"a":"b' + b'\\"' * 50] * n),
    "one too deep": lambda n: b'{"a":[' * n,
    # several times the depth at which brackets are given up: below, all lines are one value, which costs less
    "arrays that each line begins anew": lambda n: b'{"a":[1,2,3,\n' * 20 * n,
    "objects without a value in an array": lambda n: b"[" + b'{"a"},\n' * n,
    "texts that begin in an array": lambda n: b"[" + b'"a' * n,
    "escapes": lambda n: b'{"a":"\\' * n,
    "braces in server-sent events": lambda n: b"data: {\n" * n,
    "the same key as a value": lambda n: (b'{"a":' + b" " * 95 + b'{"b"') * n,
}


def cost(payload: bytes, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """About how many bytes are read of what is no value, an attempt as 64; and the brackets that were counted."""
    spent = brackets = 0
    read, closed = values._read, values._closed

    def reading(spelled: str, at: int) -> values._Read:
        nonlocal spent
        found = read(spelled, at)
        spent += 64 + (found.cost + at if found.length is None else found.length)  # an error counts lines up to it
        return found

    def closing(payload: bytes, at: int, limit: int) -> values._Closed:
        nonlocal spent, brackets
        found = closed(payload, at, limit)
        spent, brackets = spent + 64 + 10 * found.brackets, brackets + found.brackets
        return found

    with monkeypatch.context() as patched:
        patched.setattr(values, "_read", reading)
        patched.setattr(values, "_closed", closing)
        for _ in envelope.unpack(payload, limits):
            pass
    return spent, brackets


@pytest.mark.parametrize("maker", BROKEN.values(), ids=BROKEN)
def test_broken_values_cost_by_their_length(
    maker: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for limits in (Limits(), FEW):
        once, four_times = (cost(maker(n), limits, monkeypatch)[0] for n in (100, 400))
        assert four_times <= 4.5 * once + 1_000
    assert cost(maker(400), FEW, monkeypatch)[1] <= 4 * 64 + 640  # what is left to be read when the bound is met


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "empty files": lambda n: tarred(*[b""] * n),
    "headers without files": lambda n: WHOLE[:512] * n,
    "marks": lambda n: b"x\n" + (b"ustar" + bytes(250) + b"\n") * n,
}


@pytest.mark.parametrize("maker", HOSTILE.values(), ids=HOSTILE)
def test_a_tar_costs_by_its_length(maker: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    is_header = tar._is_header

    def counting(header: bytes) -> bool:
        nonlocal seen
        seen += len(header)
        return is_header(header)

    monkeypatch.setattr(tar, "_is_header", counting)
    for payload in (maker(500), maker(2_000)):
        seen = 0
        opened(payload)
        assert seen <= 3 * len(payload)


LIST_OPERATORS = ("$append", "$prepend", "$preInsert", "$postInsert", "$remove")
ORDERS = {
    "in order": lambda count: range(1, count + 1),
    "each pair swapped": lambda count: [at for pair in range(1, count, 2) for at in (pair + 1, pair)],
    "reversed": lambda count: range(count, 0, -1),
    "shuffled": lambda count: Random(count).sample(range(1, count + 1), count),
}


def counted(operator: str, order: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int, int]:
    """512 operators on a list of 2 500: the list, how often a list was decoded, and elements compared."""
    known = Profile()
    known.apply(update(0, {"l": [f"item-{at}" for at in range(2_500)]}))
    monkeypatch.setattr(profile, "MAX_OPEN", 128)
    decoded, compared = Calls(lists._list), Calls(lists.canonical)
    monkeypatch.setattr(lists, "_list", decoded)
    monkeypatch.setattr(lists, "canonical", compared)
    for at in order(512):
        known.apply(update(at, {operator: {"l": f"item-{at * 2}" if at % 2 else f"new-{at}"}}))
    found = properties(known)["l"]
    monkeypatch.undo()
    return found, decoded.count, compared.count


@pytest.mark.parametrize("operator", LIST_OPERATORS)
def test_late_operators_cost_what_they_cost_in_order(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    in_order = counted(operator, ORDERS["in order"], monkeypatch)
    _, decoded, compared = in_order
    assert decoded == 2  # the value, and the base that the operators beyond MAX_OPEN are folded into
    assert compared <= 2_500 + 4 * 2 * 512
    for name in ORDERS.keys() - {"in order"}:
        assert counted(operator, ORDERS[name], monkeypatch) == in_order, name


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_late_removal_before_removals_compares_nothing_again(
    order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Profile()
    known.apply(update(0, {"l": [[at] for at in range(100)]}))
    known.dump()
    compared = Calls(lists.compared)
    monkeypatch.setattr(lists, "compared", compared)
    for at in order(64):
        known = Profile.load(*known.dump())
        known.apply(update(at, {"$remove": {"l": [[at], [at + 1_000]]}}))
    assert properties(known)["l"] == [[0], *[[at] for at in range(65, 100)]]
    assert compared.count == 64 * 2  # the operand, and the list that it meets


@pytest.mark.parametrize("operand", [["a", "b"] * 100, list(range(200)), [1.5, True, None] * 60])
@pytest.mark.parametrize("operator", LIST_OPERATORS)
def test_long_operands_of_a_kind_are_compared_at_once(
    operator: str, operand: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = Calls(lists.canonical)
    monkeypatch.setattr(lists, "canonical", compared)
    asked = {operator: {"l": operand}}
    known = merged(update(0, {"l": []}), update(2, asked), update(1, asked))
    monkeypatch.undo()
    once, twice = list(dict.fromkeys(operand)), operand * 2
    expected = {"$append": twice, "$prepend": twice, "$preInsert": once, "$postInsert": once, "$remove": []}
    assert (properties(known)["l"], compared.count) == (expected[operator], 0)


def test_a_thousand_properties_and_a_large_value() -> None:
    names = [f"property {number}" for number in range(1000)]
    known = merged(
        update(0, {"$set": dict.fromkeys(names, "x"), "$append": {"list": ["x" * 64] * 2**14}}),
        update(1, {"$add": dict.fromkeys(names, 1), "$postInsert": {"list": ["x" * 64, "y"]}}),
    )
    assert known.take_refused() == 0  # counted since load
    assert properties(known) == dict.fromkeys(names, "x") | {"list": ["x" * 64] * 2**14 + ["y"]}
    assert unfolded(known) == profile.MAX_OPEN


class Calls:
    """A function that counts how often it is called."""

    def __init__(self, function: Any) -> None:
        self.function, self.count = function, 0

    def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        return self.function(*arguments)


def test_copies_are_found_without_a_look_at_every_property(monkeypatch: pytest.MonkeyPatch) -> None:
    known = merged(update(0, {"$add": {f"p{at}": 1 for at in range(500)}}))
    looked = Calls(known._were_operated)
    monkeypatch.setattr(known, "_were_operated", looked)
    for at in range(1, 1000):
        known.apply(update(at, {"$add": {"p0": 1}}))
    assert looked.count == 1


def test_late_clears_cost_nothing_each(monkeypatch: pytest.MonkeyPatch) -> None:
    known = merged(update(10_000, {f"p{at}": at for at in range(500)}))
    looked = Calls(known._were_operated)
    monkeypatch.setattr(known, "_were_operated", looked)
    assert all(known.apply(update(at, {"$clearAll": "-"})) for at in range(1, 1000))
    assert looked.count == 0
    assert properties(known) == {f"p{at}": at for at in range(500)}
