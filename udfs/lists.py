"""A JSON list and the operators on it, each at its place, in whatever order they come.

Elements are equal when their JSON is, whatever its blanks, escapes and order of keys: 1, true and "1" differ, and
so do 1 and 1.0. Each element keeps the spelling that it came with.

What becomes of an element depends on the operators that name an equal one, and on no others. So an operator costs
what its own operand does, whatever stands behind it and however long the list is.
"""

import re
from bisect import bisect_left, insort_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import compress, count
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
_MINUS_ZERO: Final = re.compile(rb"-0(?![^,\]}\s])(?<![^\[,:\s]-0)")  # begins with what is sought at once
_BLANKS: Final = (b" ", b"\n", b"\t", b"\r")
_NOTHING: Final = Raw(b"[]")

# bytes that CPython 3.11 takes, measured: tests/properties/test_held.py holds them to what is allocated
_OF_LIST, _OF_OPERATOR, _OF_ENTRIES, _OF_NAME, _OF_ELEMENT, _OF_NUMBER = 350, 330, 88, 45, 56, 32

_TAKEN_OUT: Final = 4  # to take an operator out costs as much as to compare some others anew

Canonical: TypeAlias = str | bytes
"""What equal elements have in common: of a string its characters, of all else one spelling of its JSON."""
Place: TypeAlias = tuple[Any, ...]
"""Where an operator stands among the others, in numbers and bytes: places sort as operators apply.

() is the end of what is folded.
"""


class Part:
    """The elements of an operand, or of the value that a list began with: all, or those that are in the list.

    With `before` they stand before the list; with `lacking` only those are put that it lacks.
    """

    __slots__ = ("_elements", "_inside", "_joined", "_numbers", "_spelled", "before", "lacking", "operand", "size")

    def __init__(self, operand: Raw, *, before: bool = False, lacking: bool = False) -> None:
        self.operand, self.before, self.lacking = operand, before, lacking
        self._spelled: Sequence[Canonical] | None = None
        self._elements: Sequence[Raw] = ()
        self._numbers: dict[Canonical, int | list[int]] = {}  # by what elements have in common, once asked for
        self._inside: bytearray | None = None  # of each element whether it is in the list; None: all of them
        self._joined: bytes | None = None
        self.size = 0
        """Bytes in memory beside the operand."""

    @property
    def spelled(self) -> Sequence[Canonical]:
        """All elements as they are compared."""
        if self._spelled is None:
            self._spelled = compared(self.operand)
            text = bytes(self.operand)
            characters = len(text) * (1 if text.isascii() and b"\\u" not in text else 4)
            self.size += getsizeof(self._spelled) + _OF_NAME * len(self._spelled) + characters
        return self._spelled

    @property
    def is_whole(self) -> bool:
        """Whether no element was taken out of the list."""
        return self._inside is None

    @property
    def joined(self) -> bytes:
        """The elements that are in the list, with commas between them."""
        if self._joined is None:
            if self._inside is None:
                self._joined = _joined(self.operand)
            elif 1 in self._inside:
                self._joined = _encode([*compress(self._found, self._inside)])[1:-1]
            else:
                self._joined = b""
            self.size += getsizeof(self._joined)
        return self._joined

    def take_all(self) -> None:
        """Put all elements into the list."""
        self._show(None)

    def keep(self, wanted: Collection[Canonical]) -> None:
        """Leave the first of each of these in the list, and no other."""
        inside = bytearray(len(self.spelled))
        for one in wanted:
            inside[self._where(one)[0]] = 1
        self._show(inside)

    def keep_all(self, wanted: Collection[Canonical]) -> None:
        """Leave every one that equals one of these in the list, and no other."""
        self._show(bytearray(map(wanted.__contains__, self.spelled)))

    def take_out(self, one: Canonical) -> None:
        """Take all elements that equal this one out of the list."""
        inside = bytearray(b"\1") * len(self.spelled) if self._inside is None else self._inside
        if 1 in inside:
            for number in self._where(one):
                inside[number] = 0
            self._show(inside)

    def put_in(self, one: Canonical) -> None:
        """Put the first of the elements that equal this one into the list."""
        if self._inside is not None:
            self._inside[self._where(one)[0]] = 1
            self._show(self._inside)

    def _show(self, inside: bytearray | None) -> None:
        self.size += (0 if inside is None else getsizeof(inside)) - (
            0 if self._inside is None else getsizeof(self._inside)
        )
        self.size -= 0 if self._joined is None else getsizeof(self._joined)
        self._inside, self._joined = inside, None

    @property
    def _found(self) -> Sequence[Raw]:
        if not self._elements:
            self._elements = _list(self.operand) if is_list(self.operand) else (self.operand,)
            self.size += _OF_ELEMENT * len(self._elements)
        return self._elements

    def _where(self, one: Canonical) -> Sequence[int]:
        """The numbers of the elements that equal this one, of which there are some."""
        if not self._numbers:
            self._numbers = dict(zip(self.spelled, count(), strict=False))
            if len(self._numbers) < len(self.spelled):
                self._numbers = _numbers(self.spelled)
            self.size += _OF_NUMBER * len(self.spelled) + getsizeof(self._numbers)
        found = self._numbers[one]
        return (found,) if isinstance(found, int) else found


