"""What one record of the stream holds: the oracle's own way of opening it, with nothing but the standard library.

Not told here: the limits of 100 000 parts and of 64 MiB over several envelopes in each other.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import md5
from io import BytesIO
from typing import TypeAlias

from tests.oracle_pieces import BETWEEN, BLANKS, BOM, COMPRESSED, ENCODED, LINE_END, Fault, Text, plain

MIB = 2**20
LARGEST_RECORD = 10 * MIB
LARGEST_OPENED = 64 * MIB
LEVELS = 4


class UnclearError(Exception):
    """How much can be read of damaged bytes is for the reader to say."""


Opened: TypeAlias = tuple[list[bytes], list[Fault], int]
"""What something compressed holds, what is wrong with it, and how many bytes behind its end are to be opened."""


def held(data: bytes) -> list[bytes | Fault]:
    """Every single record in the bytes, in order, then each kind of fault once; at least one of both."""
    if _is_single(data):
        return [data]
    singles, faults = _held(data, 0)
    return [*singles, *dict.fromkeys(faults)] or [Fault("empty")]


def _held(data: bytes, level: int) -> tuple[list[bytes], list[Fault]]:
    """Whatever stands in a row in the bytes; what is in one of these is a level deeper."""
    singles: list[bytes] = []
    faults: list[Fault] = []
    text, at = Text(data, _is_packed, getattr(data, "seams", ())), 0
    while (at := BETWEEN.match(text.data, at).end()) < len(data):
        opener = _opener(data[at:])
        if opener:
            contents, wrong, behind = opener(data[at:])
            at = len(data) - behind
            text.behind_envelope(at)
            faults += [Fault("envelope_too_deep")] * (level == LEVELS)
            for content in contents if level < LEVELS else []:
                more, worse = _held(content, level + 1)
                singles += more
                faults += worse
            faults += wrong
        else:
            pieces, at = text.pieces(at)
            singles += [text.data[begin:end] for begin, end, _ in pieces]
    return singles, [*faults, *text.faults()]


def _opener(data: bytes) -> Callable[[bytes], Opened] | None:
    marked = next((opener for magic, opener in OPENERS if data.startswith(magic)), None)
    return marked or (_inflated if _is_zlib(data) else None)


def _is_zlib(data: bytes, *, in_text: bool = False) -> bool:
    """By RFC 1950; and no text, which an x may begin too. In a text, or of a rare window, it has to inflate."""
    if len(data) < 4 or data[0] not in range(0x08, 0x79, 0x10) or int.from_bytes(data[:2], "big") % 31:
        return False
    if data[1] & 32:  # a preset dictionary
        return False
    head = data[:64].decode(errors="replace")[:-1]
    if "\ufffd" not in head and not re.search("[\0-\x08\x0b\x0c\x0e-\x1f\x7f]", head):
        return False
    with suppress(zlib.error):
        stream = zlib.decompressobj()
        out = stream.decompress(data[:1024], 64)
        if stream.eof or len(out) == 64 or JSON_BEGINS.match(out):
            return True
    return data[0] == 0x78 and not in_text


def _room(compressed: int) -> int:
    return min(LARGEST_OPENED, max(MIB, 200 * compressed))


def _inflated(data: bytes) -> Opened:
    """The members of a gzip, of a zlib stream, or of both in a row: texts side by side are one text."""
    room, texts = _room(len(data)), [b""]
    while data.startswith(b"\x1f\x8b") or _is_zlib(data):
        wrong = Fault("gzip_invalid" if data.startswith(b"\x1f\x8b") else "zlib_invalid")
        member = zlib.decompressobj(47)  # zlib tells the two apart by itself
        try:
            out = member.decompress(data, room + 1)
        except zlib.error:
            if _readable_before_the_damage(data) or GOES_ON.search(data, 1):
                raise UnclearError from None
            return texts, [wrong], 0
        if len(out) > room:
            return _with(texts, out[:room]), [Fault("envelope_too_large")], 0
        texts, room = _with(texts, out), room - len(out)
        if not member.eof:
            if GOES_ON.search(data, 1):
                raise UnclearError
            return texts, [wrong], 0
        rest = member.unused_data
        data = rest.lstrip(b" \t\r\n\0,;|\x1e")
    return _followed(texts, rest, wrong)


def _with(texts: list[bytes], out: bytes) -> list[bytes]:
    """One more member: of its own if it is an envelope, or a text behind one; else the rest of the last text."""
    words = texts[-1].strip() and not re.search(rb"[{\[]", texts[-1])
    encoded = ENCODED.match(texts[-1]) and out.startswith(b'{"')
    field = texts[-1] and out.startswith((b"data:", b"event:", b"id:", b"retry:"))
    if _begins(out) or ((words or _begins(texts[-1])) and _is_json(out)) or encoded or field:
        return [*texts, out]
    return [*texts[:-1], Joined(texts[-1], out)]


class Joined(bytes):
    """Two texts that are one, with the places at which a value begins in the next."""

    def __new__(cls, before: bytes, more: bytes) -> "Joined":
        found = super().__new__(cls, before + more)
        seams = getattr(before, "seams", ())
        found.seams = (*seams, len(before)) if before and _is_json(more) else seams
        return found


def _begins(data: bytes) -> bool:
    return _opener(data[BETWEEN.match(plain(data)).end() :]) is not None


def _is_json(data: bytes) -> bool:
    return _lead(data) in (b"{", b"[", b"]", b"")


def _lead(data: bytes) -> bytes:
    """The first byte that is nothing between values."""
    return data[BETWEEN.match(plain(data)).end() :][:1]


def _followed(contents: list[bytes], rest: bytes, wrong: Fault) -> Opened:
    """What stands behind the end of something compressed is to be opened, if it is any record, or a line."""
    is_line = re.search(LINE_END.encode("latin-1"), BETWEEN.match(rest)[0])
    other = COMPRESSED.match(rest, BETWEEN.match(plain(rest)).end())
    if _begins(rest) or _is_json(rest) or (is_line and not other):
        return contents, [], len(rest)
    wrong = Fault("compression_unknown") if other else wrong
    goes_on = (found.start() for found in GOES_ON.finditer(rest) if not _is_inside(rest, found))
    return contents, [wrong], len(rest) - next(goes_on, len(rest))


def _is_inside(rest: bytes, found: re.Match[bytes]) -> bool:
    """Whether a line may be inside a value, by what stands before it."""
    return found[0][:1] in (b"\n", b"\r") and rest[: found.start()].rstrip()[-1:] in (b"[", b",", b":")


def _readable_before_the_damage(data: bytes) -> bool:
    member = zlib.decompressobj(47)
    try:
        return any(member.decompress(data[at : at + 1]) for at in range(len(data)))
    except zlib.error:
        return False


def _unzipped(data: bytes) -> Opened:
    data = data[4:] if data.startswith(SPLIT) else data
    alone = _first_zip(data)
    try:
        archive = zipfile.ZipFile(BytesIO(alone))
        if any(file.flag_bits & 1 or file.compress_type not in (0, 8) for file in archive.infolist()):
            raise UnclearError
        members = [_member(archive, file) for file in archive.infolist() if not _is_of_the_mac(file.filename)]
    except Exception:
        if _may_be_readable(data) or (len(data) < LOCAL_HEADER.size and GOES_ON.search(data, 1)):
            raise UnclearError from None
        return [], [*_told_by_a_header_alone(data), Fault("zip_invalid")], 0
    if not _is_undamaged(alone, archive.infolist()):
        raise UnclearError
    large = [Fault("envelope_too_large")] * any(len(content) > room for content, room in members)
    contents = [content[:room] for content, room in members]
    contents, faults, behind = _followed(contents, data[len(alone) :], Fault("zip_invalid"))
    return contents, large + faults, behind


def _first_zip(data: bytes) -> bytes:
    """The first of the zips in a row: up to the first end, with its comment, that makes a whole zip."""
    for end in re.finditer(b"PK\x05\x06", data):
        comment = int.from_bytes(data[end.start() + END_BYTES - 2 : end.start() + END_BYTES], "little")
        alone = data[: end.start() + END_BYTES + comment]
        with suppress(zipfile.BadZipFile):
            if _is_undamaged(alone, zipfile.ZipFile(BytesIO(alone)).infolist()):
                return alone
    return data


def _is_of_the_mac(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", maxsplit=1)[-1].startswith((".DS_Store", "._"))


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


def _told_by_a_header_alone(data: bytes) -> list[Fault]:
    """That its file is encrypted, or packed in another way."""
    if data.startswith(b"PK\x05\x06") or len(data) < LOCAL_HEADER.size:
        return []
    flags, method, *_ = LOCAL_HEADER.unpack_from(data)
    return [Fault("compression_unknown")] if flags & 1 or method not in (0, 8) else []


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


# behind damage: another gzip or zip, or a line of JSON
GOES_ON = re.compile(
    rb"\x1f\x8b\x08[\0-\x1f]|PK\x03\x04|\xf3\x89\x9a\xc2[\n\x1a]|[\n\r][ \t,;|\x1e]*(?:data:[ \t]*)?"
    rb"(?=(?:\[\s*)*\{\s*\"(?:[ -~]|[\xc2-\xf4][\x80-\xbf]+){4})"
)
LOCAL_HEADER = struct.Struct("<6xHH4xII4xHH")
END_BYTES = 22


def _disaggregated(data: bytes) -> Opened:
    """Magic, protobuf, MD5: a KPL aggregate's records are field 3, their data is field 3 of each."""
    read = md5(usedforsecurity=False)
    for end in range(4, len(data)):
        if data.startswith(read.digest(), end):
            break
        read.update(data[end : end + 1])
    else:
        if re.search(rb"\{\s*[\"}]|\x1f\x8b\x08|PK\x03\x04|\xf3\x89\x9a\xc2", data[4:]):
            raise UnclearError  # what may stand behind it
        return [], [Fault("kpl_invalid")], 0
    body, rest = data[4:end], data[end + 16 :]
    try:
        records = [value for number, value in _fields(body) if number == 3]
        found = [value for record in records for number, value in _fields(record) if number == 3]
    except (IndexError, ValueError):
        raise UnclearError from None
    return _followed(found, rest, Fault("kpl_invalid"))


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


