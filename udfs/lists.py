"""A JSON list and the operators on it, each at its place, in whatever order they come.

Elements are equal when their JSON is, whatever its blanks, escapes and order of keys: 1, true and "1" differ, and
so do 1 and 1.0. Each element keeps the spelling that it came with.

What becomes of an element depends on the operators that name an equal one, and on no others. So an operator costs
what its own operand does, whatever stands behind it and however long the list is.
"""

import re
from bisect import insort_right
from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from sys import getsizeof
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

_encode: Final = msgspec.json.encode
_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_list: Final = msgspec.json.Decoder(list[Raw]).decode
_strings: Final = msgspec.json.Decoder(list[str]).decode
_string: Final = msgspec.json.Decoder(str).decode
_any: Final = msgspec.json.Decoder(float_hook=Raw).decode
_sorted: Final = msgspec.json.Encoder(order="sorted").encode

_LIST, _STRING = b'["'
_MINUS_ZERO: Final = re.compile(rb"(?<![^\[,:\s])-0(?![^,\]}\s])")
_BLANKS: Final = (b" ", b"\n", b"\t", b"\r")
_NOTHING: Final = Raw(b"[]")

# bytes that CPython 3.11 takes, measured: tests/properties/test_held.py holds them to what is allocated
_OF_LIST, _OF_OPERATOR, _OF_TEXT, _OF_KEPT, _OF_HEAP = 250, 270, 33, 70, 88

Canonical: TypeAlias = str | bytes
"""What equal elements have in common: of a string its characters, of all else one spelling of its JSON."""
Place: TypeAlias = tuple[Any, ...]
"""Where an operator stands among the others, in numbers and bytes: places sort as operators apply.

() is the end of what is folded.
"""


class Part:
    """What a list began with, or an operator on it: the elements of its value or operand, or what is left of them.

    With `before` they stand before the list; with `lacking` only those are put that it lacks. Its `size` are bytes
    beside the operand, once the elements are joined.
    """

    __slots__ = ("_joined", "_kept", "_of_kept", "before", "lacking", "names", "operand", "size", "stale")

    def __init__(
        self, operand: Raw, *, before: bool = False, lacking: bool = False, names: Sequence[Canonical] = ()
    ) -> None:
        self.operand, self.before, self.lacking = operand, before, lacking
        self.names = names  # of a removal that is not folded: what it removes
        self.size = self._of_kept = getsizeof(names) + _of_names(names) if names else 0
        self.stale = False  # whether elements that were left out have come back
        # by what equal ones have in common, from the second on with their number; None: all of them
        self._kept: dict[Canonical | tuple[Canonical, int], Raw] | None = None
        self._joined: bytes | None = None

    @property
    def joined(self) -> bytes:
        """The elements that are left, with commas between them."""
        if self._joined is None:
            kept = self._kept
            self._joined = _joined(self.operand) if kept is None else _encode(list(kept.values()))[1:-1]
            self.size = self._of_kept + _OF_TEXT + len(self._joined) + (0 if kept is None else getsizeof(kept))
        return self._joined

    def keep(self, spelled: Sequence[Canonical], wanted: Iterable[Canonical]) -> None:
        """Leave the first of each of these, and no other; given the elements as they are compared."""
        firsts = dict(zip(reversed(spelled), reversed(_elements(self.operand)), strict=True)) if wanted else {}
        self._keep({one: firsts[one] for one in wanted})
        self._joined, self.stale = None, False

    def drop(self, unwanted: Canonical) -> None:
        """Leave out all that equal this one, if there are any."""
        if self.stale:
            return
        if self._kept is None:
            self._keep(_numbered(compared(self.operand), _elements(self.operand)))
        kept = self._kept
        if kept and kept.pop(unwanted, None) is not None:
            self._joined, number = None, 1
            while not self.lacking and kept.pop((unwanted, number), None) is not None:
                number += 1
            self._of_kept -= number * _OF_KEPT + getsizeof(unwanted)
            if not kept:
                self._kept = {}  # one that was full keeps its room

    def forget_names(self) -> int:
        """Nothing comes any more before a removal: how many bytes that gives free."""
        if not self.names:
            return 0
        free, self.names, self._of_kept = self._of_kept, (), 0
        self.size -= free
        return free

    def _keep(self, kept: dict[Canonical | tuple[Canonical, int], Raw]) -> None:
        self._kept, self._of_kept = kept, len(kept) * _OF_KEPT + _of_names(kept)


_Entry: TypeAlias = list[Any]
"""A part behind the numbers of its place, so that entries sort as operators apply; folded ones come first."""
_Heap: TypeAlias = Sequence[_Entry]
"""A tuple of one, which many elements share, or a heap of its own."""
_FOLDED: Final = float("-inf")