def _numbers(spelled: Sequence[Canonical]) -> dict[Canonical, int | list[int]]:
    found = defaultdict[Canonical, list[int]](list)
    for number, one in enumerate(spelled):
        found[one].append(number)
    return dict(found)


_Entry: TypeAlias = list[Any]
"""The numbers of a place and behind them a part, or the names that a removal takes out.

Entries sort as operators apply; folded ones come first.
"""
_Entries: TypeAlias = Sequence[_Entry]
"""In their order: a tuple of one, which many elements share, or a list of its own."""
_FOLDED: Final = float("-inf")
_BEHIND: Final[_Entry] = [float("inf")]


class Elements:
    """The elements of one list: what it began with, and operators on it at their places.

    For each element it is known which operators have put an equal one since the last removal. The first of them
    puts it into the list, unless the list began with it; so do those of the others that put not only what is
    lacking.
    """

    __slots__ = (
        "_awaits",
        "_began",
        "_begun",
        "_changed",
        "_entries",
        "_folded_text",
        "_of_entries",
        "_of_parts",
        "_of_removals",
        "_put",
        "_removals",
        "_removed",
        "_since",
        "_start",
        "folded",
    )

    def __init__(self) -> None:
        self._start, self._since = Part(_NOTHING), _BEHIND
        self._begun = False  # for good: nothing comes any more before the start
        self._began: dict[Canonical, None] = {}  # what of the start is in the list, once anything is compared
        self._entries: list[_Entry] = []  # that put something
        self._put: dict[Canonical, _Entries] | None = None  # made where an operator compares
        self._awaits = False  # whether one that compares has come since the value was made
        self._removals: list[_Entry] = []  # not the folded ones
        self._removed: dict[Canonical, _Entry] = {}  # by the last of these that names the element
        self._changed: _Entry | None = None  # the last operator of which a removal took something
        self._of_entries = self._of_removals = self._of_parts = 0
        self.folded = 0
        """How many operators that put something are folded."""
        self._folded_text = 0

    @property
    def first(self) -> Place | None:
        """The place of the first operator that puts something."""
        return tuple(self._entries[0][:-1]) if self._entries else None

    @property
    def folded_text(self) -> int:
        """Bytes of the operands that are folded, and of what the list began with, removed or not."""
        return len(self._start.operand) + self._folded_text

    @property
    def size(self) -> int:
        """Bytes that it takes in memory beside the operands that are not folded."""
        found = sum(map(getsizeof, (self._put, self._removed, self._began)))
        found += self._of_entries + self._of_removals + self._of_parts
        operators = _OF_OPERATOR * (len(self._entries) + len(self._removals))
        return _OF_LIST + operators + self.folded_text + found

    def begin(self, value: Raw | None, since: Place) -> None:
        """Take a value for what the list began with at a place, () before all others.

        What is no list is a list of itself.
        """
        value = _NOTHING if value is None else value
        if self._begun or (value is self._start.operand and self._since == [*since]):
            return
        self._start, self._since = Part(value), [*since]
        if self._put is not None:
            before, self._began = self._began, self._beginning()
            put = self._put.keys()
            for one in (put & before.keys()) ^ (put & self._began.keys()):
                _show(self._put[one][0][-1], one, shown=one not in self._began)

    def add(self, place: Place, operand: Raw, *, before: bool, lacking: bool) -> Part:
        """Put elements before or behind the list, all or those it lacks; behind all others, the part has these."""
        part = Part(operand, before=before, lacking=lacking)
        put = self._compared() if lacking and not place else self._put
        entry = self._insert(place, part)
        if put is not None:
            self._note(put, entry)
        elif lacking:
            self._awaits = True
        return part

    def remove(self, place: Place, operand: Raw) -> bool:
        """Take out every instance of these; whether there was one, where it stands behind all others."""
        wanted: Collection[Canonical] = compared(operand)
        removal = _BEHIND
        if place:  # before a folded one nothing comes
            removal = [*place, (*dict.fromkeys(wanted),)]
            wanted = self._note_removal(removal)
            if self._put is None:
                self._awaits = True
                return False
        put = self._compared()
        return bool([one for one in dict.fromkeys(wanted) if self._take_out(put, removal, one)])

    def fold(self, place: Place) -> None:
        """Nothing comes any more before the operators up to this place."""
        last = [*place]
        if self._since <= last:
            self._begun, self._since = True, []
        self._forget_removals([*place[:-1], place[-1] + 0.5])
        for entry in self._entries[self.folded :]:
            if entry[:-1] > last:
                break
            entry[:-1] = _FOLDED, self.folded
            self.folded += 1
            self._folded_text += len(entry[-1].operand)

    def drop(self, place: Place) -> None:
        """Make it as if nothing had been before this place; what the list then begins with comes next."""
        first = [*place]
        self._forget_removals(first)
        at = bisect_left(self._entries, first)
        dropped, self._entries = self._entries[:at], self._entries[at:]
        if self._changed is not None and self._changed < first:
            self._changed = None
        self._begun, self._since = False, _BEHIND
        self.folded = self._folded_text = 0
        if self._put is not None and _TAKEN_OUT * at <= len(self._entries):
            for one in {one for entry in dropped for one in entry[-1].spelled} & self._put.keys():
                self._cut(self._put, one, bisect_left(self._put[one], first))
            return
        if self._put is not None:  # what is left is made anew
            self._put, self._began, self._start, self._of_entries = None, {}, Part(_NOTHING), 0
            for entry in self._entries:
                entry[-1].take_all()
        self._awaits = bool(self._removals) or any(entry[-1].lacking for entry in self._entries)

    def encoded(self) -> Raw:
        """The list as JSON: as it came unless an operator finds something to do, then without blanks between."""
        if self._awaits:
            self._compared()
        parts: list[Part] = [entry[-1] for entry in self._entries]
        before = [part.joined for part in reversed(parts) if part.before]
        behind = [part.joined for part in parts if not part.before]
        self._of_parts = self._start.size + sum([part.size for part in parts])
        is_changed = self._changed is not None or not self._start.is_whole or any(before) or any(behind)
        if is_list(self._start.operand) and not is_changed:
            return self._start.operand
        return Raw(b"[%s]" % b",".join(filter(None, (*before, self._start.joined, *behind))))

    def _insert(self, place: Place, part: Part) -> _Entry:
        if place:
            entry: _Entry = [*place, part]
            insort_right(self._entries, entry, self.folded)
        else:
            entry = [_FOLDED, self.folded, part]
            self._entries.append(entry)
            self._begun = True
            self.folded += 1
            self._folded_text += len(part.operand)
        return entry

    def _compared(self) -> dict[Canonical, _Entries]:
        """Which operators have put each element; made for all operators at once, where it is not there yet."""
        if self._put is None:
            self._put, self._began, self._awaits = {}, self._beginning(), False
            for entry, living in self._living():
                self._note_last(self._put, entry, living)
        return self._put

    def _living(self) -> Iterable[tuple[_Entry, set[Canonical]]]:
        """The operators that put something, in their order, each with its elements that no removal takes out."""
        found, gone, removals = list[tuple[_Entry, set[Canonical]]](), set[Canonical](), [*self._removals]
        for entry in reversed(self._entries):
            while removals and removals[-1] > entry:
                gone.update(removals.pop()[-1])
            part: Part = entry[-1]
            named = set(part.spelled)
            living = named - gone
            if len(living) < len(named):
                self._change(entry)
                if not part.lacking:
                    part.keep_all(living)
            found.append((entry, living))
        return reversed(found)

    def _note_last(self, put: dict[Canonical, _Entries], entry: _Entry, living: set[Canonical]) -> None:
        """Note which elements an operator behind all others puts, given those that none takes out."""
        part: Part = entry[-1]
        again = living & put.keys()
        self._of_entries += 8 * len(again)
        for one in again:
            known = put[one]
            if isinstance(known, list):
                known.append(entry)
            else:
                put[one] = [*known, entry]
                self._of_entries += _OF_ENTRIES - 8
        new = living - again
        put.update(dict.fromkeys(new, (entry,)))
        if part.lacking:
            new = new.difference(self._began)  # `-` with the dictionary's keys would look at all of these
            if len(new) < len(part.spelled):
                part.keep(new)

    def _beginning(self) -> dict[Canonical, None]:
        """What of the start no removal has taken."""
        began = dict.fromkeys(self._start.spelled)
        gone = [one for one in self._removed.keys() & began.keys() if self._removed[one] > self._since]
        for one in gone:
            del began[one]
        if gone:
            self._start.keep_all(began)
        return began

    def _note_removal(self, removal: _Entry) -> Collection[Canonical]:
        """Note a removal at its place; the elements of which it is the last."""
        insort_right(self._removals, removal)
        wanted, removed = removal[-1], self._removed
        self._of_removals += sum(map(getsizeof, wanted))
        last = {one: removal for one in wanted if one not in removed or removed[one] < removal}
        removed.update(last)
        return last

    def _note(self, put: dict[Canonical, _Entries], entry: _Entry) -> None:
        """Note which elements an operator puts, and leave out those that do not come into the list."""
        part: Part = entry[-1]
        if entry is self._entries[-1] and (not self._removals or self._removals[-1] < entry):
            self._note_last(put, entry, set(part.spelled))
            return
        spelled, alone, removed, began, lost = part.spelled, (entry,), self._removed, self._began, []
        wanted = dict.fromkeys(spelled)
        for one in wanted:
            if removed and one in removed and removed[one] > entry:
                self._change(entry)
                lost.append(one)
                continue
            known = put.get(one)
            if known is None:
                put[one] = alone
                if part.lacking and one in began:
                    lost.append(one)
                continue
            entries = put[one] = known if isinstance(known, list) else [*known]
            self._of_entries += 8 if entries is known else _OF_ENTRIES
            insort_right(entries, entry)
            if entries[0] is not entry or one in began:
                if part.lacking:
                    lost.append(one)
            elif (second := entries[1][-1]).lacking:
                second.take_out(one)
        if part.lacking and (lost or len(wanted) < len(spelled)):
            for one in lost:
                del wanted[one]
            part.keep(wanted)
        else:
            for one in lost:
                part.take_out(one)

    def _take_out(self, put: dict[Canonical, _Entries], removal: _Entry, one: Canonical) -> bool:
        """Take out what was put before a removal; whether there was something."""
        began = one in self._began and self._since < removal
        if began:
            del self._began[one]
            self._start.take_out(one)
        if one not in put:
            return began
        known = put[one]
        at = bisect_left(known, removal)
        for entry in known[:at]:
            if not entry[-1].lacking or entry is known[0]:
                entry[-1].take_out(one)
        if at:
            self._change(known[at - 1])
        if at or began:
            self._cut(put, one, at)
        return began or at > 0

    def _cut(self, put: dict[Canonical, _Entries], one: Canonical, at: int) -> None:
        """Forget the first of those that have put an element, so that the next puts it."""
        known = put[one]
        self._of_entries -= _of_entries(known)
        if at == len(known):
            del put[one]
            return
        put[one] = rest = [*known[at:]]
        self._of_entries += _of_entries(rest)
        if one not in self._began:
            _show(rest[0][-1], one, shown=True)

    def _change(self, entry: _Entry) -> None:
        if self._changed is None or self._changed < entry:
            self._changed = entry

    def _forget_removals(self, first: _Entry) -> None:
        """Forget those before a place."""
        at = bisect_left(self._removals, first)
        for removal in self._removals[:at]:
            for one in removal[-1]:
                self._of_removals -= getsizeof(one)
                if self._removed.get(one) is removal:
                    del self._removed[one]
        del self._removals[:at]


