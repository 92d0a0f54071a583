"""Values and members beside broken ones, and what reading them may cost."""

import gzip
import json

import pytest

from tests.leaves import opened
from udfs import values
from udfs.envelope import Limits
from udfs.model import Reason

A, B, C = b'{"a":1}', '{"b":"밤"}'.encode(), b'{"c":[{}]}'


def test_values_that_go_on_behind_lines_like_beginnings_are_whole_however_many() -> None:
    event = {"a": [{"b": 1}, [{"c": 2}]], "d": {"e": [{"f": 3}]}}
    spelled = json.dumps([event] * 500, indent=0).encode()
    singles, faults = opened(spelled)
    assert ([json.loads(one) for one in singles], faults) == ([event] * 500, [])
    singles, _ = opened(spelled.replace(b'"b": 1', b'"b": x', 10))
    assert singles.count(json.dumps(event, indent=0).encode()) == 490


@pytest.mark.parametrize("separator", [b"\r", b"\n", "\u2028".encode(), "\u0085".encode(), b"\x1e", b"\x0c"])
def test_a_cut_value_takes_none_behind_the_next_separator_with_it(separator: bytes) -> None:
    assert opened(separator.join((A, B[:-1], C, A))) == ([A, B[:-1], C, A], [])


@pytest.mark.parametrize("separator", [b",", b",\n", b"\x1e", b"\0", b" "])
def test_members_are_told_apart_by_what_people_put_between_them(separator: bytes) -> None:
    assert opened(separator.join(map(gzip.compress, (A, gzip.compress(B), C)))) == ([A, B, C], [])


def test_a_long_array_is_not_read_in_vain_for_each_of_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    vain = []
    read = values._read

    def counting(spelled: str, at: int) -> values._Read:
        found = read(spelled, at)
        vain.extend([at] if found.length is None else [])
        return found

    monkeypatch.setattr(values, "MAX_BYTES", 1_000)
    monkeypatch.setattr(values, "_read", counting)
    assert len(opened(b"[" + b",".join([A] * 5_000) + b"]")[0]) == 5_000
    assert len(vain) <= 1


def test_what_others_have_taken_is_no_room_for_those_behind() -> None:
    limits = Limits(opened_bytes=3_000, ratio=10**6)
    inner = gzip.compress(gzip.compress(b'{"a":"%b"}' % (b"x" * 2_500)))
    singles, faults = opened(gzip.compress(A) + inner + inner + inner + gzip.compress(B), limits)
    assert A in singles
    assert {fault.reason for fault in faults} == {Reason.ENVELOPE_TOO_LARGE}
