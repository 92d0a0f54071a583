r"""JSON text the careful way: one object's fields as they stand, with what had to be mended.

Python's own parser with hooks: numbers keep their spelling, duplicate keys are seen, NaN and Infinity
become null. Slower than `msgspec`, for records that its strict ways refuse.
"""

import json
import re
import threading
from itertools import accumulate
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec

from udfs import unread
from udfs.model import Reason, Rejection, Repair

BOM: Final = b"\xef\xbb\xbf"
BLANKS: Final = b" \t\r\n"
# blanks of Unicode, byte order marks, ASCII's other separators and marks of text (but where a gzip or LZ4 begins),
# and the escapes of ends of lines and of tabs, not their characters
BLANK: Final = (
    rb"\xef\xbb\xbf|\xc2\xa0|\xe1\x9a\x80|\xe2\x80[\x80-\x8f\xaf]|\xe2\x81[\x9f\xa0]|\xe3\x80\x80"
    rb"|[\x01\x03\x1c\x1d]|\x02(?!!L\x18)|\x1f(?![\x8b\x9d\xa0])|\\[nrt]"
)
"""A pattern of what stands between values, beside blanks, commas, semicolons, bars, NULs and ends of lines."""
MAX_BYTES: Final = 10 * 2**20
"""The largest record that Kinesis can be set to take (docs/amplitude.md §4.4)."""
MAX_DEPTH: Final = 64
"""Levels of objects and arrays in a record; Amplitude takes 40 in properties (docs/amplitude.md §4.4, §8.3)."""
TOO_DEEP: Final = Rejection(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")


class Fields(NamedTuple):
    """The fields of one JSON object in their order, duplicates kept, and what was mended in reading them."""

    pairs: list[tuple[str, Any]]
    repairs: set[str]


def fields(payload: bytes) -> Fields | Rejection:
    """The fields of the JSON object that the bytes spell, or why they spell none. Never raises."""
    if len(payload) > MAX_BYTES:
        return Rejection(Reason.TOO_LARGE, f"{len(payload):,} bytes")
    repairs: set[str] = {Repair.BOM_REMOVED} if payload.startswith(BOM) else set()
    try:
        spelled = payload.decode().removeprefix("\ufeff")
        value, pairs = _parse(spelled, repairs)
    except (ValueError, RecursionError) as error:
        if skip(payload) == len(payload):
            blocks = "" if payload.strip(b"\0") or len(payload) % 512 else ", as a tar without files has them"
            return Rejection(Reason.EMPTY, f"{len(payload)} bytes{blocks if payload else ''}")
        return _unreadable(payload, error)
    if not isinstance(value, dict):
        begins = f"starts with {without_keys(spelled.lstrip()[:80])[:20]!r}"
        return Rejection(Reason.NOT_AN_OBJECT, unread.encoded_twice(payload) or begins)
    return TOO_DEEP if may_be_deep(payload) and deep(payload) else Fields(pairs, repairs)


def skip(payload: bytes, at: int = 0) -> int:
    """Where the next value begins, or what should be one; the end when nothing else stands there."""
    return _SKIPPED.match(payload, at).end()  # type: ignore[union-attr]


# also U+0085, U+2028, U+2029, record separators (RFC 7464), and `data:` in the middle of a line
_SKIPPED: Final = re.compile(
    rb"(?:[\t-\r ,;|\x1e\0]++|\xe2\x80[\xa8\xa9]|\xc2\x85|data:(?=[ \t]*+[{\[])|%b)*+" % BLANK
)


def _unreadable(payload: bytes, error: ValueError | RecursionError) -> Rejection:
    if _FORM.match(payload):
        return Rejection(Reason.API_REQUEST, "the body of a request to one of Amplitude's APIs, as a form")
    if name := unread.named(payload):
        return Rejection(Reason.COMPRESSION_UNKNOWN, name)
    if name := encoding(payload):
        return Rejection(Reason.INVALID_UTF8, f"{name}, not UTF-8")
    match error:
        case UnicodeDecodeError():
            return Rejection(Reason.INVALID_UTF8, f"{error.reason} at byte {error.start}")
        case RecursionError():
            return TOO_DEEP
    return Rejection(Reason.INVALID_JSON, unread.encoded_twice(payload) or unread.as_text(payload) or str(error))


_FORM: Final = re.compile(rb"\s*+(?:(?!api_key=|e=%5B%7B)[\w.$-]++=[^&\s]*+&)*+(?:api_key=|e=%5B%7B)")
"""What the older HTTP API and Identify are posted with, and by the older JavaScript SDK."""


def encoding(payload: bytes) -> str | None:
    """UTF-16 or UTF-32 by a mark, or by the NULs in the first two characters of JSON; None for all else."""
    found = _ENCODING.match(payload)
    return found and found.lastgroup and found.lastgroup.replace("_", "-")


_BEGINS, _NEXT = rb"[{\[]", rb"[\s\"{}\[\]]"
_ENCODING: Final = re.compile(
    rb"(?P<UTF_32>\xff\xfe\0\0|\0\0\xfe\xff|(?:\s\0{3})*+%b\0\0\0%b\0\0\0|(?:\0{3}\s)*+\0\0\0%b\0\0\0%b)"
    rb"|(?P<UTF_16>\xff\xfe|\xfe\xff|(?:\s\0)*+%b\0%b\0|(?:\0\s)*+\0%b\0%b)" % ((_BEGINS, _NEXT) * 4)
)


def without_keys(shown: str) -> str:
    """A text without what may be a key of Amplitude's, 32 hexadecimal digits: details are for many eyes."""
    return _KEY.sub("…", shown)


_KEY: Final = re.compile("(?<![0-9a-fA-F])[0-9a-fA-F]{32}(?![0-9a-fA-F])")


def may_be_deep(payload: bytes) -> bool:
    """Whether there are brackets enough for more than `MAX_DEPTH` levels."""
    # half of the time that two bytes.count take
    return 2 * len(payload) - len(payload.replace(b"{", b"")) - len(payload.replace(b"[", b"")) > MAX_DEPTH


def deep(payload: bytes) -> bool:
    """Whether objects and arrays lie in each other more than `MAX_DEPTH` levels deep, in bytes that are JSON.

    Counts brackets and builds no values: a record may hold millions of empty arrays.
    """
    shape = payload.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_STEPS, _NO_SHAPE).replace(b'""', b"")
    outside_of_strings = b"".join(shape.split(b'"')[::2])
    return max(accumulate(memoryview(outside_of_strings).cast("b")), default=0) > MAX_DEPTH


