"""What one record of the stream holds: the oracle's own way of opening it, with nothing but the standard library.

Not told here: the limits of 100 000 parts and of 64 MiB over several envelopes in each other.
"""

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from io import BytesIO
from typing import TypeAlias

MIB = 2**20
LARGEST_RECORD = 10 * MIB
LARGEST_OPENED = 64 * MIB
LEVELS = 4
BOM = b"\xef\xbb\xbf"
BLANKS = b" \t\r\n"


@dataclass(frozen=True)
class Fault:
    """Not all of the record could be read, for this reason; its dead letter holds the whole record."""

    reason: str


class UnclearError(Exception):
    """How much can be read of damaged bytes is for the reader to say."""


Opened: TypeAlias = tuple[list[bytes], list[Fault]]


def held(data: bytes) -> list[bytes | Fault]:
    """Every single record in the bytes, in order, then each kind of fault once; at least one of both."""
    singles, faults = _held(data, 0)
    return [*singles, *dict.fromkeys(faults)] or [Fault("empty")]


def _held(data: bytes, level: int) -> Opened:
    opener = next((opener for magic, opener in OPENERS if data.startswith(magic)), None)
    if opener is None:
        return _of_text(data)
    if level == LEVELS:
        return [], [Fault("envelope_too_deep")]
    contents, faults = opener(data)
    singles = []
    for content in contents:
        more, worse = _held(content, level + 1)
        singles += more
        faults = [*worse, *faults]
    return singles, faults


def _room(compressed: int) -> int:
    return min(LARGEST_OPENED, max(MIB, 200 * compressed))


def _gunzipped(data: bytes) -> Opened:
    """The members of a gzip are one text."""
    room, out = _room(len(data)), b""
    while data.startswith(b"\x1f\x8b"):
        member = zlib.decompressobj(31)
        try:
            out += member.decompress(data, room + 1 - len(out))
        except zlib.error:
            if _readable_before_the_damage(data):
                raise UnclearError from None
            return _readable(out), [Fault("gzip_invalid")]
        if len(out) > room:
            return [out[:room]], [Fault("envelope_too_large")]
        if not member.eof:
            return _readable(out), [Fault("gzip_invalid")]
        data = member.unused_data
    return [out], [Fault("gzip_invalid")] if data.strip(b"\0") else []


def _readable(out: bytes) -> list[bytes]:
    """What was read before a fault, if anything was."""
    return [out] if out else []


def _readable_before_the_damage(data: bytes) -> bool:
    member = zlib.decompressobj(31)
    try:
        return any(member.decompress(data[at : at + 1]) for at in range(len(data)))
    except zlib.error:
        return False


def _unzipped(data: bytes) -> Opened:
    try:
        archive = zipfile.ZipFile(BytesIO(data))
        members = [_member(archive, file) for file in archive.infolist() if not file.is_dir()]
    except Exception:
        if _may_be_readable(data):
            raise UnclearError from None
        return [], [Fault("zip_invalid")]
    if not _is_undamaged(data, archive.infolist()):
        raise UnclearError
    large = [Fault("envelope_too_large") for content, room in members if len(content) > room]
    return [content[:room] for content, room in members], large


def _member(archive: zipfile.ZipFile, file: zipfile.ZipInfo) -> tuple[bytes, int]:
    room = _room(file.compress_size)
    with archive.open(file) as member:
        return member.read(room + 1), room


def _may_be_readable(data: bytes) -> bool:
    """Whether there is a whole header of a file and something behind it, or the end of a zip without files."""
    if data.startswith(b"PK\x05\x06"):
        return len(data) >= END_BYTES
    if len(data) < LOCAL_HEADER.size:
        return False
    *_, name, extra = LOCAL_HEADER.unpack_from(data)
    return LOCAL_HEADER.size + name + extra < len(data)


