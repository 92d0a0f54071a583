"""A JSON list while list operators change it: decoded once and encoded once, however many operators apply.

Elements are equal when their JSON is, whatever its blanks, escapes and order of keys: 1, true and "1" differ, and
so do 1 and 1.0. Each element keeps the spelling that it came with.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, Self, TypeAlias

import msgspec
from msgspec import Raw

_encode: Final = msgspec.json.encode
_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_list: Final = msgspec.json.Decoder(list[Raw]).decode
_strings: Final = msgspec.json.Decoder(list[str]).decode
_string: Final = msgspec.json.Decoder(str).decode

_LIST, _STRING = b'["'

Canonical: TypeAlias = str | bytes
"""What equal elements have in common: of a string its characters, of all else one spelling of its JSON."""


class Run:
    """Elements that came together: those of a value, or what an operator adds of its operand."""

    __slots__ = ("_compared", "_value", "elements")

    def __init__(
        self, elements: list[Raw], compared: Sequence[Canonical] | None = None, value: Raw | None = None
    ) -> None:
        self.elements, self._compared, self._value = elements, compared, value

    @classmethod
    def of(cls, value: Raw | None) -> Self:
        """The elements of a list; of another value itself, of None nothing."""
        if value is None:
            return cls([], ())
        return cls(_list(value), None, value) if is_list(value) else cls([value])

    def compared(self) -> Sequence[Canonical]:
        """The elements as they are compared, read when the first comparison asks."""
        if self._compared is None:
            self._compared = list(map(canonical, self.elements)) if self._value is None else _compared(self._value)
        return self._compared


_NOTHING: Final = Run([], ())
_NEVER: Final = (-1, -1)


class Elements:
    """The elements of one list. An operator costs the size of its operand, not the size of the list.

    The list stays as it was decoded, and what operators add stands before and behind it. A removal is noted with
    how many runs stood before and behind at that moment, because equal elements that are added later stay.
    """

    def __init__(self, value: Raw | None) -> None:
        """Take a value: a list; what is no list is a list of itself; None is an empty one."""
        self._middle = Run.of(value)
        self._before: list[Run] = []  # outwards: the last one is the first of the list
        self._behind: list[Run] = []
        self._present: set[Canonical] | None = None  # made for the first operator that compares
        self._removed: dict[Canonical, tuple[int, int]] = {}

    def append(self, added: Run) -> None:
        """Put these behind the list."""
        self._behind.append(added)
        self._note(added)

    def prepend(self, added: Run) -> None:
        """Put these before the list, in their order."""
        self._before.append(added)
        self._note(added)

    def lacking(self, wanted: Run) -> Run:
        """Those that the list has not, each once, in their order."""
        present = self._known()
        if len(wanted.elements) == 1:  # nearly always
            return _NOTHING if wanted.compared()[0] in present else wanted
        fresh = set(wanted.compared()) - present
        if len(fresh) == len(wanted.elements):
            return wanted
        if not fresh:
            return _NOTHING
        found: dict[Canonical, Raw] = {}
        for spelled, element in zip(wanted.compared(), wanted.elements, strict=True):
            if spelled in fresh:
                found.setdefault(spelled, element)
        return Run(list(found.values()), list(found))

    def remove(self, unwanted: Iterable[Canonical]) -> bool:
        """Take out every instance of these; whether there was one."""
        gone = self._known().intersection(unwanted)
        self._known().difference_update(gone)
        self._removed.update(dict.fromkeys(gone, (len(self._before), len(self._behind))))
        return bool(gone)

    def encoded(self) -> Raw:
        """The list as JSON."""
        if self._removed:
            before = [self._left(run, at, 0) for at, run in enumerate(self._before)]
            middle = self._left(self._middle, _NEVER[0], 0)
            behind = [self._left(run, at, 1) for at, run in enumerate(self._behind)]
        else:
            before, middle = [run.elements for run in self._before], self._middle.elements
            behind = [run.elements for run in self._behind]
        return Raw(_encode(list(chain.from_iterable([*reversed(before), middle, *behind]))))

    def _known(self) -> set[Canonical]:
        if self._present is None:
            self._present = set(self._middle.compared())
            for run in (*self._before, *self._behind):
                self._note(run)
        return self._present

    def _note(self, added: Run) -> None:
        if self._present is not None:
            self._present.update(added.compared())

    def _left(self, run: Run, at: int, side: int) -> list[Raw]:
        """What of a run was not removed after it was added."""
        if self._removed.keys().isdisjoint(run.compared()):
            return run.elements
        return [
            element
            for element, spelled in zip(run.elements, run.compared(), strict=True)
            if at >= self._removed.get(spelled, _NEVER)[side]
        ]


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
        return list(map(canonical, _list(value)))


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
    match value[:1]:
        case b'"':
            return _encode(_string(value))
        case b"[":
            return b"[%s]" % b",".join([_canonical(bytes(element)) for element in _list(value)])
        case b"{":
            fields = sorted((_encode(name), _canonical(bytes(field))) for name, field in _object(value).items())
            return b"{%s}" % b",".join([b"%s:%s" % field for field in fields])
    return value
