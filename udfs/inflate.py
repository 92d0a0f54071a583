"""gzip, zlib, deflate and zip: what comes out, as far as they can be read and never more than there is room for.

Not by `zipfile`: it begins at the directory, which stands at the end and so is cut off first, and it inflates
some methods without bounds (853 bytes of bzip2 took 2 GB).
"""

import re
import struct
import zlib
from bisect import bisect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from udfs.model import Reason, Rejection
from udfs.text import skip

GZIP: Final = b"\x1f\x8b"
FILE, END = b"PK\x03\x04", b"PK\x05\x06"
SPLIT: Final = (b"PK\x07\x08", b"PK00PK\x03\x04")
"""What a zip begins with that was split into several files, or was to be: a mark before its first file."""
_DIRECTORY, _DESCRIPTOR = b"PK\x01\x02", b"PK\x07\x08"
_END_64: Final = b"PK\x06\x06"
_AT_DESCRIPTOR, _AT_ENTRY = map(re.compile, (b"PK\x07\x08", b"PK\x01\x02"))
_AT_NEXT = re.compile(b"PK(?:\x03\x04|\x01\x02|\x05\x06)")
_HEADER, _ENTRY = struct.Struct("<6xHH4xIIIHH"), struct.Struct("<28xHHH12x")
_ENTRY_OF_FILE, _SIZES_64 = struct.Struct("<20xI4xH12xI"), struct.Struct("<12xQ")
_END_BYTES, _LOCATOR_BYTES = 22, 20
_STORED, _DEFLATED = 0, 8
_STEP: Final = 1024
LONGEST_NAME: Final = 200
_MOST_DESCRIPTORS: Final = 100_000


class Content:
    """What comes out of one file, and what is wrong with it."""

    def __init__(self, name: str, invalid: Reason, room: int) -> None:
        self.name, self.invalid, self.room = name, invalid, room
        self.fault: Rejection | None = None
        self.ends_here = False  # whether what stands behind is known to begin at its end, in spite of a fault
        self.full = False  # whether more would have come out
        self.begin = self.end = 0  # its place in what it was packed in, up to the fault if there is one
        self._out = BytesIO()

    @property
    def size(self) -> int:
        """How many bytes came out."""
        return self._out.tell()

    def data(self) -> bytes:
        """What came out."""
        return self._out.getvalue()

    def add(self, data: bytes) -> None:
        """Take what there is room for."""
        left = self.room - self.size
        self._out.write(data[:left])
        if len(data) > left:
            self.full = True
            self.blame(f"holds more than {self.room:,} bytes", Reason.ENVELOPE_TOO_LARGE)

    def blame(self, flaw: str, reason: Reason | None = None) -> None:
        """Note what is wrong, as a flaw of its form unless for another reason; the first flaw counts."""
        self.fault = self.fault or Rejection(reason or self.invalid, f"{self.name} {flaw}")

    def inflate(self, payload: bytes, at: int, end: int, bits: int) -> int:
        """Take in the zlib stream that begins here; gives the place where it ends, or breaks."""
        stream = zlib.decompressobj(bits)
        while not (stream.eof or self.fault):
            block, before = payload[at : min(at + _STEP, end)], stream.copy()
            at += len(block)
            if not block:
                self.blame(f"breaks off at byte {at:,}")
            try:
                self.add(stream.decompress(block, self.room - self.size + 1))
            except zlib.error as error:
                at += self._add_until_flaw(before, block) - len(block)
                self.blame(f"is damaged at byte {at:,}: {error}")
        return at - len(stream.unused_data)

    def _add_until_flaw(self, stream: "zlib._Decompress", block: bytes) -> int:
        """Take in what stands before the flaw that is somewhere in the block; gives how many bytes that is."""
        good, step = 0, _STEP
        while step := step // 2:
            probe = stream.copy()
            with suppress(zlib.error):
                self.add(probe.decompress(block[good : good + step], self.room - self.size + 1))
                stream, good = probe, good + step
        return good


_Packing: TypeAlias = tuple[str, Reason, int]


