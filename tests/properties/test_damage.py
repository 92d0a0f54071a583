"""Cut, damaged or broken at any place and any number: what is whole beside it is taken."""

import json
from hashlib import sha512

from tests.cases import each
from tests.kpl import aggregate_of
from tests.leaves import opened
from tests.unit.udfs.test_damaged import TEXT, B, C, flipped, gz
from tests.unit.udfs.test_tar import FILES, WHOLE
from udfs import envelope
from udfs.model import Reason, Rejection


def test_a_gzip_may_be_cut_anywhere_and_the_next_is_taken() -> None:
    whole, behind = gz(TEXT), gz(B) + gz(C)
    for cut in range(12, len(whole)):
        heads, faults = opened(whole[:cut] + behind)
        assert heads[-2:] == [B, C], cut
        assert [fault.reason for fault in faults] == [Reason.GZIP_INVALID], cut


def test_a_gzip_may_be_damaged_anywhere_and_the_next_is_taken() -> None:
    whole, behind = gz(TEXT), gz(B) + b"\n" + C
    for at in range(12, len(whole)):
        assert opened(flipped(whole, at) + behind)[0][-2:] == [B, C], at


def test_a_tar_may_be_cut_anywhere() -> None:
    for cut in range(1025, WHOLE.rindex(FILES[-1]) + len(FILES[-1]), 7):
        heads, faults = opened(WHOLE[:cut])
        taken = [head for head in heads if head in FILES]
        assert taken == FILES[: len(taken)]
        assert {fault.reason for fault in faults} <= {Reason.ZIP_INVALID}
    detail = "'events/2.json' in the tar breaks off"
    assert opened(WHOLE[: WHOLE.rindex(FILES[-1]) + 4])[1] == [Rejection(Reason.ZIP_INVALID, detail)]


AGGREGATE = aggregate_of(
    ["k", "m"], [(0, None, B), (1, None, json.dumps([{"a": 1}] * 9, indent=0).encode() + b"\n" + B)] * 2
)


def test_an_aggregate_may_be_damaged_or_cut_anywhere_and_only_what_is_behind_is_taken() -> None:
    taken = 0
    for behind in (b"\n" + C, C, gz(C), b"\n" + aggregate_of(["k"], [(0, None, C)])):
        for at in range(4, len(AGGREGATE)):
            heads, faults = opened(flipped(AGGREGATE, at) + behind)
            assert heads in ([], [C]), at
            assert faults[0].reason is Reason.KPL_INVALID
            taken += len(heads)
            assert opened(AGGREGATE[:at] + behind)[0] in ([], [C]), at
    assert taken > 3 * len(
        AGGREGATE
    )  # of four times: a length or a tag that is damaged may be that of what is behind


def test_no_random_bytes_are_deflate() -> None:
    for seed in range(20_000):
        assert envelope.form(sha512(b"%d" % seed).digest()) is not envelope.Form.DEFLATE


PRETTY = [json.dumps({"id": number, "l": [{"a": 1}, {"b": 2}], "p": {"q": [{}]}}) for number in range(500)]


@each("indent", [None, 0, 1, 4])
@each("bad", [1, 10, 100, 499])
def test_however_many_are_broken_the_others_are_taken(bad: int, indent: int | None) -> None:
    spelled = [json.dumps(json.loads(one), indent=indent).encode() for one in PRETTY]
    broken = [one.replace(b'"a": 1', b'"a": x') for one in spelled[:bad]]
    heads, faults = opened(b"[\n" + b",\n".join(broken + spelled[bad:]) + b"\n]")
    assert (heads, faults) == (broken + spelled[bad:], [])
