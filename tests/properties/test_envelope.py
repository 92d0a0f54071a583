"""Records packed in any way, whatever stands between them, come out once each; hostile ones stay cheap."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.sample.envelopes import aggregate
from tests.builders import ARRIVAL, encode, event
from tests.leaves import leaves
from tests.oracle_envelope import held
from udfs import envelope, values

OBJECTS = [
    b"{}",
    b'{"a":"}{,\\n\\"[]"}',
    b'{"a": [{"b": 1}, [2]]}',
    '{"밤": "😀\u2028"}'.encode(),
    b'{\n "a": [\n  {"b": 1},\n  {"c": 2}\n ]\n}',
    b'{"a":NaN}',
    encode(event()),
]
SEPARATORS = [
    *(b"", b" ", b"\t", b"\n", b"\r\n", b"\r", b"\n\n"),
    *(b",", b", ", b",\n", b"\n,", b"\n\xef\xbb\xbf", b"\n\x1e"),
    *(
        one.encode()
        for one in ("\xa0", "\u200b", "\n\u3000", "\x01", "\x03\n", "\x1c", "\x1d", "\x1f", "\\n", "\\r\\n")
    ),
    *(b";", b";\r\n", b" | ", b"|", b"\ndata: ", b"\n\nevent: e\nid: 7\ndata:"),
]
AROUND = [b"", b"", b" ", b"\n", b"\r\n", b",", b",\n", b"\xef\xbb\xbf", b"\0\0"]
BETWEEN_MEMBERS = [b"", b"\n", b"\r\n", b" ", b"\0\0\0"]


def lines(texts: Sequence[bytes], between: bytes, around: bytes) -> bytes:
    return around + between.join(texts) + around


def array(texts: Sequence[bytes], between: bytes, around: bytes) -> bytes:
    return around + b"[" + between.join(texts) + b"]" + around


def zipped(files: Sequence[bytes], around: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if around else zipfile.ZIP_STORED) as archive:
        archive.writestr("a/", b"")
        archive.writestr("__MACOSX/a/._0", b"\0\5\x16\7")
        for number, data in enumerate([*files, around.strip(b",")]):
            archive.writestr(f"a/{number}.json", data)
    return out.getvalue()


def gzips(texts: Sequence[bytes], between: bytes) -> bytes:
    return between.join(map(gzip.compress, texts))


def zlibs(texts: Sequence[bytes], between: bytes) -> bytes:
    return between.join(zlib.compress(text, wbits=9 + len(text) % 7) for text in texts)


Tree: TypeAlias = tuple[bytes, list[bytes]]
"""Bytes, and the objects in them."""


def grown(form: Callable[..., bytes], children: Sequence[Tree], *how: Any) -> Tree:
    return form([data for data, _ in children], *how), [one for _, objects in children for one in objects]


separators, arounds = st.sampled_from(SEPARATORS), st.sampled_from(AROUND)


def in_text(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.builds(grown, st.sampled_from([lines, array]), st.lists(inner, max_size=4), separators, arounds)


def packed(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    children = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        *(st.builds(grown, st.just(form), children, st.sampled_from(BETWEEN_MEMBERS)) for form in (gzips, zlibs)),
        st.builds(grown, st.just(zipped), children, arounds),
        st.builds(grown, st.just(aggregate), children),
    )


def in_row(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    """Texts, gzips, zips and aggregates one behind the other, which makes none of them a level deeper."""
    zips = st.builds(grown, st.just(zipped), st.lists(inner, max_size=3), arounds)
    gzipped = st.builds(grown, st.just(gzips), st.lists(inner, min_size=1, max_size=3), st.just(b""))
    aggregates = st.builds(grown, st.just(aggregate), st.lists(inner, max_size=3))
    things = st.lists(st.one_of(texts, zips, gzipped, aggregates), max_size=8)
    return st.builds(grown, st.just(lines), things, separators, arounds)


single = st.sampled_from([(one, [one]) for one in OBJECTS])
texts = single
for _ in range(3):  # what st.recursive draws as well, which takes twice as long
    texts = st.one_of(single, in_text(texts))
trees = texts
for _ in range(4):
    trees = st.one_of(texts, packed(trees), in_row(trees))


@settings(max_examples=max(1000, settings.default.max_examples))
@given(trees)
def test_every_object_in_a_tree_of_envelopes_comes_out_once_in_its_place(tree: Tree) -> None:
    data, objects = tree
    found = [leaf.payload for leaf in leaves(data, ARRIVAL.replace(tzinfo=None), {})]
    assert len(found) == max(1, len(objects))  # nothing at all is one dead letter
    assert all(one in payload for one, payload in zip(objects, found, strict=False))
    assert len(held(data)) == len(found)


MIB = 2**20
HOSTILE = {
    "brackets": b"[" * (10 * MIB),
    "braces": b'{"a":' * (2 * MIB),
    "braces by the line": b'{"a":\n' * MIB,
    "garbage by the line": b"garbage, {}\n" * 100_000,
    "fields of server-sent events": b"{}\n" + b"event: x\n:\n" * 100_000 + b"{}",
    "names of fields": b"{}data:" * 300_000 + b"data:" * 300_000,
    "half an object a line": b'{"a":[1,2\n' * 100_000,
    "an object and a half a line": b'{"a":1}{"a":[1,2\n' * 100_000,
    "what looks like zlib": b"{}\nx\x9c\xff\xff\n" * 100_000,
    "what looks like gzip": b"{}\n\x1f\x8b\x08\n" * 100_000,
    "what looks like deflate": b"\xaa\x56\n" * 100_000,
    "ends of lines": b"\n" * (10 * MIB) + b"{",
    "blanks": b"{}" + b"\n " * (5 * MIB) + b"x",
    "lines that go on": b'{"a":[{},\n{},\n{},\n' + b"{},\n" * 100_000,
    "quotes": b'{"' * (5 * MIB),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_no_byte_is_parsed_over_and_over(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = 0

    class Counted:
        def raw_decode(self, text: str, at: int) -> tuple[Any, int]:
            nonlocal parsed
            try:
                _, end = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                parsed += error.pos - at
                raise
            except RecursionError:
                parsed += 1000
                raise
            parsed += end - at
            return _, end

    decoder = values._decoder
    monkeypatch.setattr(values, "_decoder", Counted())
    assert sum(1 for _ in envelope.unpack(payload)) >= 1
    assert parsed <= 10 * len(payload)