def members(payload: bytes, at: int, room: int, left: Callable[[], int]) -> Iterator[Content]:
    """What the members of a gzip or the like hold, from here to the first with a fault or the last.

    No more comes out of all than there is room for, and of each no more than is left when its turn comes.
    """
    packing: _Packing | None = _packing(payload, at) or _DEFLATE
    while packing:
        name, invalid, bits = packing
        content = Content(name, invalid, min(room, left()))
        content.begin, content.end = at, content.inflate(payload, at, len(payload), bits)
        yield content
        if content.fault:
            return
        room -= content.size
        at = _PADDED.match(payload, content.end).end()  # type: ignore[union-attr]
        packing = _packing(payload, at)


def goes_on(payload: bytes, at: int) -> int:
    """Where an envelope or a line of JSON begins, here or behind; the end when none does.

    Behind `[`, `,` or `:` a line may be inside a value of what is damaged.
    """
    for found in _GOES_ON.finditer(payload, at):
        begin = found.start()
        if found["line"] is None or payload[max(at, begin - _GLANCE) : begin].rstrip()[-1:] not in _INSIDE:
            return begin
    return len(payload)


_INSIDE: Final = (b"[", b",", b":")


def swallowed(payload: bytes, content: Content) -> int | None:
    """Where another envelope begins in the bytes that were read as this member, if that is none that it holds."""
    found = _AT_ENVELOPE.search(payload, content.begin + 1, content.end + 3)
    if (
        not found
        or found.start() >= content.end
        or payload[found.start() : found.start() + _STORED_ALIKE] in content.data()
    ):
        return None
    return found.start()


_STORED_ALIKE: Final = 16  # bytes that tell an envelope from one that is stored in another
_BEGINS: Final = rb"\x1f\x8b\x08[\0-\x1f]|PK\x03\x04|\xf3\x89\x9a\xc2[\n\x1a]"
_AT_ENVELOPE: Final = re.compile(_BEGINS)
# of a line some letters have to follow: compressed bytes hold two that look like its beginning every few KB
_AN_OBJECT: Final = rb"(?:\[\s{0,9}+){0,64}+\{[ \t\r\n]*+\"(?:[ -~]|[\xc2-\xf4][\x80-\xbf]++){4}"
_OBJECT: Final = re.compile(_AN_OBJECT)
_GOES_ON: Final = re.compile(rb"%b|(?P<line>[\n\r][ \t,;|\x1e]*+(?:data:[ \t]*+)?(?=%b))" % (_BEGINS, _AN_OBJECT))


def is_object(payload: bytes, at: int) -> bool:
    """Whether an object with a key begins here, perhaps in arrays."""
    return _OBJECT.match(payload, at) is not None


def _packing(payload: bytes, at: int) -> _Packing | None:
    """How the member that begins here is called, what a fault in it is, and zlib's number for its format."""
    if payload.startswith(GZIP, at):
        return "the gzip", Reason.GZIP_INVALID, 31
    if is_zlib(payload, at):
        return "the zlib stream", Reason.ZLIB_INVALID, 15
    return None


_DEFLATE: Final[_Packing] = ("the deflate stream", Reason.ZLIB_INVALID, -15)


def is_zlib(payload: bytes, at: int = 0, *, sure: bool = False) -> bool:
    """Whether a zlib stream begins here (RFC 1950), and no text.

    The header of the usual window is enough, unless it has to be `sure`. That of another is too common: the stream
    has to go on for a while, or to its end, or begin as JSON does.
    """
    if not payload.startswith(_ZLIB, at) or is_text(payload, at):
        return False
    if payload.startswith(b"x", at) and not sure:
        return True
    begin, whole, _ = head(payload, at, 15)
    return whole or len(begin) >= _GLANCE or _begins_json(begin)


class Head(NamedTuple):
    """The first bytes that come out, none if it is no stream; whether that is all, and whether nothing follows."""

    begin: bytes
    whole: bool
    alone: bool


