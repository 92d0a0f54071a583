"""Records that hold several: found by their first bytes or their form, opened within limits.

gzip, zlib, deflate, zip (as the Export API gives it: a zip of gzips), KPL aggregates, and texts of more than one
value; all of them in each other too. One rule for all: what is inside is opened like a record of its own. Whatever
can be read comes out as a part; what cannot is one more part for each reason, and holds the whole envelope: a bad
tail never takes the good heads with it.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Final, NamedTuple

from udfs import inflate, kpl, values
from udfs.model import Reason, Rejection
from udfs.text import BLANKS, BOM, compression


class Form(StrEnum):
    """What an envelope is."""

    GZIP = "gzip"
    ZLIB = "zlib"
    DEFLATE = "deflate"
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


_SMALL: Final = 2**20  # what any envelope may hold, however well it is compressed


def form(payload: bytes) -> Form | None:
    """What envelope the bytes are; None when they are one record or nothing readable."""
    return _binary(payload.lstrip(inflate.PADDING)) or _text(payload)


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


def _spans(payload: bytes) -> Iterator[values.Span]:
    """The values of a text; what is compressed in a way that is not read here is one piece."""
    if compression(payload):
        return iter([values.Span(0, len(payload), False)])
    return values.spans(payload)


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
        payload = payload.lstrip(inflate.PADDING)
        binary = _binary(payload)
        try:
            if binary is None:
                yield from self._text_parts(payload, level)
                return
            if level == self.limits.levels:
                raise _FaultError(Reason.ENVELOPE_TOO_DEEP, f"more than {level} envelopes in each other")
            for inner in _BINARY[binary](payload, self):
                yield from self.parts_of(inner, level + 1)
                if self.parts_left < 0:
                    return
        except _FaultError as fault:
            self.note(fault.rejection)

    def _text_parts(self, payload: bytes, level: int) -> Iterator[Part]:
        """The values of a text, each as it is spelled; something binary that stands between them is opened too."""
        try:
            for begin, end, _ in _spans(payload):
                if not payload.startswith(b"{", begin) and _binary(payload, begin):
                    yield from self.parts_of(payload[begin:], level)
                    return
                self.parts_left -= 1
                if self.parts_left < 0:
                    raise _FaultError(Reason.ENVELOPE_TOO_LARGE, f"more than {self.limits.parts:,} records")
                yield Part(payload[begin:end])
        except values.UnevenError as fault:
            self.note(fault.rejection)

    def left(self) -> int:
        """How many bytes may still come out of all."""
        return max(0, self.room)

    def take(self, compressed: int) -> int:
        """How many bytes may come out of so many compressed ones."""
        return min(self.left(), max(_SMALL, compressed * self.limits.ratio))

    def taken(self, content: inflate.Content) -> Iterator[bytes]:
        """What came out of a file; then its fault is noted."""
        self.room -= content.size
        if content.size or not content.fault:
            yield content.data()
        if content.fault:
            self.note(content.fault)


_MAGIC: Final = {
    Form.GZIP: (inflate.GZIP,),
    Form.ZIP: (inflate.FILE, inflate.END),
    Form.KPL: (kpl.MAGIC,),
}


def _binary(payload: bytes, at: int = 0) -> Form | None:
    """What begins here, if it is no text; what has no mark of its own is not sought in the middle of a text."""
    for form, magics in _MAGIC.items():
        if payload.startswith(magics, at):
            return form
    if at > 0:
        return None
    return Form.ZLIB if inflate.is_zlib(payload) else Form.DEFLATE if inflate.is_deflate(payload) else None


def _compressed(payload: bytes, opening: _Opening) -> Iterator[bytes]:
    """What the members of a gzip or the like hold: texts in a row are one, for a record may go on in the next."""
    joined: list[bytes] = []
    before: Form | None = None
    for content in inflate.members(payload, opening.take(len(payload)), opening.left):
        for data in opening.taken(content):
            form = _binary(data.lstrip(inflate.PADDING))
            if joined and (form or (before and _is_json(data))):  # an envelope, or a text behind one
                yield b"".join(joined)
                joined = []
            before = before if joined else form
            joined.append(data)
    yield b"".join(joined)
    if not content.fault:
        yield from _behind(payload, content, opening)


def _is_json(payload: bytes) -> bool:
    """Whether a value begins here, or nothing is left."""
    at = values.skip(payload)
    return payload[at : at + 1] in (b"{", b"[", b"")


def _behind(payload: bytes, content: inflate.Content, opening: _Opening) -> Iterator[bytes]:
    """What stands behind the end of something compressed: another record, or nothing but padding."""
    rest = payload[content.end :].lstrip(inflate.BETWEEN)
    if _binary(rest) or _is_json(rest):
        yield rest
    elif rest:
        flaw = f"{content.name} has {len(rest):,} bytes behind its end, at byte {len(payload) - len(rest):,}"
        opening.note(Rejection(content.invalid, flaw))


def _zip(payload: bytes, opening: _Opening) -> Iterator[bytes]:
    for content in inflate.unzip(payload, opening.take):
        yield from opening.taken(content)
    if not content.fault:
        yield from _behind(payload, content, opening)


def _kpl(payload: bytes, _: _Opening) -> Iterator[bytes]:
    try:
        yield from kpl.data(payload)
    except kpl.AggregateError as error:
        raise _FaultError(Reason.KPL_INVALID, str(error)) from None


_BINARY: Final[dict[Form, Callable[[bytes, _Opening], Iterator[bytes]]]] = {
    Form.GZIP: _compressed,
    Form.ZLIB: _compressed,
    Form.DEFLATE: _compressed,
    Form.ZIP: _zip,
    Form.KPL: _kpl,
}


def _text(payload: bytes) -> Form | None:
    """What a text is that holds anything but one record, blanks and a byte order mark around it."""
    at = values.skip(payload)
    if payload.startswith(b"[", at):
        return Form.ARRAY
    found = _spans(payload)
    first = second = None
    with suppress(values.UnevenError):
        first = next(found, None)
        second = next(found, None)
    if not first or not (first.whole or second or _binary(payload, first.begin)):
        return None
    if payload[first.begin : first.end] == payload.removeprefix(BOM).strip(BLANKS):
        return None
    goes_on = payload[first.end :].rstrip(BLANKS)
    return Form.LINES if b"\n" in goes_on or b"\r" in goes_on else Form.SEQUENCE