_STEPS: Final = bytes.maketrans(b"{[]}", b"\x01\x01\xff\xff")  # one up, one down
_NO_SHAPE: Final = bytes(sorted(set(range(256)) - set(b'{[]}"')))


def _parse(text: str, repairs: set[str]) -> tuple[Any, list[tuple[str, Any]]]:
    """The value, and the pairs of the outermost object. Raises ValueError and RecursionError as `json` does."""
    if text.startswith("\ufeff"):
        msg = "Unexpected byte order mark"
        raise json.JSONDecodeError(msg, text, 0)
    reading = _reading
    reading.last, reading.repairs = [], repairs
    value = reading.decode(_with_whole_characters(text, repairs))
    return value, reading.last


class _Reading(threading.local):
    """A decoder for each thread, which is long in the making: what it has met in the record at hand."""

    def __init__(self) -> None:
        self.last: list[tuple[str, Any]] = []
        self.repairs: set[str] = set()
        self.decode = json.JSONDecoder(
            object_pairs_hook=self._keep, parse_int=_integer, parse_float=raw, parse_constant=self._no_number
        ).decode

    def _keep(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.last = pairs  # objects end inside out: the last one is the outermost
        known = dict(pairs)
        if len(known) < len(pairs):
            self.repairs.add(Repair.DUPLICATE_FIELD)
        return known

    def _no_number(self, _: str) -> None:
        self.repairs.add(Repair.NAN_TO_NULL)


def _integer(digits: str) -> int | msgspec.Raw:
    """An int64 as such; beyond it the spelling, which no type has to hold."""
    number = int(digits) if len(digits) <= 20 else None
    return number if number is not None and -(2**63) <= number < 2**63 else raw(digits)


def raw(number: str) -> msgspec.Raw:
    """A number by its spelling."""
    return msgspec.Raw(number.encode())


_reading: Final = _Reading()


def finite(number: msgspec.Raw) -> float | None:
    """The value of a number that is kept by its spelling; None when no double holds it."""
    value = float(bytes(number))
    return value if isfinite(value) else None


def without_nul(text: str) -> str:
    r"""JSON text without the escape `\u0000`, which Postgres refuses (§8.3)."""
    return _ESCAPE.sub(lambda escape: "" if escape["nul"] else escape[0], text)


_HIGH, _LOW = r"u[dD][89abAB][0-9a-fA-F]{2}", r"u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rf"\\(?:{_HIGH}\\{_LOW}|(?P<lone>{_HIGH}|{_LOW})|(?P<nul>u0000)|.)", re.DOTALL)


def _with_whole_characters(text: str, repairs: set[str]) -> str:
    r"""Half an escaped emoji becomes `\ufffd`, for it has no UTF-8 (§8.3). NULs are seen; the row drops them."""
    if "\\u" not in text:
        return text

    def mended(escape: re.Match[str]) -> str:
        if escape["lone"]:
            repairs.add(Repair.SURROGATE_REPLACED)
            return r"\ufffd"
        if escape["nul"]:
            repairs.add(Repair.NUL_REMOVED)
        return escape[0]

    return _ESCAPE.sub(mended, text)
