"""Records that hold several: found by their first bytes or their form, opened within limits.

gzip, zlib, deflate, tar, zip (the Export API's is of gzips), KPL aggregates, and texts of more than one
value; all of them in each other too. One rule for all: what is inside is opened like a record of its own. Whatever
can be read comes out as a part; what cannot is one more part for each reason, and holds the whole envelope: a bad
tail never takes the good heads with it.
"""

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from udfs import inflate, intake, kpl, tar, unread, values
from udfs.model import Reason, Rejection
from udfs.text import BLANKS, BOM, encoding, skip


class Form(StrEnum):
    """What an envelope is."""

    GZIP = "gzip"
    ZLIB = "zlib"
    DEFLATE = "deflate"
    ZIP = "zip"
    TAR = "tar"
    KPL = "kpl"
    INTAKE = "intake"
    ARRAY = "array"
    LINES = "lines"
    SEQUENCE = "sequence"


class Limits(NamedTuple):
    """How far one record is opened: bytes in all, bytes for each one compressed, parts, levels, steps.

    A step is about a microsecond: a bracket, a field of an aggregate. One more for each two bytes of the record.
    What inflates, or is tried whether it does, takes several.
    So many `broken` values have a part each; beyond them those in a row are one part.
    """

    opened_bytes: int = 64 * 2**20
    ratio: int = 200
    parts: int = 100_000
    levels: int = 4
    steps: int = 300_000
    broken: int = 10_000


class Part(NamedTuple):
    """A record out of an envelope; with a `fault` the whole envelope, because not all of it could be read.

    Or, of an envelope with too many of them, broken records in a row, with the fault that says how many.
    """

    payload: bytes
    fault: Rejection | None = None


_SMALL: Final = 2**20  # what any envelope may hold, however well it is compressed
_TRIES: Final = 1_000  # how often a record is read on behind what is damaged
_AGAIN: Final = 4  # times its size may be read again, for what was taken for a part of something damaged
_UNCOVERED: Final = 64  # lines; behind the last of them no more fields are passed over
_OPENED: Final = 16  # steps that opening a member, a file or a record of an aggregate takes
_TRIED: Final = 8  # steps that it takes to see whether what is no text inflates
_FEW: Final = Limits(steps=1_000)


def form(payload: bytes) -> Form | None:
    """What envelope the bytes are; None when they are one record or nothing readable."""
    if payload.startswith(intake.MAGIC):
        return Form.INTAKE
    plain = values.plain(payload)
    return _begins(payload, plain).form or _text(payload, plain)


class Spent(NamedTuple):
    """What it took to open a record: bytes that came out, parts and steps."""

    opened_bytes: int
    parts: int
    steps: int

    def beyond(self, limits: Limits, size: int) -> str | None:
        """Which of the limits a record of this size has met."""
        if self.parts > limits.parts:
            return f"more than {limits.parts:,} records"
        if self.opened_bytes > limits.opened_bytes:
            return f"holds more than {limits.opened_bytes:,} bytes"
        steps = _steps(limits, size)
        return f"{_OF_STEPS} beyond {steps:,} steps, for its size" if self.steps > steps else None


def unpack(
    payload: bytes,
    limits: Limits = Limits(),  # noqa: B008
    tell: Callable[[Spent], None] = lambda _: None,
) -> Iterator[Part]:
    """The parts of an envelope in their order, never none; lazily, so that few lie in memory at a time.

    `tell` hears at the end what it took.
    """
    opening = _Opening(limits, len(payload))
    found = False
    with suppress(_FullError):
        for part in _Row(payload, opening, 0).parts():
            found = True
            yield part
    if not found and not opening.faults:
        opening.note(Rejection(Reason.EMPTY, f"{form(payload)} that holds nothing"))
    tell(opening.spent())
    for reason, (detail, times) in opening.faults.items():
        yield Part(payload, Rejection(reason, detail if times == 1 else f"{detail}; {times - 1:,} more like it"))


_OF_STEPS: Final = "brackets, members and fields of aggregates"


def _steps(limits: Limits, size: int) -> int:
    return limits.steps + size // 2


class _FullError(Exception):
    """As much was found as one record may hold."""


