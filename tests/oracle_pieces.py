"""The values of a text, and what in it is none: the oracle's own way, with nothing but the standard library."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

BOM = b"\xef\xbb\xbf"
BLANKS = b" \t\r\n"
COMPRESSED = re.compile(
    rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18|BZh[1-9](?:1AY&SY|\x17rE8P\x90)|\xfd7zXZ\0|\x04\x22\x4d\x18|\x02\x21\x4c\x18"
    rb"|\xff\x06\0\0sNaPpY|\x82SNAPPY\0|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|LZIP[\0\1]|\x1f\x9d[\x80-\x9f]"
    rb"|\]\0\0(?:[\1\2\3\4\6\x08\x0c\x10\x18\x20\x30\x40\x60\x80\xc0]\0"
    rb"|\0[\1\2\3\4\6\x08\x0c\x10\x18\x20\x30\x40\x60\x80\xc0]|\x80\x01)"
    rb"(?:\xff{8}|.{4}[\0-\x3f]\0{3})\0|PAR[1E][\0-\x08\x0e-\x1f\x80-\xff]|Obj\x01|ORC[\0-\x08\x0e-\x1f\x80-\xff]"
    rb"|x(?:[\xbb\xf9]|[?}][ -~]{0,8}[\0-\x08\x0e-\x1f\x80-\xbf\xf5-\xff])",
    re.DOTALL,
)
"""zstd, bzip2, xz, LZ4, Snappy, 7z, RAR, lzip, compress, LZMA, Parquet, Avro, ORC, zlib with a dictionary."""
AROUND = re.compile(b"(?:[ \t\r\n\0]|\xef\xbb\xbf)*")
BLANK = "|".join(
    [*(one.encode().decode("latin-1") for one in "\ufeff\xa0\u1680\u202f\u205f\u2060\u3000")]
    + [chr(0x2000 + number).encode().decode("latin-1") for number in range(16)]
    + ["[\x01\x03\x1c\x1d]", "\x02(?!!L\x18)", "\x1f(?![\x8b\x9d\xa0])", r"\\[nrt]"]
)
ENCODED = re.compile(
    rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff|(?:\s\0)*[{\[]\0[\s\"{}\[\]]\0|(?:\s\0{3})*[{\[]\0{3}[\s\"{}\[\]]\0{3}"
    rb"|(?:\0\s)*\0[{\[]\0[\s\"{}\[\]]|(?:\0{3}\s)*\0{3}[{\[]\0{3}[\s\"{}\[\]]"
)
"""UTF-16 or UTF-32, of JSON."""
BETWEEN_TEXT = "(?:[\t-\r ,;|\x1e\0]++|\xe2\x80[\xa8\xa9]|\xc2\x85|data:(?=[ \t]*[{[])|" + BLANK + ")*+"
BETWEEN = re.compile(BETWEEN_TEXT.encode("latin-1"))
LINE_END = "(?:[\n\r\x0b\x0c\x1e]|\xe2\x80[\xa8\xa9]|\xc2\x85)"
NEXT_LINE = re.compile(
    LINE_END + "([ \t]*+)(?:[ \t,;|\0]|" + BLANK + ")*+([{[]|\x1f\x8b\x08|PK\x03\x04|\xf3\x89\x9a\xc2)"
)
SSE_REST = re.compile(
    rb"\A(?:event|id|retry)?:"
    rb"(?:[\t -~]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*\Z"
)
DECODER = json.JSONDecoder(parse_int=float, parse_float=float)
Piece: TypeAlias = tuple[int, int, bool]


def plain(data: bytes) -> bytes:
    """Server-sent events without the names of their fields, and without what is no data, all in its place."""
    if b"data:" not in data:
        return data
    lines = re.split(b"([\n\r]|\xef\xbb\xbf)", data)
    if not any(line.startswith(b"data:") for line in lines):
        return data
    return b"".join(
        b" " * 5 + line[5:] if line.startswith(b"data:") else SSE_REST.sub(lambda rest: b"\n" * len(rest[0]), line)
        for line in lines
    )


@dataclass(frozen=True)
class Fault:
    """Not all of the record could be read, for this reason; its dead letter holds the whole record."""

    reason: str


class Text:
    """A text, a character for each byte: its values, and what in it is none.

    What is none goes on to the next line that begins a value and is set in no further than the one where the
    reading of it began.
    """

    def __init__(self, data: bytes, is_packed: Callable[[bytes], bool], seams: Sequence[int] = ()) -> None:
        self.came, self.data, self.is_packed, self.seams = data, plain(data), is_packed, seams
        self.text = self.data.decode("latin-1")
        self.line_end = self.open = self.deep = self.begin = self.inset = 0
        self.uneven = self.too_deep = self.broken = False
        self.sound, self.first = -1, ""  # where the last sound object begins, and how the last broken one did

    def faults(self) -> list[Fault]:
        if self.too_deep:
            return [Fault("too_deep")]
        return [Fault("invalid_json")] if (self.uneven or self.open) and not self.broken else []

    def behind_envelope(self, at: int) -> None:
        """What stands in its line is no field of server-sent events, but data."""
        if self.data[at : at + 1] != self.came[at : at + 1]:
            line = re.compile(b"[^\n\r]*").match(self.came, at)
            self.data = self.data[:at] + line[0] + self.data[line.end() :]
            self.text, self.line_end = self.data.decode("latin-1"), at

    def pieces(self, at: int) -> tuple[list[Piece], int]:
        """Those from here on: begin, end, and whether it is a value; up to what is packed."""
        text, pieces, came_from = self.text, [], at
        if at == AROUND.match(self.data).end() and COMPRESSED.match(self.data, at):
            return [(at, len(text), False)], len(text)
        if ENCODED.match(self.data) and at < len(text):
            return [(0, len(text), False)], len(text)
        between = re.compile(BETWEEN_TEXT)
        while (at := between.match(text, at).end()) < len(text):
            if text[at] in "[]" and not COMPRESSED.match(self.data, at):
                at = self._bracket(at, new_line=re.search(LINE_END, text[came_from:at]) is not None)
            elif self.is_packed(self.came[at : at + 1024]):
                break
            else:
                end, whole = self._piece(at)
                pieces.append((at, end, whole))
                self.broken = self.broken or not whole
                at = end
            came_from = at
        return pieces, at

    def _bracket(self, at: int, new_line: bool) -> int:
        """Levels count by the line, for an array before it may be cut; of a line too deep no more is read."""
        step = 1 if self.text[at] == "[" else -1
        self.open += step
        self.uneven = self.uneven or self.open < 0
        self.deep = 1 if new_line and step == 1 else max(self.deep + step, 0)
        if self.deep <= 64:
            return at + 1
        self.too_deep, self.deep = True, 0
        following = NEXT_LINE.search(self.text, at + 1)
        return following.start() if following else len(self.text)

    def _piece(self, at: int) -> tuple[int, bool]:
        text = self.text
        if at >= self.line_end:
            before = text[self.line_end : at]
            self.inset = inset = len(before) - len(before.rstrip(" \t["))
            following = (line.start() for line in NEXT_LINE.finditer(text, at) if len(line[1]) <= inset)
            seams = (seam for seam in self.seams if seam > at)
            self.begin, self.line_end = at, min(next(following, len(text)), next(seams, len(text)))
        if end := _end_of_value(text, at, in_array=self.open > 0):
            self.sound = at if text[at] == "{" else self.sound
            return end, True
        is_object = text[at] == "{" or KEY.match(text, at)
        if text[at] == "}" and not self.first:
            self.first = self._sound_one()
        end = self._end_of_broken(at) if is_object else self._alike(at, at + 1)
        return at + len(text[at:end].rstrip(" \t\r\n,;|\x1e\0")), False

    def _end_of_broken(self, at: int) -> int:
        """Of an object that is no JSON: where its brackets close, or before the next that it can't hold."""
        place, how = _brackets(self.text, at)
        first = BEGINNING.match(self.text, at, self.line_end)
        if first and first.end() <= place:
            self.first = first[0]
        elif self.text[at] == "{":
            self.first = self._sound_one()
        if how == "closed":
            return place
        insets = [
            len(line) for line in re.findall("[\n\r]([ \t]*)[^ \t\n\r]", self.text[self.begin : self.line_end])
        ]
        if not insets or min(insets) <= self.inset:
            self._go_on(at, place)
        return self.line_end if how == "deep" else self._alike(at, place)

    def _go_on(self, at: int, place: int) -> None:
        """What begins before this place is in the object, unless it is packed, or of the next member.

        Behind it a line is, where JSON may have an object and none begins like this one.
        """
        seam = next((seam for seam in self.seams if seam > at), len(self.text))
        for line in NEXT_LINE.finditer(self.text, self.line_end, seam):
            begin, before = line.start(2), self._before(at, line.start(2))
            other = before == "," and not self.text.startswith(self.first, begin)
            inside = begin < place or len(line[1]) > self.inset
            inside = inside or (begin > place and (other or before in (":", "[")))
            if line[2] not in "{[" or not inside:
                self.line_end = line.start()
                return
        self.line_end = seam

    def _alike(self, at: int, place: int) -> int:
        """Where an object begins like the last broken one, and is in no array or object between."""
        while self.first and (place := self.text.find(self.first, place, self.line_end)) > 0:
            before = self._before(at, place)
            if before not in (":", "["):
                return place
            array = self.text.rindex("[", at, place) if before == "[" else place
            place = max(place + 1, _brackets(self.text[: self.line_end], array)[0])
        return self.line_end

    def _sound_one(self) -> str:
        sound = BEGINNING.match(self.text, self.sound) if self.sound >= 0 else None
        return sound[0] if sound else '{"'

    def _before(self, at: int, place: int) -> str:
        return self.text[at:place].rstrip(" \t\n\r\v\f")[-1:]