def _show(part: Part, one: Canonical, *, shown: bool) -> None:
    """Of the first operator that puts an element: whether it is the first that has it in the list."""
    if part.lacking:
        (part.put_in if shown else part.take_out)(one)


def compared(value: Raw) -> Sequence[Canonical]:
    """The elements of a list, or another value itself, as they are compared."""
    return _compared(value) if is_list(value) else (canonical(value),)


def _compared(value: Raw) -> Sequence[Canonical]:
    """Most lists hold nothing but strings, or nothing but numbers: these are read at once."""
    text = bytes(value)
    if b'"' not in text and text.rfind(b"[") == 0 and b"{" not in text:
        inner = b"".join(text.split())[1:-1]
        return inner.split(b",") if inner else ()
    if text[1:2] not in (b"{", b"["):  # else the error would cost as much as ten elements
        try:
            return _strings(value)
        except msgspec.ValidationError:
            pass
    try:
        found = _spelled_alike(text)
        if str not in set(map(type, found)):
            return [*map(_sorted, found)]
        return [one if isinstance(one, str) else _sorted(one) for one in found]
    except ValueError:
        return list(map(canonical, _list(value)))


def _of_entries(entries: _Entries) -> int:
    return _OF_ENTRIES + 8 * (len(entries) - 2) if isinstance(entries, list) else 0


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


def _joined(value: Raw) -> bytes:
    """The elements of a list, or another value itself, with commas between them."""
    text = bytes(value)
    if not is_list(value):
        return text
    return _encode(_list(value))[1:-1] if any(blank in text for blank in _BLANKS) else text[1:-1]
