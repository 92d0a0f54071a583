"""The values in a text: objects alone, in a row, in lines and in arrays, whatever people put between them.

A text is read by segments: a line, with those behind it that begin no value of their own. What cannot be read is
one span up to the next segment: a bad line takes no good one with it, and no byte is parsed over and over.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from udfs.model import Reason, Rejection
from udfs.text import MAX_BYTES, MAX_DEPTH, TOO_DEEP

# what stands between values: blanks, commas, ends of lines (also U+0085, U+2028, U+2029), record separators
# (RFC 7464), padding, byte order marks
_SKIPPED: Final = re.compile(rb"(?:[\t-\r ,\x1e\0]|\xef\xbb\xbf|\xe2\x80[\xa8\xa9]|\xc2\x85)*+")
_SEGMENT: Final = re.compile(
    rb"(?:[\n\r\x0b\x0c\x1e]|\xe2\x80[\xa8\xa9]|\xc2\x85)(?P<indent>[ \t]*+)"
    rb"(?:[ \t,\x1e\0]|\xef\xbb\xbf)*+(?=[{\[])"
)
_WORD: Final = re.compile(rb"[^\s\0,\[\]{}\"]++")  # a number, true, null, or what should be one
_BEHIND: Final = b" \t\r\n,\x1e\0"
_BRACKETS: Final = {ord("["): 1, ord("]"): -1}
_SHORT: Final = 4096
_COST: Final = 4
"""How often its own size a text may cost in vain, when values are sought beyond their segments."""


class Span(NamedTuple):
    """A stretch of a text; `whole` when it is a value, else nobody can read it."""

    begin: int
    end: int
    whole: bool


class UnevenError(Exception):
    """The text's brackets do not match, or are too many; what stands between them was found all the same."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


def skip(payload: bytes, at: int = 0) -> int:
    """Where the next value begins, or what should be one."""
    return _SKIPPED.match(payload, at).end()  # type: ignore[union-attr]


def spans(payload: bytes) -> Iterator[Span]:
    """Every object of the text, every value of its arrays, and what stands between and is neither.

    Raises UnevenError behind the last one, or where arrays lie in each other too deep.
    """
    text, depth, lowest, readable = _Text(payload), 0, 0, True
    at = skip(payload)
    while at < len(payload):
        if step := _BRACKETS.get(payload[at]):
            depth += step
            lowest = min(lowest, depth)
            if depth > MAX_DEPTH:
                raise UnevenError(TOO_DEEP)
            at = skip(payload, at + 1)
        else:
            span = text.span(at, in_array=depth > 0)
            readable = readable and span.whole
            yield span
            at = skip(payload, span.end)
    if readable and (depth or lowest):
        what = "an array breaks off" if depth > 0 else "a bracket closes no array"
        raise UnevenError(Rejection(Reason.INVALID_JSON, f"{what}, at byte {len(payload):,}"))


class _Text:
    """A text while it is read: the segment at hand, and what may still be read of what stands behind it."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.begin = self.end = 0
        self.spelled = ""
        self.room = _SHORT + _COST * len(payload)

    def span(self, at: int, *, in_array: bool) -> Span:
        """What begins here: a value, or all that is left of the segment."""
        if at >= self.end:
            self._enter(at)
            line = self.payload[at : self.end].rstrip(_BEHIND)
            if line.startswith(b"{") and _is_one(line):
                return Span(at, at + len(line), True)
            self.begin, self.spelled = at, self._spelled(at, min(self.end - at, MAX_BYTES))
        end = self._value_end(at, in_array=in_array)
        return Span(at, end or at + len(self.payload[at : self.end].rstrip(_BEHIND)), end is not None)

    def _value_end(self, at: int, *, in_array: bool) -> int | None:
        """Where the value that begins here ends: in its segment, or in what stands behind that."""
        if not self.payload.startswith((b"{", b'"') if in_array else b"{", at):
            word = _WORD.match(self.payload, at) if in_array else None
            return word and word.end()
        length = None
        if at - self.begin < len(self.spelled):
            length = _read(self.spelled, at - self.begin).length
        if length is None and self.begin + len(self.spelled) < len(self.payload):
            length = self._length_beyond(at)
        return None if length is None else at + length

    def _length_beyond(self, at: int) -> int | None:
        """How long the value is, sought ever further; None when it is broken, or the text has cost too much."""
        size = min(_SHORT, MAX_BYTES)
        while self.room >= 0:
            spelled = self._spelled(at, size)
            found = _read(spelled, 0)
            if found.length is not None:
                return found.length
            self.room -= len(spelled)
            if found.broken or size >= MAX_BYTES or at + size >= len(self.payload):
                break
            size = min(8 * size, MAX_BYTES)
        return None

    def _spelled(self, at: int, size: int) -> str:
        # each byte is a character in its own place, whatever the encoding: JSON's own marks are ASCII
        return self.payload[at : at + size].decode("latin-1")

    def _enter(self, at: int) -> None:
        """Begin a segment: it ends before the next line that begins a value, set in no further than this one."""
        before = self.payload[self.end : at]
        indent = len(before) - len(before.rstrip(b" \t["))
        found = (line.start() for line in _SEGMENT.finditer(self.payload, at) if len(line["indent"]) <= indent)
        self.end = next(found, len(self.payload))


def _is_one(line: bytes) -> bool:
    """Whether the bytes are one value of strict JSON: quick, and builds nothing."""
    try:
        _raw(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class _Read(NamedTuple):
    """How long a value is; of none, whether it is broken: else it may go on behind the text that was given."""

    length: int | None
    broken: bool = False


def _read(spelled: str, at: int) -> _Read:
    """The JSON value that begins here."""
    try:
        return _Read(_decoder.raw_decode(spelled, at)[1] - at)
    except json.JSONDecodeError as error:
        # a string without an end is told by its beginning, a word or an escape that is cut by a few characters
        return _Read(None, error.pos < len(spelled) - 16 and not error.msg.startswith("Unterminated"))
    except RecursionError:
        return _Read(None, broken=True)


_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode
_decoder: Final = json.JSONDecoder(parse_int=str, parse_float=str)