def _end_of_value(text: str, at: int, *, in_array: bool) -> int | None:
    """Outside of arrays only objects are values; in them also texts, and whatever stands between two commas."""
    if text[at] != "{" and not (in_array and text[at] == '"' and not KEY.match(text, at)):
        word = re.compile(r"[^ \t-\r\0,;|\[\]{}\"]+").match(text, at) if in_array else None
        return word.end() if word else None
    try:
        return DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def _brackets(text: str, at: int) -> tuple[int, str]:
    """Up to where the brackets of an object are those of JSON, and how they end there."""
    brackets, before, place = "{" if text[at] == '"' else "", "", at
    while place < len(text):
        mark = text[place]
        if mark == '"':
            string = STRING.match(text, place)
            if not string:
                break
            place = string.end() - 1
        elif mark in "{[":
            if brackets and before not in (":" if brackets[-1] == "{" else "[,"):
                break
            brackets += mark
            if len(brackets) > 640:
                return place, "deep"
        elif mark in "}]":
            if brackets[-1] + mark not in {"{}", "[]"}:
                break
            brackets = brackets[:-1]
            if not brackets:
                return place + 1, "closed"
        before = before if mark in " \t\n\r\v\f" else mark
        place += 1
    return place, "broken"


KEY = re.compile(r'"[^"\\]{1,100}"\s*:', re.ASCII)
BEGINNING = re.compile(r'\{\s*"[^"\\]{1,100}"', re.ASCII)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*[,:}\]])', re.DOTALL | re.ASCII)