class Elements:
    """The elements of one list.

    For each element it is known which operators have put an equal one since the last removal. The first of them
    puts it into the list; so do those of the others that put not only what is lacking.
    """

    __slots__ = (
        "_as_it_came",
        "_entries",
        "_of_names",
        "_of_parts",
        "_put",
        "_removed",
        "_stale",
        "_start",
        "folded",
        "folded_text",
    )

    def __init__(self, value: Raw | None) -> None:
        """Take a value: a list; what is no list is a list of itself; None is an empty one."""
        self._start = Part(_NOTHING if value is None else value)
        self._as_it_came = value is not None and is_list(value)  # no operator has found something to do
        self._entries: list[_Entry] = []
        self._stale: list[Part] = []
        self._put: dict[Canonical, _Heap] | None = None  # made for the first operator that compares
        self._removed: dict[Canonical, _Entry] = {}  # by those that are not folded
        self._of_names = self._of_parts = 0
        self.folded = 0
        """How many operators are folded."""
        self.folded_text = len(self._start.operand)
        """Bytes of their operands and of the value that the list began with, also of what was removed since."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory once it is encoded, beside the operands that are not folded."""
        names = self._of_names + getsizeof(self._put) + getsizeof(self._removed)
        return _OF_LIST + _OF_OPERATOR * len(self._entries) + self.folded_text + names + self._of_parts

    def begins(self, place: Place) -> bool:
        """Whether the first of the operators stands before this place."""
        return not place or self._entries[0] < [*place]

    def add(self, place: Place, operand: Raw, *, before: bool, lacking: bool) -> bool:
        """Put elements before or behind the list, all or those that it lacks; whether there were some to put."""
        put = self._compared() if lacking else self._put
        part = Part(operand, before=before, lacking=lacking)
        entry = self._insert(place, part)
        if put is not None:
            self._note(put, entry)
        added = bool(part.joined)
        self._as_it_came = self._as_it_came and not added
        return added

    def remove(self, place: Place, operand: Raw) -> bool:
        """Take out every instance of these; whether there was one."""
        put, wanted = self._compared(), set(compared(operand))
        entry = self._insert(place, Part(_NOTHING, names=tuple(wanted) if place else ()))
        if place:  # before a folded one nothing comes
            if self._removed:
                wanted = {one for one in wanted if one not in self._removed or self._removed[one] < entry}
            self._removed.update(dict.fromkeys(wanted, entry))
        removed = [one for one in wanted & put.keys() if self._take_out(put, entry, one)]
        self._as_it_came = self._as_it_came and not removed
        return bool(removed)

    def fold(self, place: Place) -> None:
        """Nothing comes any more before the operators up to this place."""
        last = [*place]
        for entry in self._entries[self.folded :]:
            if entry[:-1] > last:
                break
            entry[:-1] = _FOLDED, self.folded
            self.folded += 1
            part: Part = entry[-1]
            self.folded_text += len(part.operand)
            for one in part.names:
                if self._removed.get(one) is entry:
                    del self._removed[one]
            self._of_parts -= part.forget_names()

    def encoded(self) -> Raw:
        """The list as JSON: as it came until an operator finds something to do, then without blanks between."""
        for part in self._stale:
            self._put_back(part)
        self._stale.clear()
        encoded, parts = self._start.operand, [entry[-1] for entry in self._entries]
        if not self._as_it_came:
            before = [part.joined for part in reversed(parts) if part.before]
            behind = [part.joined for part in parts if not part.before]
            encoded = Raw(b"[%s]" % b",".join(filter(None, (*before, self._start.joined, *behind))))
        self._of_parts = self._start.size + sum([part.size for part in parts])
        return encoded

    def _insert(self, place: Place, part: Part) -> _Entry:
        if place:
            entry: _Entry = [*place, part]
            insort_right(self._entries, entry, self.folded)
        else:
            entry = [_FOLDED, self.folded, part]
            self._entries.append(entry)
            self.folded += 1
            self.folded_text += len(part.operand)
        return entry

    def _compared(self) -> dict[Canonical, _Heap]:
        if self._put is None:
            spelled = compared(self._start.operand)
            self._put = dict.fromkeys(spelled, ([_FOLDED, -1, self._start],))
            self._of_names = _of_names(self._put)
            for entry in self._entries:
                self._note(self._put, entry)
        return self._put

    def _note(self, put: dict[Canonical, _Heap], entry: _Entry) -> None:
        """Note which elements an operator puts, and leave out those that do not come into the list."""
        part: Part = entry[-1]
        spelled, alone, removed, lost = compared(part.operand), (entry,), self._removed, []
        wanted = dict.fromkeys(spelled)
        for one in wanted:
            if removed and one in removed and removed[one] > entry:
                self._as_it_came = False  # what it puts does not outlast the removal
                lost.append(one)
                continue
            known = put.get(one)
            if known is None:
                put[one] = alone
                self._of_names += getsizeof(one)
                continue
            heap = put[one] = known if isinstance(known, list) else [*known]
            self._of_names += 8 if heap is known else _OF_HEAP
            heappush(heap, entry)
            if heap[0] is not entry:
                if part.lacking:
                    lost.append(one)
            elif (second := min(heap[1:3])[-1]).lacking:
                second.drop(one)
        if part.lacking and (lost or len(wanted) < len(spelled)):
            for one in lost:
                del wanted[one]
            part.keep(spelled, wanted)
        else:
            for one in lost:
                part.drop(one)

    def _take_out(self, put: dict[Canonical, _Heap], entry: _Entry, one: Canonical) -> bool:
        """Take out what was put before an operator; whether there was something."""
        known, gone = put.pop(one), False
        heap = [*known]
        self._of_names -= _of_heap(known)
        while heap and heap[0] < entry:
            heappop(heap)[-1].drop(one)
            gone = True
        if not heap:
            self._of_names -= getsizeof(one)
        else:
            put[one] = heap
            self._of_names += _of_heap(heap)
            part: Part = heap[0][-1]
            if gone and part.lacking:
                part.stale = True
                self._stale.append(part)
        return gone

    def _put_back(self, part: Part) -> None:
        """Find out anew which elements an operator puts where the list lacks them."""
        if part.stale and self._put is not None:
            spelled = compared(part.operand)
            heaps = {one: self._put.get(one) for one in spelled}
            part.keep(spelled, [one for one, heap in heaps.items() if heap and heap[0][-1] is part])


