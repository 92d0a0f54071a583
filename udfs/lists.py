"""A JSON list while list operators change it: decoded once and encoded once, however many operators apply.

Elements are equal when their JSON is, whatever its blanks, escapes and order of keys: 1, true and "1" differ, and
so do 1 and 1.0. Each element keeps the spelling that it came with.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

_encode: Final = msgspec.json.encode
_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_list: Final = msgspec.json.Decoder(list[Raw]).decode
_strings: Final = msgspec.json.Decoder(list[str]).decode
_string: Final = msgspec.json.Decoder(str).decode

Canonical: TypeAlias = str | bytes
"""What equal elements have in common: of a string its characters, of all else one spelling of its JSON."""


class Elements:
    """The elements of one list. An operator costs the size of its operand, not the size of the list.

    The list stays as it was decoded, and what operators add stands before and behind it. A removal is noted with
    how much stood before and behind at that moment, because equal elements that are added later stay.
    """

    def __init__(self, value: Raw | None) -> None:
        """Take a value: a list; what is no list is a list of itself; None is an empty one."""
        self._value, self._middle = value, elements(value)
        self._before: list[Raw] = []  # outwards: the last one is the first of the list
        self._behind: list[Raw] = []
        self._spelled: Sequence[Canonical] = ()  # the middle as it is compared, made with the next
        self._present: set[Canonical] | None = None  # made for the first operator that compares
        self._removed: dict[Canonical, tuple[int, int]] = {}

    def append(self, added: Sequence[Raw]) -> None:
        """Put these behind the list."""
        self._behind += added
        self._note(added)

    def prepend(self, added: Sequence[Raw]) -> None:
        """Put these before the list, in their order."""
        self._before += reversed(added)
        self._note(added)

    def lacking(self, wanted: list[Raw]) -> list[Raw]:
        """Those that the list has not, each once, in their order."""
        if len(wanted) == 1:  # nearly always
            return [] if canonical(wanted[0]) in self._known() else wanted
        found: dict[Canonical, Raw] = {}
        for element in wanted:
            found.setdefault(canonical(element), element)
        present = self._known()
        return [element for spelled, element in found.items() if spelled not in present]

    def remove(self, unwanted: Iterable[Raw]) -> bool:
        """Take out every instance of these; whether there was one."""
        gone = self._known().intersection(map(canonical, unwanted))
        self._known().difference_update(gone)
        self._removed.update(dict.fromkeys(gone, (len(self._before), len(self._behind))))
        return bool(gone)

    def encoded(self) -> Raw:
        """The list as JSON."""
        before, behind = self._left(self._before, 0), self._left(self._behind, 1)
        middle = self._middle
        if self._removed:
            both = zip(middle, self._spelled, strict=True)
            middle = [element for element, spelled in both if spelled not in self._removed]
        return Raw(_encode([*reversed(before), *middle, *behind]))

    def _known(self) -> set[Canonical]:
        if self._present is None:
            self._spelled = _compared(self._value, self._middle)
            self._present = set(self._spelled)
            self._note(self._before)
            self._note(self._behind)
        return self._present

    def _note(self, added: Iterable[Raw]) -> None:
        if self._present is not None:
            self._present.update(map(canonical, added))

    def _left(self, added: list[Raw], side: int) -> list[Raw]:
        """What of the added was not removed after it was added."""
        if not self._removed:
            return added
        never = (0, 0)
        return [
            element for at, element in enumerate(added) if at >= self._removed.get(canonical(element), never)[side]
        ]


def _compared(value: Raw | None, middle: Sequence[Raw]) -> Sequence[Canonical]:
    """Elements as they are compared. Most lists hold nothing but strings: these are read at once."""
    if value is not None and is_list(value):
        try:
            return _strings(value)
        except msgspec.ValidationError:
            pass
    return list(map(canonical, middle))


def elements(value: Raw | None) -> list[Raw]:
    """The elements of a list; of another value itself, of None nothing."""
    if value is None:
        return []
    return _list(value) if is_list(value) else [value]


def is_list(value: Raw) -> bool:
    """Whether the JSON text spells a list."""
    return first(value) == "["


def first(value: Raw) -> str:
    """The first character of a JSON text."""
    return chr(memoryview(value)[0])  # bytes(value) would copy all of it


def canonical(value: Raw) -> Canonical:
    """One spelling for all texts of the same JSON; numbers keep theirs."""
    return _string(value) if first(value) == '"' else _canonical(value)


def _canonical(value: Raw) -> bytes:
    match first(value):
        case '"':
            return _encode(_string(value))
        case "[":
            return b"[%s]" % b",".join(map(_canonical, _list(value)))
        case "{":
            fields = sorted((_encode(name), _canonical(field)) for name, field in _object(value).items())
            return b"{%s}" % b",".join([b"%s:%s" % field for field in fields])
    return bytes(value)
