"""Records that hold several: found by their first bytes or their form, opened within limits.

gzip, zip (as the Export API gives it: a zip of gzips), KPL aggregates, arrays, NDJSON and concatenated
objects; the binary ones in each other too. Whatever can be read comes out as a part; what cannot is one more
part for each reason, and holds the whole envelope: a bad tail never takes the good heads with it.
"""

import json
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from hashlib import md5
from typing import Final, NamedTuple

from udfs import inflate
from udfs.model import Reason, Rejection
from udfs.text import BLANKS, BOM, MAX_BYTES, TOO_DEEP


class Form(StrEnum):
    """What an envelope is."""

    GZIP = "gzip"
    ZIP = "zip"
    KPL = "kpl"
    ARRAY = "array"
    LINES = "lines"
    SEQUENCE = "sequence"


class Limits(NamedTuple):
    """How far one record is opened: bytes in all, bytes for each one compressed, parts, levels."""

    opened_bytes: int = 64 * 2**20
    ratio: int = 200
    parts: int = 100_000
    levels: int = 4


class Part(NamedTuple):
    """A record out of an envelope; with a `fault` the whole envelope, because not all of it could be read."""

    payload: bytes
    fault: Rejection | None = None


_MAGIC: Final = {
    Form.GZIP: (inflate.GZIP,),
    Form.ZIP: (inflate.FILE, inflate.END),
    Form.KPL: (b"\xf3\x89\x9a\xc2",),
}
_SMALL: Final = 2**20  # what any envelope may hold, however well it is compressed


def form(payload: bytes) -> Form | None:
    """What envelope the bytes are; None when they are one record or nothing readable."""
    return _binary(payload) or _text(payload)


def unpack(payload: bytes, limits: Limits = Limits()) -> Iterator[Part]:  # noqa: B008
    """The parts of an envelope in their order, never none; lazily, so that few lie in memory at a time."""
    opening = _Opening(limits, min(limits.opened_bytes, max(_SMALL, len(payload) * limits.ratio)))
    found = False
    for part in opening.parts_of(payload, 0):
        found = True
        yield part
    if not found and not opening.faults:
        opening.note(Rejection(Reason.EMPTY, f"{form(payload)} that holds nothing"))
    for reason, (detail, times) in opening.faults.items():
        yield Part(payload, Rejection(reason, detail if times == 1 else f"{detail}; {times - 1:,} more like it"))


class _FaultError(Exception):
    """An envelope that cannot be read further."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, detail)


class _Opening:
    """What is left of the limits while one record is opened, and what went wrong."""

    def __init__(self, limits: Limits, room: int) -> None:
        self.limits, self.room, self.parts_left = limits, room, limits.parts
        self.faults: dict[Reason, tuple[str, int]] = {}  # the first one's detail, and how many there are

    def note(self, fault: Rejection) -> None:
        """Remember what went wrong: one fault for each reason, for an envelope may hold thousands."""
        detail, times = self.faults.get(fault.reason, (fault.detail, 0))
        self.faults[fault.reason] = detail, times + 1

    def parts_of(self, payload: bytes, level: int) -> Iterator[Part]:
        """Whatever the bytes hold; on a fault what was read until then, and the fault is noted."""
        binary = _binary(payload)
        try:
            if binary is None:
                yield from self._limited(payload)
                return
            if level == self.limits.levels:
                raise _FaultError(Reason.ENVELOPE_TOO_DEEP, f"more than {level} envelopes in each other")
            for inner in _BINARY[binary](payload, self):
                yield from self.parts_of(inner, level + 1)
                if self.parts_left < 0:
                    return
        except _FaultError as fault:
            self.note(fault.rejection)

    def _limited(self, payload: bytes) -> Iterator[Part]:
        text = _text(payload)
        for inner in _TEXT[text](payload) if text else [payload]:
            self.parts_left -= 1
            if self.parts_left < 0:
                raise _FaultError(Reason.ENVELOPE_TOO_LARGE, f"more than {self.limits.parts:,} records")
            yield Part(inner)

    def take(self, compressed: int) -> int:
        """How many bytes may come out of so many compressed ones."""
        return min(self.room, max(_SMALL, compressed * self.limits.ratio))

    def taken(self, content: inflate.Content) -> Iterator[bytes]:
        """What came out of a file; then its fault is noted."""
        self.room -= content.size
        if content.size or not content.fault:
            yield content.data()
        if content.fault:
            self.note(content.fault)


def _binary(payload: bytes) -> Form | None:
    return next((form for form, magics in _MAGIC.items() if payload.startswith(magics)), None)


def _gzip(payload: bytes, opening: _Opening) -> Iterator[bytes]:
    yield from opening.taken(inflate.gunzip(payload, opening.take(len(payload))))


def _zip(payload: bytes, opening: _Opening) -> Iterator[bytes]:
    for content in inflate.unzip(payload, opening.take):
        yield from opening.taken(content)


def aggregated(payload: bytes) -> list[bytes] | None:
    """The records of a whole KPL aggregate; None for all else. The Kinesis connector opens these by itself."""
    try:
        return list(_user_records(payload)) if _binary(payload) is Form.KPL else None
    except _FaultError:
        return None


def _kpl(payload: bytes, _: _Opening) -> Iterator[bytes]:
    return _user_records(payload)


def _user_records(payload: bytes) -> Iterator[bytes]:
    """The user records of the KPL's format, `aggregation-format.md` of awslabs/amazon-kinesis-producer."""
    body, digest = payload[4:-16], payload[-16:]
    if len(payload) < 20 or md5(body, usedforsecurity=False).digest() != digest:
        raise _FaultError(Reason.KPL_INVALID, "the checksum of the aggregate is wrong")
    try:
        for number, record in _protobuf(body):
            if number == _KPL_RECORDS:
                yield from (data for field, data in _protobuf(record) if field == _KPL_DATA)
    except IndexError:
        raise _FaultError(Reason.KPL_INVALID, "the aggregate breaks off, or is no protobuf") from None