def compared(value: Raw) -> Sequence[Canonical]:
    """The elements of a list, or another value itself, as they are compared."""
    return _compared(value) if is_list(value) else (canonical(value),)


def _compared(value: Raw) -> Sequence[Canonical]:
    """Most lists hold nothing but strings, or nothing but numbers: these are read at once."""
    text = bytes(value)
    if b'"' not in text and text.rfind(b"[") == 0 and b"{" not in text:
        inner = b"".join(text.split())[1:-1]
        return inner.split(b",") if inner else ()
    try:
        return _strings(value)
    except msgspec.ValidationError:
        pass
    try:
        return [one if isinstance(one, str) else _sorted(one) for one in _spelled_alike(text)]
    except ValueError:
        return list(map(canonical, _list(value)))


def _of_names(names: Iterable[Canonical | tuple[Canonical, int]]) -> int:
    return sum(map(getsizeof, names))


def _of_heap(heap: _Heap) -> int:
    return _OF_HEAP + 8 * (len(heap) - 2) if isinstance(heap, list) else 0


def is_list(value: Raw) -> bool:
    """Whether the JSON text spells a list."""
    return memoryview(value)[0] == _LIST


def first(value: Raw) -> str:
    """The first character of a JSON text."""
    return chr(memoryview(value)[0])  # bytes(value) would copy all of it


def canonical(value: Raw) -> Canonical:
    """One spelling for all texts of the same JSON; numbers keep theirs."""
    return _string(value) if memoryview(value)[0] == _STRING else _canonical(bytes(value))


def _canonical(value: bytes) -> bytes:
    try:
        return _sorted(_spelled_alike(value))
    except ValueError:
        return _canonical_by_parts(value)


def _spelled_alike(text: bytes) -> Any:
    """A value whose numbers are spelled as they came. ValueError: Python can't, minus zero or too many digits."""
    if _MINUS_ZERO.search(text):
        raise ValueError
    return _any(text)


def _canonical_by_parts(value: bytes) -> bytes:
    match value[:1]:
        case b'"':
            return _encode(_string(value))
        case b"[":
            return b"[%s]" % b",".join([_canonical_by_parts(bytes(element)) for element in _list(value)])
        case b"{":
            fields = sorted(_object(value).items())
            return b"{%s}" % b",".join(
                [b"%s:%s" % (_encode(name), _canonical_by_parts(bytes(field))) for name, field in fields]
            )
    return value


def _numbered(
    spelled: Sequence[Canonical], elements: Sequence[Raw]
) -> dict[Canonical | tuple[Canonical, int], Raw]:
    kept: dict[Canonical | tuple[Canonical, int], Raw] = dict(zip(spelled, elements, strict=True))
    if len(kept) == len(elements):  # nearly always
        return kept
    kept.clear()
    met = Counter[Canonical]()
    for one, element in zip(spelled, elements, strict=True):
        kept[(one, met[one]) if met[one] else one] = element
        met[one] += 1
    return kept


def _elements(value: Raw) -> list[Raw]:
    return _list(value) if is_list(value) else [value]


def _joined(value: Raw) -> bytes:
    """The elements of a list, or another value itself, with commas between them."""
    text = bytes(value)
    if not is_list(value):
        return text
    return _encode(_list(value))[1:-1] if any(blank in text for blank in _BLANKS) else text[1:-1]