def head(payload: bytes, at: int = 0, bits: int = -15) -> Head:
    """How a stream begins, and no more of it: bare deflate, or by zlib's number of a format."""
    stream, begin = zlib.decompressobj(bits), b""
    with suppress(zlib.error):
        begin = stream.decompress(payload[at : at + _STEP], _GLANCE)
        begin += stream.decompress(stream.unconsumed_tail, _STEP)
    return Head(begin, stream.eof, stream.eof and not stream.unused_data)


def is_readable(begin: bytes, *, whole: bool) -> bool:
    """Whether what begins like this is JSON, or a text that does not come out by chance."""
    if _begins_json(begin):
        return True
    glance = begin[:_GLANCE]
    if not _is_text(glance) or not (whole or len(glance) == _GLANCE):
        return False
    return bool(_HOLDS_JSON.search(glance)) or len(set(glance)) >= _LETTERS


def is_text(payload: bytes, at: int) -> bool:
    """Whether a text goes on here for a while."""
    return _is_text(payload[at : at + _GLANCE])


def _begins_json(begin: bytes) -> bool:
    return _BEGINS_JSON.match(begin, skip(begin)) is not None


def _is_text(glance: bytes) -> bool:
    """Whether these are characters of UTF-8, the last one perhaps cut, and no control characters."""
    end = _TEXT.match(glance).end()  # type: ignore[union-attr]
    return end >= len(glance) - (3 if len(glance) == _GLANCE else 0)


_GLANCE: Final = 64
_ZLIB: Final = tuple(
    bytes((window, flags))
    for window in range(0x08, 0x79, 0x10)
    for flags in range(256)
    if (window << 8 | flags) % 31 == 0 and not flags & 0x20  # a preset dictionary, which nobody has here
)
_TEXT: Final = re.compile(
    rb"(?:[\t\n\r -~]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*+"
)
_BEGINS_JSON: Final = re.compile(
    rb"(?:data:\s*+)?+(?:\{\s*[\"}]|\[\s*[{\[\]]|\x1f\x8b\x08|PK\x03\x04|\xf3\x89\x9a\xc2)"
)
_HOLDS_JSON: Final = re.compile(rb"\{\s*[\"}]|\[\s*[\"{]")
_LETTERS: Final = 12  # different ones in a beginning: what inflates by chance repeats a few
_PADDED: Final = re.compile(rb"[ \t\r\n\0,;|\x1e]*+")


class Descriptors:
    """What stands behind the files of zips whose sizes are told nowhere else; sought once in all the bytes."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    @cached_property
    def _ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        for mark in islice(_AT_DESCRIPTOR.finditer(self._payload), _MOST_DESCRIPTORS):
            size = int.from_bytes(self._payload[mark.end() + 4 : mark.end() + 8], "little")
            ends.setdefault(mark.start() - size, mark.start())
        return ends

    @cached_property
    def _entries(self) -> dict[tuple[int, bytes], list[tuple[int, int]]]:
        """By a file's place in its zip and its name: where directories have it, and how long it is."""
        entries: dict[tuple[int, bytes], list[tuple[int, int]]] = {}
        for mark in islice(_AT_ENTRY.finditer(self._payload), _MOST_DESCRIPTORS):
            if len(self._payload) >= (name := mark.start() + _ENTRY.size):
                size, length, place = _ENTRY_OF_FILE.unpack_from(self._payload, mark.start())
                of_file = entries.setdefault((place, self._payload[name : name + min(length, LONGEST_NAME)]), [])
                of_file.append((mark.start(), size))
        return entries

    def end(self, begin: int, place: int, name: bytes) -> int:
        """Where the stored file ends that begins here: it may itself be a zip of files with descriptors.

        A descriptor may lack its mark: then the next directory tells, by the file's place in its zip and its name.
        """
        if end := self._ends.get(begin):
            return end
        entries = self._entries.get((place, name[:LONGEST_NAME]), [])
        for _, size in entries[bisect(entries, (begin,)) :][:1]:
            if begin + size <= len(self._payload):
                return begin + size
        return _found(self._payload, _AT_DESCRIPTOR, begin)