JSON_BEGINS = re.compile(
    rb"([\s,;|\x1e\0]|\xef\xbb\xbf|data:)*(\{\s*[\"}]|\[\s*[\[{\]]|\x1f\x8b\x08|PK\x03\x04|\xf3\x89\x9a\xc2)|\s{16}"
)
KPL = b"\xf3\x89\x9a\xc2"
SPLIT = (b"PK\x07\x08", b"PK00PK\x03\x04")
OPENERS = (
    (b"\x1f\x8b", _inflated),
    *((magic, _unzipped) for magic in (b"PK\x03\x04", b"PK\x05\x06", *SPLIT)),
    (KPL, _disaggregated),
)


def _is_single(data: bytes) -> bool:
    """Whether a text is one record with blanks around, or nothing that can be read."""
    around = data.removeprefix(BOM).strip(BLANKS)
    if _begins(data) or _lead(data) == b"[":
        return False
    text = Text(data, _is_packed)
    pieces, at = text.pieces(0)
    if len(pieces) != 1:
        return not pieces
    begin, end, whole = pieces[0]
    return text.data[begin:end] == around if whole else at == len(data)


def _is_packed(data: bytes) -> bool:
    """Whether this stands in a text and is none."""
    return data.startswith(tuple(magic for magic, _ in OPENERS)) or _is_zlib(data, in_text=True)
