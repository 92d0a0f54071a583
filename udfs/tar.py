"""tar: the plain files of an archive, by the 512 bytes before each.

Not by `tarfile`: it follows links and names, and reads headers of any size that a hostile archive tells.
"""

import re
from collections.abc import Iterator
from typing import Final

from udfs.inflate import LONGEST_NAME, OF_THE_MAC, Content
from udfs.model import Reason

_BLOCK: Final = 512
_MARKS, _MARK_AT = (b"ustar", bytes(5)), 257  # of Unix V7, which has no mark, the checksum alone
_NAME, _SIZE, _CHECKSUM, _KIND = slice(100), slice(124, 136), slice(148, 156), slice(156, 157)
_OCTAL: Final = re.compile(rb"[ \0]*+([0-7]{1,11})[ \0]*+")
_FILES: Final = (b"0", b"\0", b"7")
_ABOUT: Final = (b"x", b"g", b"L", b"K")  # what is said of the next file: a long name, a clock
_EMPTY: Final = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders: of these no bytes follow


def begins(payload: bytes, at: int) -> bool:
    """Whether an archive begins here: what stands before a file has the checksum that it tells."""
    return payload.startswith(_MARKS, at + _MARK_AT) and _is_header(payload[at : at + _BLOCK])


def files(payload: bytes, at: int, room: int) -> Iterator[Content]:
    """The files of the archive that begins here, with no more bytes in all than is room for; then its end."""
    while begins(payload, at):
        header = payload[at : at + _BLOCK]
        kind, size = header[_KIND], 0 if header[_KIND] in _EMPTY else _number(header[_SIZE])
        name = header[_NAME].rstrip(b"\0").decode(errors="replace")
        content = Content(f"{name[:LONGEST_NAME]!r} in the tar", Reason.ZIP_INVALID, room)
        begin = at + _BLOCK
        if size is None:
            break
        if kind in _FILES:
            content.add(payload[begin : begin + size])
            if begin + size > len(payload):
                content.blame("breaks off")
        elif kind not in (*_ABOUT, *_EMPTY):
            content.blame(f"is of kind {kind!r}, which is not read here", Reason.COMPRESSION_UNKNOWN)
        room -= content.size
        at = min(begin + -(-size // _BLOCK) * _BLOCK, len(payload))
        if content.fault or (kind in _FILES and not OF_THE_MAC.search(name)):
            yield content
    yield _end(payload, at)


def _end(payload: bytes, at: int) -> Content:
    """What stands behind the last file: a block of zeros, or nothing."""
    end = Content("the tar", Reason.ZIP_INVALID, 0)
    end.begin = end.end = at
    if payload[at : at + _BLOCK].strip(b"\0"):
        end.blame(f"is damaged at byte {at:,} of {len(payload):,}")
        end.ends_here = True
    return end


def _is_header(header: bytes) -> bool:
    """Whether the sum of the bytes is the one that is told, which counts as blanks itself."""
    told = _number(header[_CHECKSUM])
    return told is not None and told == sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" ")


def _number(digits: bytes) -> int | None:
    found = _OCTAL.fullmatch(digits)
    return int(found[1], 8) if found else None