_KPL_RECORDS, _KPL_DATA = 3, 3


def _protobuf(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of a message's length-delimited fields. Raises IndexError where the bytes are no message.

    The protobuf library at hand (4.23, Beam's) ended the process with a segmentation fault on this format.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 2:
            length, start = _varint(message, at)
            at = start + length
            value = message[start:at]
            if at <= len(message):
                yield key >> 3, value
        elif key & 7 == 0:
            _, at = _varint(message, at)
        else:
            at += {1: 8, 5: 4}.get(key & 7, len(message) + 1)
        if at > len(message):
            raise IndexError


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that stands here, and where it ends."""
    number = shift = 0
    while shift < 64:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
    raise IndexError


_BINARY: Final[dict[Form, Callable[[bytes, _Opening], Iterator[bytes]]]] = {
    Form.GZIP: _gzip,
    Form.ZIP: _zip,
    Form.KPL: _kpl,
}


def _text(payload: bytes) -> Form | None:
    """An array by its bracket; several values by being no single one."""
    text = payload.removeprefix(BOM).lstrip(BLANKS)
    if text.startswith(b"["):
        return Form.ARRAY
    large = len(payload) > MAX_BYTES
    if _ANOTHER_LINE.search(text) and not _OTHER_LINE.search(text):
        return Form.LINES if large or _goes_on(text) is not False else None
    return Form.SEQUENCE if text.startswith(b"{") and not large and _goes_on(text) else None


# each line but the first begins an object; the first may be the rest of one that was cut
_ANOTHER_LINE: Final = re.compile(rb"\n[ \t\r]*+{")
_OTHER_LINE: Final = re.compile(rb"\n[ \t\r]*+[^{ \t\r\n]")
_LINE: Final = re.compile(rb"[^ \t\r\n][^\n]*")


def _goes_on(text: bytes) -> bool | None:
    """Whether more stands behind the first JSON value; None when there is no whole value."""
    readable, flaw = _readable(text)
    try:
        end = _decoder.raw_decode(readable)[1]
    except (ValueError, RecursionError):
        return None
    return flaw is not None or _skip(readable, end) < len(readable)


def _readable(payload: bytes) -> tuple[str, _FaultError | None]:
    """The text before the first byte that is not UTF-8."""
    try:
        return payload.decode(), None
    except UnicodeDecodeError as error:
        flaw = _FaultError(Reason.INVALID_UTF8, f"{error.reason} at byte {error.start}")
        return payload[: error.start].decode(), flaw


def _lines(payload: bytes) -> Iterator[bytes]:
    for line in _LINE.finditer(payload.removeprefix(BOM)):
        yield line[0].rstrip(BLANKS)


def _values(payload: bytes, *, array: bool) -> Iterator[bytes]:
    """The values of an array, or of a sequence with or without blanks between them, each as it is spelled."""
    if len(payload) > MAX_BYTES:
        raise _FaultError(Reason.TOO_LARGE, f"{len(payload):,} bytes that are not NDJSON")
    text, flaw = _readable(payload.removeprefix(BOM))
    try:
        at = _skip(text, _skip(text, 0) + array)
        if array and text.startswith("]", at):
            at, array = _skip(text, at + 1), False
        while at < len(text):
            start, at = at, _decoder.raw_decode(text, at)[1]
            yield text[start:at].encode()
            at = _skip(text, at)
            if array and text.startswith(",", at):
                at = _skip(text, at + 1)
            elif array and text.startswith("]", at):
                at, array = _skip(text, at + 1), False
            elif array:
                break
    except RecursionError:
        raise _FaultError(*TOO_DEEP) from None
    except ValueError as error:
        raise flaw or _FaultError(Reason.INVALID_JSON, str(error)) from None
    if array:
        flaw = flaw or _FaultError(Reason.INVALID_JSON, f"the array breaks off at character {at} of {len(text)}")
    if flaw:
        raise flaw


_decoder: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_BLANK: Final = re.compile(r"[ \t\r\n]*")


def _skip(text: str, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr]


_TEXT: Final[dict[Form, Callable[[bytes], Iterator[bytes]]]] = {
    Form.ARRAY: lambda payload: _values(payload, array=True),
    Form.LINES: _lines,
    Form.SEQUENCE: lambda payload: _values(payload, array=False),
}
