"""The values in a text: objects alone, in a row, in lines and in arrays, whatever people put between them.

A text is read by segments: a line, with those behind it that begin no value of their own. An object that cannot
be read ends where its brackets close, or before one that begins like it; what else cannot be read is one span up
to the next segment. So what is bad takes no good one with it, and no byte is parsed over and over.
"""

import json
import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from udfs import unread
from udfs.model import MAX_PAYLOAD_BYTES, Reason, Rejection
from udfs.text import BLANK, BOM, MAX_BYTES, MAX_DEPTH, TOO_DEEP, encoding, skip

_ENDS: Final = rb"\n|\r|\x0b|\x0c|\x1e|\xe2\x80\xa8|\xe2\x80\xa9|\xc2\x85"  # of a line
# a row of ends is tried once, at its first; behind its last none may stand, or a row would be read anew for each.
# Each alternative begins with a letter, which `re` seeks six times as fast as what looks back first
_FIRST_END: Final = b"|".join(
    end + (rb"(?<![\n\r\x0b\x0c\x1e]%b)" % end if len(end) < 5 else b"") for end in _ENDS.split(b"|")
)
_SEGMENT: Final = re.compile(
    rb"(?:%b)(?:%b)*+(?P<indent>[ \t]*+)"
    rb"(?:[ \t,;|\0]++|%b)*+(?=[{\[]|\x1f\x8b\x08|PK\x03\x04|\xf3\x89\x9a\xc2)" % (_FIRST_END, _ENDS, BLANK)
)
_BEGINS: Final = (b"{", b"[", b"\x1f\x8b\x08", b"PK\x03\x04", b"\xf3\x89\x9a\xc2")  # what a segment may begin with
_LINE_END: Final = re.compile(_ENDS)
_WORD: Final = re.compile(rb"[^\s\0,;|\[\]{}\"]++")  # a number, true, null, or what should be one
# words in an array, none of which can be packed
_ROW: Final = re.compile(rb"(?:[!#-+\--:<-Z^-z~]++[ \t\n\r,;|]++)++")
_TO_BLANKS: Final = bytes.maketrans(b",;|", b"   ")
_BEHIND: Final = b" \t\r\n,;|\x1e\0"
_AFTER_BRACKETS: Final = b'"{}[] \t\r\n,'
_BRACKETS: Final = {ord("["): 1, ord("]"): -1}
_LZMA: Final = b"]\0\0"  # an archive begins like this, and an array may end so before NULs
_DATA: Final = {line + b"data:": line + b"     " for line in (b"\n", b"\r", BOM)}
# all of its line is text: bytes of an envelope may look like the beginning of a field
_FIELD: Final = (
    rb"(?:event|id|retry)?+:"
    rb"(?:[\t -~]++|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*+(?=[\n\r]|\Z)"
)
_INSET: Final = re.compile(rb"[\n\r]([ \t]*+)[^ \t\n\r]")
_FIELD_END: Final = re.compile(rb"[\n\r]")
_FIELDS: Final = re.compile(rb"(?:\n|\r|%b)%b(?:[\n\r]++%b)*+" % (BOM, _FIELD, _FIELD))
_MOST_FIELDS: Final = 300_000  # rows of them, and one more for each 128 bytes: more than the events that are taken
_OBJECT: Final = re.compile(rb'\{[ \t\n\r]*+["}]')
_BEGINNING: Final = re.compile(rb'\{\s*+"[^"\\]{1,100}"')  # an object's, with its first key
_KEY: Final = re.compile(rb'"[^"\\]{1,100}"\s*+:')  # the rest of an object begins so, whose beginning is lost
# the next bracket of JSON, however broken it is; or a quote where a string does not end as one has to
_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+"(?=\s*+[,:}\]]))*+[{}\[\]"]', re.DOTALL)
_CLOSING: Final = {ord("{"): ord("}"), ord("["): ord("]")}
_BEFORE: Final = {ord("}"): b":", ord("]"): b"[,"}  # what may be before a bracket in an object, in an array
_VALUES: Final = (b":", b"[")  # what stands before a value that is no record
_SHORT: Final = 4096
_GLANCE: Final = 100  # bytes before something in which its separator is sought
_FAR: Final = 2**16
_CUT: Final = 17  # letters at the end of what is read, whose fault may be that they are cut
_DEEP: Final = 10 * MAX_DEPTH
_MOST_PIECES, _LONGEST = 10_000, MAX_PAYLOAD_BYTES // 2
"""What one span may hold of broken values: a dead letter is to keep all of its bytes."""
_COST, _COST_OF_LONG = 4, 1.25
"""How often its own size a text may cost in vain, when values are sought beyond their segments.

Sound values cost once at most, and an eighth; a long text may cost `_MORE` bytes beyond that.
"""
_MORE: Final = 8 * 2**20


