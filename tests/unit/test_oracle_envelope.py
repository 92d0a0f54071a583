"""What the oracle finds in envelopes, case by case: the parts are written out by hand here."""

import gzip
import io
import zipfile
import zlib

import pytest

from lab.sample import envelopes
from tests.builders import ARRIVAL, PROJECT, cohort, encode, event, user_update
from tests.cases import each
from tests.oracle import DeadLetter, Event, outcomes
from tests.oracle_envelope import Fault, UnclearError, held

VALID = encode(event())
RECORDS = [VALID, encode(user_update()), encode(cohort())]


@each("form", envelopes.FORMS)
def test_envelopes_hold_their_records(form: envelopes.Form) -> None:
    for data in (form(RECORDS), gzip.compress(gzip.compress(form(RECORDS)))):
        assert [part.strip() for part in held(data) if isinstance(part, bytes)] == RECORDS
    twice = outcomes(form([VALID, VALID]), ARRIVAL, {PROJECT})
    assert [type(outcome) for outcome in twice] == [Event, Event]


@each(("form", "reason"), envelopes.BAD_TAILS)
def test_a_bad_tail_leaves_the_heads(form: envelopes.Form, reason: str) -> None:
    found = outcomes(form([VALID, VALID]), ARRIVAL, {PROJECT})
    assert [type(outcome) for outcome in found] == [Event, Event, DeadLetter]
    assert found[2] == DeadLetter(reason)


def stored(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


@each(
    ("data", "parts"),
    [
        (VALID, [VALID]),
        (b"\xef\xbb\xbf" + VALID, [b"\xef\xbb\xbf" + VALID]),
        (b"{}\n \n{}\r\n", [b"{}", b"{}"]),
        (b"rest}\n{}", [b"rest}", b"{}"]),
        (b'{"a":[\n{},\n{}\n]}', [b'{"a":[\n{},\n{}\n]}']),
        (b"{} 1", [b"{}", b"1"]),
        (b"1 {}", [b"1 {}"]),
        (b"{},", [b"{}"]),
        (b"{},\n{},\n", [b"{}", b"{}"]),
        (b'{}{"a":1\n{"b":1}\n', [b"{}", b'{"a":1', b'{"b":1}']),
        (b"{}\nbroken\n {}\n{}", [b"{}", b"broken\n {}", b"{}"]),
        (b'{} {"a":"\xff"}', [b"{}", b'{"a":"\xff"}']),
        (b'[1, {"a":"\xff"}]', [b"1", b'{"a":"\xff"}']),
        (b'{"a":' + b"9" * 5000 + b"}{}", [b'{"a":' + b"9" * 5000 + b"}", b"{}"]),
        (b" [ ]", [Fault("empty")]),
        (b"[1,]", [b"1"]),
        (b"[1 2]", [b"1", b"2"]),
        (b"[1", [b"1", Fault("invalid_json")]),
        (b"[1]]", [b"1", Fault("invalid_json")]),
        (b"[" * 5000, [Fault("too_deep")]),
        (b"[[{}],[]]", [b"{}"]),
        (b"", [b""]),
        (gzip.compress(b"", mtime=0), [Fault("empty")]),
        (gzip.compress(VALID) + b"\n" + gzip.compress(VALID), [VALID, VALID]),
        (gzip.compress(VALID) + b"\n" + VALID, [VALID, VALID]),
        (gzip.compress(VALID) + b"more", [VALID, Fault("gzip_invalid")]),
        (gzip.compress(VALID) + b"more\n" + VALID, [VALID, VALID, Fault("gzip_invalid")]),
        (zlib.compress(VALID) + gzip.compress(zlib.compress(VALID)), [VALID, VALID]),
        (zlib.compress(VALID)[:-1], [VALID, Fault("zlib_invalid")]),
        (b"x^2", [b"x^2"]),
        (b"{}\n" + gzip.compress(VALID), [b"{}", VALID]),
        (stored("a", b"{}") + b"\n[{}]", [b"{}", b"{}"]),
        (stored("__MACOSX/a", b"1"), [Fault("empty")]),
        (gzip.compress(VALID) + gzip.compress(VALID) + bytes(9), [VALID, VALID]),
        (gzip.compress(VALID, mtime=0)[:9], [Fault("gzip_invalid")]),
        (gzip.compress(VALID)[:-1], [VALID, Fault("gzip_invalid")]),
        (b"PK\x03\x04", [Fault("zip_invalid")]),
        (b"PK\x03\x04" + gzip.compress(VALID), [Fault("compression_unknown"), Fault("zip_invalid")]),
        (b"PK\x05\x06", [Fault("zip_invalid")]),
        (stored("folder/", b""), [Fault("empty")]),
        (envelopes.KPL_MAGIC + bytes(20), [Fault("kpl_invalid")]),
        (envelopes.aggregate([b"[", b"{}", b"[1"]), [b"{}", b"1", Fault("invalid_json")]),
        (envelopes.aggregate([]), [Fault("empty")]),
    ],
)
def test_parts(data: bytes, parts: list[bytes | Fault]) -> None:
    assert held(data) == parts


def test_bombs_are_cut() -> None:
    bomb = gzip.compress(bytes(4 * 2**20))
    assert held(bomb) == [Fault("envelope_too_large")]
    assert held(stored("a", gzip.compress(bytes(2**20 + 1)))) == [Fault("envelope_too_large")]
    nested = VALID
    for _ in range(5):
        nested = gzip.compress(nested)
    assert held(nested) == [Fault("envelope_too_deep")]


def test_what_damaged_bytes_hold_is_not_told() -> None:
    damaged = bytearray(gzip.compress(VALID))
    damaged[-8] ^= 1
    with pytest.raises(UnclearError):
        held(bytes(damaged))
    broken = bytearray(stored("a", VALID))
    broken[100] ^= 1
    with pytest.raises(UnclearError):
        held(bytes(broken))