def _is_undamaged(data: bytes, files: list[zipfile.ZipInfo]) -> bool:
    """Whether what stands before each file and the directory at the end say the same."""
    at = 0
    for file in files:
        flags, method, checksum, size, name, extra = LOCAL_HEADER.unpack_from(data, at)
        if (at, flags, method) != (file.header_offset, file.flag_bits, file.compress_type):
            return False
        if (checksum, size) != (file.CRC, file.compress_size):
            return False
        at += LOCAL_HEADER.size + name + extra + size
    return data[at : at + 4] in (b"PK\x01\x02", b"PK\x05\x06")


LOCAL_HEADER = struct.Struct("<6xHH4xII4xHH")
END_BYTES = 22


def _disaggregated(data: bytes) -> Opened:
    """Magic, protobuf, MD5: a KPL aggregate's records are field 3, their data is field 3 of each."""
    body, digest = data[4:-16], data[-16:]
    if len(data) < 20 or md5(body, usedforsecurity=False).digest() != digest:
        return [], [Fault("kpl_invalid")]
    try:
        records = [value for number, value in _fields(body) if number == 3]
        return [value for record in records for number, value in _fields(record) if number == 3], []
    except (IndexError, ValueError):
        raise UnclearError from None


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The text fields of a protobuf message; numbers are passed over."""
    at = 0

    def number() -> int:
        nonlocal at
        septets = []
        while not septets or septets[-1] > 127:
            septets.append(message[at])
            at += 1
        return sum((septet & 127) << 7 * place for place, septet in enumerate(septets))

    while at < len(message):
        key = number()
        length = number()
        if key % 8 == 2:
            at += length
            yield key // 8, message[at - length : at]
        elif key % 8 != 0:
            msg = "a type of field that no aggregate has"
            raise ValueError(msg)


OPENERS = (
    (b"\x1f\x8b", _gunzipped),
    (b"PK\x03\x04", _unzipped),
    (b"PK\x05\x06", _unzipped),
    (b"\xf3\x89\x9a\xc2", _disaggregated),
)


def _of_text(data: bytes) -> Opened:
    """An array, NDJSON or values in a row; else the one record that there is."""
    text = data.removeprefix(BOM).strip(BLANKS)
    large = len(data) > LARGEST_RECORD
    if text.startswith(b"["):
        return ([], [Fault("too_large")]) if large else _values(text)
    lines = [line.strip(BLANKS) for line in text.split(b"\n") if line.strip(BLANKS)]
    several = len(lines) > 1 and all(line.startswith(b"{") for line in lines[1:])
    if several and (large or not _is_one_value(text)):
        return lines, []
    if text.startswith(b"{") and not large:
        singles, faults = _values(text)
        if len(singles) > 1 or (singles and faults):
            return singles, faults
    return [data], []


DECODER = json.JSONDecoder(parse_int=float, parse_float=float)
BLANK = re.compile("[ \t\r\n]*")


def _is_one_value(text: bytes) -> bool:
    try:
        return DECODER.decode(text.decode()) is not Ellipsis
    except (ValueError, RecursionError):
        return False


def _values(text: bytes) -> Opened:
    """The values in an array and behind it, or several in a row: as spelled, up to the first that is none."""
    flaw = Fault("invalid_json")
    try:
        readable = text.decode()
    except UnicodeDecodeError as error:
        readable, flaw = text[: error.start].decode(), Fault("invalid_utf8")

    def blanks_from(at: int) -> int:
        return BLANK.match(readable, at).end()

    singles: list[bytes] = []
    inside = readable.startswith("[")
    at = blanks_from(inside)
    if inside and readable.startswith("]", at):
        inside, at = False, blanks_from(at + 1)
    while at < len(readable):
        try:
            _, end = DECODER.raw_decode(readable, at)
        except (ValueError, RecursionError) as error:
            return singles, [Fault("too_deep") if isinstance(error, RecursionError) else flaw]
        singles.append(readable[at:end].encode())
        at = blanks_from(end)
        if not inside:
            continue
        mark, at = readable[at : at + 1], blanks_from(at + 1)
        if mark == "]":
            inside = False
        elif mark != ",":
            return singles, [flaw]
    return singles, [flaw] if inside or flaw.reason == "invalid_utf8" else []