class Span(NamedTuple):
    """A stretch of a text; `whole` when it is a value, else nobody can read it.

    It may hold several `pieces` that nobody can read, with the `fault` that says so.
    """

    begin: int
    end: int
    whole: bool
    pieces: int = 1
    fault: Rejection | None = None


class Patience:
    """How many more values of a record that are broken, or no objects, are told apart; a long one is several."""

    def __init__(self, values: int) -> None:
        self.left = values * _BROKEN

    def lose(self, brackets: int, size: int) -> None:
        """Count a broken value of so many bytes, in which so many brackets were read."""
        self.left -= _BROKEN + brackets + size // 16


_BROKEN: Final = 64
"""Brackets that take as long to read as a broken value takes in all, without its brackets."""


def plain(payload: bytes) -> bytes:
    """Of server-sent events the data in their places, blanks for all else; any other bytes as they are.

    A text is one of events when a line of it begins with `data:`. So a value may go on over several such lines.
    """
    if b"data:" not in payload:  # one search, for nearly all texts
        return payload
    if not payload.startswith(b"data:") and not any(data in payload for data in _DATA):
        return payload
    text = b"\n" + payload
    for data, blanks in _DATA.items():
        text = text.replace(data, blanks)
    return _FIELDS.sub(_ends, text, _MOST_FIELDS + len(text) // 128)[1:]


def _ends(fields: re.Match[bytes]) -> bytes:
    return b"\n" * len(fields[0])


def is_json(payload: bytes, at: int) -> bool:
    """Whether a bracket of JSON stands here: bare deflate may begin with one, but hardly with what follows it."""
    return payload.startswith((b"{", b"[", b"]"), at) and (
        payload[at + 1 : at + 2] in _AFTER_BRACKETS or payload[at + 1 : at + 9].isascii()
    )


def line_ends(payload: bytes, begin: int, end: int) -> bool:
    """Whether an end of a line stands between the two places."""
    return _LINE_END.search(payload, begin, end) is not None


def line_end(payload: bytes, at: int) -> int:
    """Where the line ends that this place is in."""
    found = _FIELD_END.search(payload, at)
    return found.start() if found else len(payload)


class Text:
    """A text while it is read: every object, every value of its arrays, and what stands between and is neither.

    `at` is the place up to which it was read. `packed` tells whether something that is no text begins
    at its second place, or among the blanks from the first place on: then the reading pauses at the first, and
    goes on from where `at` is put. `payload` is what `plain` gives; `step` counts brackets. Beyond the `patience`
    broken values in a row are one span, and whole ones are sought where a line begins, or an object with the same
    first key. What is broken also ends at each of the `seams`.
    """

    def __init__(
        self,
        payload: bytes,
        packed: Callable[[int, int], bool],
        step: Callable[[], None],
        patience: Patience,
        seams: Sequence[int] = (),
    ) -> None:
        self.payload, self.packed, self.step, self.patience, self.seams = payload, packed, step, patience, seams
        self.at = 0
        self._arrays = self._lowest = self._levels = 0  # arrays open, the fewest ever, those to be held deep
        self._readable, self._deep = True, False
        self._begin = self._end = self._begins_at = self._indent = 0  # the segment at hand
        self._set_in: bool | None = None
        self._last = _last(payload)
        self._spelled, self._ahead = "", _FAR
        self._whole: int | None = None  # where the last sound object begins
        self._first = b""  # how the last broken object began; where its first key is cut, the last sound one
        # each is one piece, whatever in it looks like ends of lines
        self._encoded, self._compressed = encoding(payload) is not None, unread.named(payload) is not None
        # what may still be read of what stands behind it
        self._room = _SHORT + min(_COST * len(payload), _COST_OF_LONG * len(payload) + _MORE)

    def spans(self) -> Iterator[Span]:
        """What is still to be read, piece by piece."""
        if self._encoded or self._compressed:
            begin, self.at = 0 if self._encoded else self.at, len(self.payload)
            self._encoded = self._compressed = False
            yield Span(begin, self.at, False)
        before, self.at = self.at, skip(self.payload, self.at)
        while self.at < len(self.payload):
            if self._is_packed(before, self.at):
                self.at = before
                return
            step = _BRACKETS.get(self.payload[self.at])
            if step and not (self.payload.startswith(_LZMA, self.at) and unread.named(self.payload, self.at)):
                self._bracket(step, before)
            else:
                span = self._span(self.at)
                self._readable = self._readable and span.whole
                self.at = span.end
                if self.patience.left >= 0 or self._is_object(span):
                    yield span
                else:
                    yield from self._joined(span)
            before, self.at = self.at, skip(self.payload, self.at)

    def become(self, payload: bytes) -> None:
        """Go on in other bytes of the same length, which are the same up to `at`."""
        self.payload = payload
        self._last = _last(payload)
        self._spelled, self._end = "", self.at

    def fault(self) -> Rejection | None:
        """What is wrong with the brackets of all that was read; what stands between them is found for all that."""
        if self._deep:
            return TOO_DEEP
        if not self._readable or not (self._arrays or self._lowest):
            return None
        what = "an array breaks off" if self._arrays > 0 else "a bracket closes no array"
        return Rejection(Reason.INVALID_JSON, f"{what}, at byte {self.at:,}")

    def _is_packed(self, begin: int, at: int) -> bool:
        return not is_json(self.payload, at) and self.packed(begin, at)

    def _joined(self, first: Span) -> Iterator[Span]:
        """What is no object here and right behind it, as one span; then the object that ends it, if one does."""
        end, pieces, words, whole = first.end, 1, int(first.whole), None
        while pieces < _MOST_PIECES and end - first.begin < _LONGEST:
            at = skip(self.payload, end)
            if self._arrays > 0 and (row := _ROW.match(self.payload, at, min(at + _SHORT, self._end))):
                inside = len(row[0].translate(_TO_BLANKS).split())
                end, pieces, words = at + len(row[0].rstrip(_BEHIND)), pieces + inside, words + inside
                continue
            if at == len(self.payload) or self.payload[at] in _BRACKETS or self._is_packed(end, at):
                break
            span = self._span(at)
            if self._is_object(span):
                whole = span
                break
            end, pieces, words = span.end, pieces + 1, words + span.whole
        yield Span(first.begin, end, False, pieces, _together(pieces, words, end - first.begin))
        self.at = end
        if whole:
            self.at = whole.end
            yield whole

    def _is_object(self, span: Span) -> bool:
        return span.whole and self.payload.startswith(b"{", span.begin)

    def _bracket(self, step: int, before: int) -> None:
        """Pass a bracket. One that begins a line begins the levels anew: arrays of earlier lines may be cut."""
        self.step()
        self._arrays += step
        self._lowest = min(self._lowest, self._arrays)
        begins = step > 0 and line_ends(self.payload, before, self.at)
        self._levels = 1 if begins else max(0, self._levels + step)
        self.at += 1
        if self._levels > MAX_DEPTH:  # no more of this line
            self._deep, self._levels = True, 0
            line = _SEGMENT.search(self.payload, self.at, self._last)
            self.at = line.start() if line else len(self.payload)

    def _span(self, at: int) -> Span:
        """What begins here: a value, or all that is left of the segment."""
        if at >= self._end:
            self._enter(at)
            line = self.payload[at : self._end].rstrip(_BEHIND)
            if line.startswith(b"{") and _is_one(line):
                self._whole = at
                return Span(at, at + len(line), True)
            self._begin, self._spelled = at, ""
        if end := self._value_end(at, in_array=self._arrays > 0):
            if self.payload.startswith(b"{", at):
                self._whole = at
            else:
                self.patience.lose(1, end - at)
            return Span(at, end, True)
        begins = self.payload.startswith(b"{", at) or _KEY.match(self.payload, at)
        if not self._first and self.payload.startswith(b"}", at):  # one too many behind a sound object
            self._begun(at)
        end, brackets = self._broken_end(at) if begins else (self._alike(at, at + 1), 0)
        self.patience.lose(brackets, end - at)
        return Span(at, at + len(self.payload[at:end].rstrip(_BEHIND)), False)

    def _value_end(self, at: int, *, in_array: bool) -> int | None:
        """Where the value that begins here ends: in its segment, or in what stands behind that."""
        is_text = in_array and self.payload.startswith(b'"', at) and not _KEY.match(self.payload, at)
        if not _OBJECT.match(self.payload, at) and not is_text:
            word = _WORD.match(self.payload, at) if in_array else None  # which begins with no bracket
            return word and word.end()
        spelled_to = self._begin + len(self._spelled)
        if at > spelled_to - _SHORT and spelled_to < self._end:
            size = min(self._end - at + _CUT, self._ahead, MAX_BYTES)
            self._begin, self._spelled = at, self._spelling(at, size)
        found, known = _read(self._spelled, at - self._begin), self._begin + len(self._spelled) - at
        if found.broken:  # an error counts the lines from the beginning of what is spelled
            self._begin, self._spelled, self._ahead = at, "", _SHORT
            return None
        self._ahead = min(2 * self._ahead, _FAR)
        length = self._length_beyond(at, known) if found.length is None else found.length
        return None if length is None else at + length

    def _length_beyond(self, at: int, known: int) -> int | None:
        """How long the value is that is longer than what is `known`, sought ever further.

        None when it is broken, or the text has cost too much.
        """
        while self._room >= 0 and known < min(MAX_BYTES, len(self.payload) - at):
            known = min(max(8 * known, _SHORT), MAX_BYTES)
            found = _read(self._spelling(at, known), 0)
            if found.length is not None:
                return found.length
            self._room -= found.cost
            if found.broken:
                break
        return None

    def _broken_end(self, at: int) -> tuple[int, int]:
        """Where the reading goes on behind an object that cannot be read: it may have lost brackets or quotes.

        Gives also how many brackets were read.
        """
        set_in = self._is_set_in()
        # else the brackets are read that the patience allows: nothing in them is taken
        if self.patience.left < 0 or (self._room < 0 and set_in):
            return self._alike(at, self._begun(at)), 0
        limit = min(at + _FAR, len(self.payload)) if set_in else len(self.payload)
        closed, stopped, brackets, deep = _closed(self.payload, at, limit)
        self._begun(at, stopped)
        if closed:
            return stopped, brackets
        if not set_in:
            self._extend(at, stopped)
        end = self._end if deep else self._alike(at, stopped)
        self._room -= max(0, stopped - end)
        return end, brackets

    def _begun(self, at: int, stopped: int | None = None) -> int:
        """Keep how the object begins that is broken at a place; gives where what is kept ends."""
        found = _BEGINNING.match(self.payload, at, self._end)
        if found and found.end() <= (stopped or found.end()):
            self._first = found[0]
        elif self.payload.startswith((b"{", b"}"), at):
            last = _BEGINNING.match(self.payload, self._whole) if self._whole is not None else None
            self._first = last[0] if last else b'{"'
        return found.end() if found else at + 1

    def _is_set_in(self) -> bool:
        """Whether all lines of the segment are set in further than its first, and there are some.

        Then a line that is not stands in none of its objects, even if these are cut.
        """
        if self._set_in is None:
            insets = [len(line[1]) for line in _INSET.finditer(self.payload, self._begins_at, self._end)]
            self._set_in = bool(insets) and min(insets) > self._indent
        return self._set_in

    def _extend(self, at: int, stopped: int) -> None:
        """Let the segment go on to where the brackets of the object that begins here are none of JSON's."""
        seam = self._seam(at)
        for line in _SEGMENT.finditer(self.payload, self._end, min(self._last, seam)):
            begin, set_in = line.end(), len(line["indent"]) > self._indent
            is_inside = begin < stopped or set_in or (begin > stopped and self._is_inside(at, begin))
            if self.payload[begin] not in b"{[" or not is_inside:
                self._end = line.start()
                return
        self._end = seam

    def _is_inside(self, at: int, begin: int) -> bool:
        """Whether JSON allows what begins a line in the object that is broken, and it does not begin like that."""
        before = self._before(at, begin)
        return before in _VALUES or (before == b"," and not self.payload.startswith(self._first, begin))

    def _before(self, at: int, begin: int) -> bytes:
        return self.payload[max(at, begin - _GLANCE) : begin].rstrip()[-1:]

    def _seam(self, at: int) -> int:
        """Where the next seam is; the end of the text if there is none."""
        seam = bisect(self.seams, at)
        return self.seams[seam] if seam < len(self.seams) else len(self.payload)

    def _alike(self, at: int, behind: int) -> int:
        """Where an object begins in the segment like the last broken one, and is no value in it; or its end."""
        while self._first and (behind := self.payload.find(self._first, behind, self._end)) > 0:
            before = self._before(at, behind)
            if before not in _VALUES:
                return behind
            array = self.payload.rindex(b"[", at, behind) if before == b"[" else behind
            behind += 1
            if self.patience.left >= 0:
                inside = _closed(self.payload, array, self._end)
                self.patience.left -= inside.brackets
                behind = max(behind, inside.at)
        return self._end

    def _spelling(self, at: int, size: int) -> str:
        # each byte is a character in its own place, whatever the encoding: JSON's own marks are ASCII
        return self.payload[at : at + size].decode("latin-1")

    def _enter(self, at: int) -> None:
        """Begin a segment: it ends before the next line that begins a value, set in no further than this one."""
        before = self.payload[self._end : at]
        self._indent = indent = len(before) - len(before.rstrip(b" \t["))
        self._begins_at, self._set_in = at, None
        self._end = self._seam(at)
        for line in _SEGMENT.finditer(self.payload, at, min(self._last, self._end)):
            if len(line["indent"]) <= indent:
                self._end = line.start()
                return


def _together(pieces: int, words: int, size: int) -> Rejection:
    """What is wrong with values in a row, of which some may be whole, but no objects."""
    what = "broken value" if not words else "word or broken value"
    detail = f"{pieces:,} {what}{'s' * (pieces > 1)} in {size:,} bytes"
    reason = Reason.NOT_AN_OBJECT if words == pieces else Reason.INVALID_JSON
    return Rejection(reason, f"{detail}: the record has too many for a dead letter each")


def _last(payload: bytes) -> int:
    """Where the last mark ends that a segment may begin with: no segment is sought behind it."""
    return max(payload.rfind(mark) + len(mark) for mark in _BEGINS)


def _is_one(line: bytes) -> bool:
    """Whether the bytes are one value of strict JSON: quick, and builds nothing."""
    try:
        _raw(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class _Closed(NamedTuple):
    """Whether the brackets of an object close, and where; else where they are no JSON's. How many were read."""

    closed: bool
    at: int
    brackets: int
    deep: bool = False


def _closed(payload: bytes, at: int, limit: int) -> _Closed:
    """How the brackets of the object go on that begins here."""
    open_ones = bytearray(b"}" if payload.startswith(b'"', at) else b"")
    behind, brackets = at, 0
    while found := _BRACKET.match(payload, behind, limit):
        begin, behind, brackets = behind, found.end(), brackets + 1
        mark = payload[behind - 1]
        if closing := _CLOSING.get(mark):
            if open_ones and payload[max(at, begin - 1) : behind - 1].rstrip()[-1] not in _BEFORE[open_ones[-1]]:
                return _Closed(False, behind - 1, brackets)
            open_ones.append(closing)
            if len(open_ones) > _DEEP:  # the parser gave up on it, and its brackets close nowhere near
                return _Closed(False, behind - 1, brackets, deep=True)
        elif open_ones.pop() != mark:  # a quote is no bracket's end
            return _Closed(False, behind - 1, brackets)
        elif not open_ones:
            return _Closed(True, behind, brackets)
    return _Closed(False, limit, brackets)


class _Read(NamedTuple):
    """How long a value is; of none, whether it is broken: else it may go on behind the text that was given."""

    length: int | None
    broken: bool = False
    cost: int = 0


def _read(spelled: str, at: int) -> _Read:
    """The JSON value that begins here."""
    try:
        return _Read(_decoder.raw_decode(spelled, at)[1] - at)
    except json.JSONDecodeError as error:
        # a string without an end is told by its beginning, a word or an escape by a few characters
        if error.pos <= len(spelled) - _CUT and not error.msg.startswith("Unterminated"):
            return _Read(None, broken=True, cost=error.pos - at)
        return _Read(None, cost=len(spelled) - at)
    except RecursionError:
        return _Read(None, broken=True, cost=len(spelled) - at)


_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode
_decoder: Final = json.JSONDecoder(parse_int=str, parse_float=str)