class _Opening:
    """What is left of the limits while one record is opened, and what went wrong."""

    def __init__(self, limits: Limits, size: int) -> None:
        self.limits, self.parts_left = limits, limits.parts
        self.room = self.all_room = min(limits.opened_bytes, max(_SMALL, size * limits.ratio))
        self.steps = self.steps_left = _steps(limits, size)
        self.tries = _TRIES
        self.patience = values.Patience(limits.broken)
        self.faults: dict[Reason, tuple[str, int]] = {}  # the first one's detail, and how many there are

    def spent(self) -> Spent:
        """What was taken of the limits."""
        return Spent(self.all_room - self.room, self.limits.parts - self.parts_left, self.steps - self.steps_left)

    def note(self, fault: Rejection) -> None:
        """Remember what went wrong: one fault for each reason, for an envelope may hold thousands."""
        detail, times = self.faults.get(fault.reason, (fault.detail, 0))
        self.faults[fault.reason] = detail, times + 1

    def count(self, pieces: int) -> None:
        """Count a part, or the pieces that are one. Raises _FullError."""
        self.parts_left -= pieces
        if self.parts_left < 0:
            self.note(Rejection(Reason.ENVELOPE_TOO_LARGE, f"more than {self.limits.parts:,} records"))
            raise _FullError

    def may_try(self) -> bool:
        """Count that the record is read on behind a fault, and say whether it may be."""
        self.tries -= 1
        return self.tries >= 0

    def step(self, steps: int = 1) -> None:
        """Count what may hold nothing: no other limit counts that. Raises _FullError."""
        self.steps_left -= steps
        if self.steps_left < 0 <= self.steps_left + steps:
            detail = f"{_OF_STEPS} beyond {self.steps:,} steps, for its size"
            self.note(Rejection(Reason.ENVELOPE_TOO_LARGE, detail))
        if self.steps_left < 0:
            raise _FullError

    def left(self) -> int:
        """How many bytes may still come out of all, when one more thing is opened. Raises _FullError."""
        self.step(_OPENED)
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