def unzip(payload: bytes, at: int, room: Callable[[int], int], descriptors: Descriptors) -> Iterator[Content]:
    """The files of the zip that begins here in their order, by what stands before each, then its directory.

    `room` tells by the compressed size how much may come out. What a Mac adds of its own is left out.
    """
    start = at
    at += len(FILE) if payload.startswith(SPLIT, at) else 0
    while payload.startswith(FILE, at) and len(payload) >= (named := at + _HEADER.size):
        flags, method, checksum, size, _, name_length, extra_length = _HEADER.unpack_from(payload, at)
        name_bytes, place = payload[named : named + name_length], at - start
        name = name_bytes.decode(errors="replace")
        begin = named + name_length + extra_length
        if size == 2**32 - 1:
            size = _size_64(payload[begin - extra_length : begin])
        told = not flags & 8  # else only what stands behind the file tells its size
        end = begin + size if told else max(begin, len(payload))
        shown = f"{name[:LONGEST_NAME]!r} in the zip"
        content = Content(shown, Reason.ZIP_INVALID, room(min(end, len(payload)) - begin))
        if flags & 1:
            content.blame("is encrypted", Reason.COMPRESSION_UNKNOWN)
            at = begin
        elif method == _DEFLATED:
            at = content.inflate(payload, begin, end, -15)
        elif method == _STORED:
            at = end if told else descriptors.end(begin, place, name_bytes)
            content.add(payload[begin:at])
        else:
            content.blame(f"is packed by {_method(method)}, which is not read here", Reason.COMPRESSION_UNKNOWN)
            at = begin
        if told:
            at = end
        else:
            checksum = int.from_bytes(payload[at : at + 8].removeprefix(_DESCRIPTOR)[:4], "little")
            if at == len(payload):
                content.blame("breaks off")
            at = _found(payload, _AT_NEXT, at)
        if zlib.crc32(content.data()) != checksum:
            content.blame("has a wrong checksum, or breaks off")
        if not OF_THE_MAC.search(name):
            yield content
    yield _end(payload, at)


def _method(number: int) -> str:
    return f"method {number} ({_METHODS[number]})" if number in _METHODS else f"method {number}"


_METHODS: Final = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "zstd", 95: "xz"}


def _size_64(extras: bytes) -> int:
    """How long a file is by the extra of 64 bits, which others may stand before; 0 without one."""
    at = 0
    while extra := extras[at : at + _SIZES_64.size]:
        if extra.startswith(b"\1\0") and len(extra) == _SIZES_64.size:
            return int(_SIZES_64.unpack(extra)[0])
        at += 4 + int.from_bytes(extra[2:4], "little")
    return 0


def _end(payload: bytes, at: int) -> Content:
    """The zip's directory, which holds no records: where it ends, or breaks."""
    directory = Content("the zip", Reason.ZIP_INVALID, 0)
    end = entry = at = min(at, len(payload))
    while payload.startswith(_DIRECTORY, end) and len(payload) >= end + _ENTRY.size:
        entry, end = end, end + _ENTRY.size + sum(_ENTRY.unpack_from(payload, end))
    if payload.startswith(_END_64, end):
        end += 12 + int.from_bytes(payload[end + 4 : end + 12], "little") + _LOCATOR_BYTES
    directory.end = end + _END_BYTES + int.from_bytes(payload[end + 20 : end + 22], "little")  # and a comment
    if not payload.startswith(END, end) or len(payload) < end + _END_BYTES:
        directory.blame(f"breaks off, or is damaged, at byte {at:,} of {len(payload):,}")
        directory.begin = directory.end = entry
    return directory


# what macOS puts beside the files: their resources, and how a folder is shown
OF_THE_MAC: Final = re.compile(r"^__MACOSX/|(?:^|/)(?:\.DS_Store$|\._)")


def _found(payload: bytes, mark: re.Pattern[bytes], at: int) -> int:
    """Where the mark stands next; the end when it does not."""
    found = mark.search(payload, at)
    return found.start() if found else len(payload)
