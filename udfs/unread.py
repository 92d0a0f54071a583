"""What is packed in a way that is not read here, or once too often: its dead letter names it."""

import re
from typing import Final

_BITS: Final = rb"[\1\2\3\4\6\x08\x0c\x10\x18\x20\x30\x40\x60\x80\xc0]"  # one bit, or two next to each other
_KINDS: Final = {
    "zstd": rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
    "bzip2": rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\0",
    "LZ4": rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18",
    "Snappy": rb"\xff\x06\0\0sNaPpY|\x82SNAPPY\0",
    "7z": rb"7z\xbc\xaf\x27\x1c",
    "RAR": rb"Rar!\x1a\x07",
    "lzip": rb"LZIP[\0\1]",
    # as liblzma tells it: a dictionary of 2**n or 3 * 2**n bytes, of content less than 2**38
    "LZMA": rb"\]\0\0(?:%b\0|\0%b|\x80\x01)(?:\xff{8}|[\0-\xff]{4}[\0-\x3f]\0{3})\0" % (_BITS, _BITS),
    "compress (.Z)": rb"\x1f\x9d[\x80-\x9f]",
    "a Parquet file": rb"PAR[1E][\0-\x08\x0e-\x1f\x80-\xff]",
    "an Avro file": rb"Obj\x01",
    "an ORC file": rb"ORC[\0-\x08\x0e-\x1f\x80-\xff]",
    "zlib with a preset dictionary": rb"x(?:[\xbb\xf9]|[?}](?=[ -~]{0,8}[\0-\x08\x0e-\x1f\x80-\xbf\xf5-\xff]))",
}
"""The beginnings of each. Where one is letters alone, what no text has follows."""
_LEAD: Final = rb"(?:[ \t\r\n\0]|\xef\xbb\xbf)*+"
_BEGINS: Final = re.compile(_LEAD + b"(?:%b)" % b"|".join(b"(%b)" % begins for begins in _KINDS.values()))
_NAMES: Final = tuple(_KINDS)


def named(payload: bytes, at: int = 0) -> str | None:
    """What begins here behind blanks, padding and byte order marks, of what is not opened."""
    found = _BEGINS.match(payload, at)
    return _NAMES[found.lastindex - 1] if found and found.lastindex else None


_IN_BASE64: Final = {
    "JSON": rb"(?:77u[/_])?(?:e(?:y[JA]|w[ko0A]|30)|W(?:3s|yA|1s|yJ|w[o0]))",
    "a gzip": rb"H4sI",
    "zlib": rb"e(?:J[w-z]|N[o-r]|A[E-H]|F[4-7])",
    "a zip": rb"UEsD",
    "an aggregate of the KPL": rb"84maw",
}
"""How each begins in base64: its first three bytes, of JSON perhaps behind a byte order mark."""
_BETWEEN: Final = rb"(?:[\r\n]|\\[rn])"
_FIELDS: Final = rb"(?:(?:event|id|retry)?+:[^\r\n]*+(?:[\r\n]++|\Z))"  # of server-sent events, but data
_BASE64: Final = re.compile(
    _LEAD
    + _FIELDS
    + rb'*+"?+(?:data:[ \t]*+)?+(?:[\w.+/=-]*+;)*+(?:base64,)?+'
    + rb'"?+(?:%b)[A-Za-z0-9+/_-]{5}(?:[A-Za-z0-9+/_=-]|%b[ \t]*+(?:data:[ \t]*+)?+)*+"?+\s*+\Z'
    % (b"|".join(b"(%b)" % one for one in _IN_BASE64.values()), _BETWEEN)
)
_IN_HEX: Final = {
    "JSON": rb"(?:efbbbf)?7b(?:22|7d|0a|0d|20)|5b(?:7b|5b|0a|20)",
    "a gzip": rb"1f8b08",
    "zlib": rb"78(?:9c|da|5e)",
    "a zip": rb"504b0304",
    "an aggregate of the KPL": rb"f3899ac2",
}
_HEX: Final = re.compile(
    _LEAD
    + rb'"?+(?:0x|\\\\?x)?(?:%b)(?:[0-9a-f]|%b)*+"?+\s*+\Z'
    % (b"|".join(b"(%b)" % one for one in _IN_HEX.values()), _BETWEEN),
    re.IGNORECASE,
)
_IN_PERCENT: Final = re.compile(
    _LEAD
    + rb'"?+(?:(?:data:)?+[\w.+/=;-]*+,)?+'
    + rb"(?:%EF%BB%BF)?(?:%7B|%5B)(?:%0[AD9]|%20|\+)*+(?:%7B|%5B|%22|%7D|%5D)",
    re.IGNORECASE,
)
_IN_A_STRING: Final = re.compile(
    _LEAD + rb'"(?:\s|\\++(?:[nrt"]|ufeff)|\xef\xbb\xbf)*+[{[](?:\s|\\++[nrt]|[{[])*+\\+"', re.IGNORECASE
)


_AS_TEXT: Final = {
    "a gzip": (rb"\x1f\xef\xbf\xbd\x08", rb"\x1f\xc2\x8b\x08"),
    "an aggregate of the KPL": (rb"(?:\xef\xbf\xbd){2,4}\n[\1-\x7f]", rb"\xc3\xb3\xc2\x89\xc2\x9a\xc3\x82"),
    "zlib": (rb"x(?:\xef\xbf\xbd|\x01\xef\xbf\xbd|\^\xef\xbf\xbd)", rb"x\xc2\x9c|x\xc3\x9a"),
}
"""How each begins whose bytes were decoded as UTF-8, and as Latin-1, and encoded again."""


def as_text(payload: bytes) -> str | None:
    """What a sender has handed on as a text, or holds nothing because it is the rest of one."""
    if _NO_DATA.match(payload):
        return "server-sent events without data"
    for name, (utf_8, latin_1) in _AS_TEXT.items():
        if re.match(utf_8, payload):
            return f"{name} that was decoded as UTF-8: its bytes are lost"
        if re.match(latin_1, payload):
            return f"{name} that was decoded as Latin-1"
    return None


_NO_DATA: Final = re.compile(_LEAD + _FIELDS + rb"++\Z")


def encoded_twice(payload: bytes) -> str | None:
    """What a sender has encoded once too often, as SDKs and command lines do that expect plain bytes.

    Base64 and hexadecimal digits may be wrapped into lines, and several records may stand in lines.
    """
    if _IN_A_STRING.match(payload):
        return "JSON as a string"
    if _IN_PERCENT.match(payload):
        return "JSON in percent-encoding"
    for how, pattern, names in (("base64", _BASE64, _IN_BASE64), ("hexadecimal digits", _HEX, _IN_HEX)):
        found = pattern.match(payload)
        if found and found.lastindex:
            return f"{how} of {tuple(names)[found.lastindex - 1]}"
    return None