class _Row:
    """Envelopes and texts one behind the other in the same bytes: only what is in one is a level deeper."""

    def __init__(
        self, payload: bytes, opening: _Opening, level: int, seams: Sequence[int] = (), plain: bytes | None = None
    ) -> None:
        """Seams are where one text joins another, and a value begins."""
        self.payload, self.opening, self.level, self.seams = payload, opening, level, seams
        self.plain = values.plain(payload) if plain is None else plain
        self.begun: tuple[int, _Begun] = -1, _Begun(None, -1)  # what was found last, and from which place on
        self.uncovered = 0
        self.descriptors = inflate.Descriptors(payload)
        self.again = _AGAIN * len(payload)

    def parts(self) -> Iterator[Part]:
        """Whatever the bytes hold; on a fault what was read until then, and the fault is noted."""
        opening = self.opening
        text = values.Text(self.plain, self._is_packed, opening.step, opening.patience, self.seams)
        form, text.at = self._begins(0)
        while text.at < len(self.payload):
            if form:
                text.at = yield from self._packed(form, text.at)
                if self.plain is not text.payload:
                    text.become(self.plain)
            for begin, end, _, pieces, broken in text.spans():
                opening.count(pieces)
                yield Part(self.plain[begin:end], broken)
            form, text.at = self._begins(text.at)
        if fault := text.fault():
            opening.note(fault)

    def _begins(self, at: int) -> "_Begun":
        """What begins here, behind what may stand before it; of each place it is asked once."""
        if at not in (self.begun[0], self.begun[1].at):
            self.begun = at, _begins(self.payload, self.plain, at, self.opening.step)
        return self.begun[1]

    def _is_packed(self, at: int, lead: int) -> bool:
        if at not in (self.begun[0], self.begun[1].at):
            found = _surely(self.payload, at, lead, self.opening.step)
            if not found.form:
                return False
            self.begun = at, found
        return self.begun[1].form is not None

    def _packed(self, form: Form, at: int) -> "_Parts":
        """The parts of the envelope that begins here; then gives the place of what stands behind it."""
        if self.level == self.opening.limits.levels:
            detail = f"more than {self.level} envelopes in each other"
            self.opening.note(Rejection(Reason.ENVELOPE_TOO_DEEP, detail))
        match form:
            case Form.KPL:
                return (yield from self._kpl(at))
            case Form.ZIP:
                return (
                    yield from self._files(
                        inflate.unzip(self.payload, at, self.opening.take, self.descriptors), at
                    )
                )
            case Form.TAR:
                return (yield from self._files(tar.files(self.payload, at, self.opening.left()), at))
        return (yield from self._compressed(at))

    def _inside(self, data: bytes, seams: Sequence[int] = (), plain: bytes | None = None) -> Iterator[Part]:
        """What an envelope holds; nothing of one too deep, which is inflated only to find its end."""
        if data and self.level < self.opening.limits.levels:
            yield from _Row(data, self.opening, self.level + 1, seams, plain).parts()

    def _texts(self, texts: Sequence[bytes], plain: bytes) -> Iterator[Part]:
        """What texts in a row hold, `plain` the first. A value may go on; what is broken ends where one begins."""
        if len(texts) == 1:
            yield from self._inside(texts[0], plain=plain)
            return
        places = accumulate(map(len, texts))
        seams = [place for place, text in zip(places, texts[1:], strict=False) if _is_json(text, 0)]
        yield from self._inside(b"".join(texts), seams)

    def _compressed(self, at: int) -> "_Parts":
        """What the members of a gzip or the like hold: texts in a row are one, for a record may go on."""
        joined: list[bytes] = []
        first = b""
        before: Form | None = None
        words = False
        room = self.opening.take(len(self.payload) - at)
        try:
            for content in inflate.members(self.payload, at, room, self.opening.left):
                for data in self.opening.taken(content):
                    plain = values.plain(data)
                    form = _begins(data, plain).form
                    # an envelope, a field of server-sent events, JSON behind another encoding, or a text behind
                    # an envelope, or behind words of which no value can go on
                    own = (
                        form or data.startswith(_FIELD) or (data[:2] == b'{"' and joined and encoding(joined[-1]))
                    )
                    if joined and (own or ((before or words) and _is_json(plain, 0))):
                        texts, joined = joined, []
                        yield from self._texts(texts, first)
                    first, before = (first, before) if joined else (plain, form)
                    is_open = b"{" in plain or b"[" in plain
                    words = not is_open and (words if joined else plain.strip() != b"")
                    joined.append(data)
        except _FullError:
            yield from self._texts(joined, first)
            raise
        yield from self._texts(joined, first)
        return self._behind(content, at)

    def _files(self, archive: Iterator[inflate.Content], at: int) -> "_Parts":
        """The parts of each file; the last one is what ends the archive."""
        for content in archive:
            for data in self.opening.taken(content):
                yield from self._inside(data)
        return self._behind(content, at)

    def _kpl(self, at: int) -> "_Parts":
        """The records of an aggregate; nobody knows where one ends whose checksum is wrong."""
        content = inflate.Content("the aggregate", Reason.KPL_INVALID, 0)
        # only the first may be all there is, or each of thousands would be read to the end
        whole = at == skip(self.plain) and kpl.is_whole(self.payload[at:])
        content.end = len(self.payload) if whole else kpl.end(self.payload, at, self.opening.step)
        try:
            for data in kpl.data(self.payload[at : content.end], self.opening.step):
                self.opening.step(_OPENED)
                yield from self._inside(data)
        except kpl.AggregateError as error:
            self.opening.note(Rejection(Reason.KPL_INVALID, str(error)))
            if not self.opening.may_try():
                return len(self.payload)
            return self._behind_fields(kpl.end_of_fields(self.payload, at, self.opening.step))
        return self._behind(content, at)

    def _behind(self, content: inflate.Content, begin: int) -> int:
        """Where the next thing is behind what is compressed from `begin` on; the end, if none is found."""
        if content.fault:
            return self._behind_damage(content, begin)
        self._uncover(content.end)
        form, at = self._begins(content.end)
        if form or _is_json(self.plain, at):
            return at
        other = unread.named(self.payload, at)
        if values.line_ends(self.plain, content.end, at) and not other:
            return at
        goes_on = inflate.goes_on(self.payload, at) if self.opening.may_try() else len(self.payload)
        flaw = f"{content.name} has {goes_on - at:,} bytes behind its end, at byte {at:,}"
        if other:
            self.opening.note(Rejection(Reason.COMPRESSION_UNKNOWN, f"{flaw}: {other}"))
        else:
            self.opening.note(Rejection(content.invalid, flaw))
        return goes_on

    def _next(self, at: int) -> int | None:
        """Where an envelope or an object begins at this place; None where nothing does for sure."""
        form, begin = self._begins(at)
        return begin if form or inflate.is_object(self.plain, begin) else None

    def _behind_fields(self, at: int) -> int:
        """Where the next thing is behind an aggregate with a wrong checksum at this place, or none."""
        if self._begins(at).form:
            return self._begins(at).at
        behind = min(at + 16, len(self.payload))
        found = _BEGINNING.search(self.payload, at, behind + 3)
        cut = (found and found.start() < behind) or inflate.is_text(self.payload[at:behind], 0)
        return (None if cut else self._next(behind)) or len(self.payload)

    def _uncover(self, at: int) -> None:
        """Behind an envelope the rest of its line is no field of server-sent events, whatever it holds."""
        if self.plain is self.payload or self.plain[at : at + 1] == self.payload[at : at + 1]:
            return
        self.uncovered += 1
        end = values.line_end(self.payload, at) if self.uncovered <= _UNCOVERED else len(self.payload)
        self.plain = self.plain[:at] + self.payload[at:end] + self.plain[end:]

    def _behind_damage(self, content: inflate.Content, begin: int) -> int:
        """The same behind a fault; an envelope may begin in what was read as the rest of one that is cut."""
        if content.full or not self.opening.may_try():
            return len(self.payload)
        at = content.end
        if content.ends_here and (behind := self._next(at)) is not None:
            return behind
        swallowed = inflate.swallowed(self.payload, content)
        if swallowed is not None and self.again >= at - swallowed:
            self.again -= at - swallowed
            at = swallowed
        return inflate.goes_on(self.payload, max(at, begin + 1))


_Parts: TypeAlias = Generator[Part, None, int]


class _Begun(NamedTuple):
    """What is packed, if anything is, and where it begins."""

    form: Form | None
    at: int


_FIELD: Final = (b"data:", b"event:", b"id:", b"retry:")
_NESTED: Final = 8  # one in the other: some more than are opened, to be named
_OWN_BLANKS: Final = 3  # bytes like blanks that bare deflate begins with itself: it may be any byte
_MANY_BLANKS: Final = 16
_MAGIC: Final = {
    Form.GZIP: (inflate.GZIP,),
    Form.ZIP: (inflate.FILE, inflate.END, *inflate.SPLIT),
    Form.KPL: (kpl.MAGIC,),
}
_BEGINNING: Final = re.compile(rb"\x1f\x8b\x08|PK\x03\x04|\xf3\x89\x9a\xc2|[{\[]\s*[\"{\[]")  # of no checksum
_MAGICS: Final = tuple(magic for magics in _MAGIC.values() for magic in magics)


def _begins(payload: bytes, plain: bytes, at: int = 0, step: Callable[[int], None] = lambda _: None) -> _Begun:
    """What begins here, behind what may stand before it."""
    lead = skip(plain, at)
    begun = _surely(payload, at, lead, step)
    return begun if begun.form else _Begun(Form.ZLIB if inflate.is_zlib(payload, lead) else None, lead)


def _surely(
    payload: bytes, at: int, lead: int, step: Callable[[int], None] = lambda _: None, nested: int = _NESTED
) -> _Begun:
    """What begins behind these blanks that no text can be: it is also found in the middle of one."""
    if payload.startswith(_MAGICS, lead):
        return _Begun(next(form for form, magics in _MAGIC.items() if payload.startswith(magics, lead)), lead)
    if tar.begins(payload, lead):
        return _Begun(Form.TAR, lead)
    if values.is_json(payload, lead) or inflate.is_text(payload, lead):
        return _Begun(None, lead)
    if inflate.is_zlib(payload, lead, sure=True):
        return _Begun(Form.ZLIB, lead)
    for own in range(lead, max(at, lead - _OWN_BLANKS) - 1, -1):
        step(_TRIED)
        if _is_deflate(payload, own, step, nested):
            return _Begun(Form.DEFLATE, own)
    return _Begun(None, lead)


def _is_deflate(payload: bytes, at: int, step: Callable[[int], None], nested: int) -> bool:
    """Whether this, which is no text, inflates to what has a name here: bare deflate has no mark of its own."""
    if not nested:
        return False
    head, whole, alone = inflate.head(payload, at)
    lead = skip(head)
    if lead == len(head):
        return lead >= _MANY_BLANKS or (alone and lead > 0)
    return (
        inflate.is_readable(head, whole=whole)
        or bool(unread.named(head) or encoding(head) or unread.encoded_twice(head))
        or _surely(head, 0, lead, step, nested - 1).form is not None
    )


def _is_json(plain: bytes, at: int) -> bool:
    """Whether a value begins here, an array ends, or nothing is left."""
    at = skip(plain, at)
    return plain[at : at + 1] in (b"{", b"[", b"]", b"")


def _text(payload: bytes, plain: bytes) -> Form | None:
    """What a text is that holds anything but one record, blanks and a byte order mark around it."""
    if plain.startswith(b"[", skip(plain)):
        return Form.ARRAY
    opening = _Opening(_FEW, 0)
    row = _Row(payload, opening, 0, plain=plain)
    text = values.Text(plain, row._is_packed, opening.step, opening.patience)
    found = text.spans()
    try:
        first, second = next(found, None), next(found, None)
    except _FullError:  # brackets alone
        return Form.SEQUENCE
    if not first or not (first.whole or second or text.at < len(payload)):
        return None
    if plain[first.begin : first.end] == payload.removeprefix(BOM).strip(BLANKS):
        return None
    goes_on = plain[first.end :].rstrip(BLANKS)
    return Form.LINES if b"\n" in goes_on or b"\r" in goes_on else Form.SEQUENCE
