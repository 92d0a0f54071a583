"""What is packed in a way that is not read here, or once too often: its dead letter names it."""

import re
from typing import Final

_KINDS: Final = {
    "zstd": rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
    "bzip2": rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\0",
    "LZ4": rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18",
    "Snappy": rb"\xff\x06\0\0sNaPpY|\x82SNAPPY\0",
    "7z": rb"7z\xbc\xaf\x27\x1c",
    "RAR": rb"Rar!\x1a\x07",
    "lzip": rb"LZIP[\0\1]",
    "LZMA": rb"\]\0\0(?!\0\0)[\0-\xff]{2}(?:\xff{8}|[\0-\xff]{5}\0{3})\0",
    "compress (.Z)": rb"\x1f\x9d[\x80-\x9f]",
    "a Parquet file": rb"PAR[1E][\0-\x08\x0e-\x1f\x80-\xff]",
    "an Avro file": rb"Obj\x01",
    "an ORC file": rb"ORC[\0-\x08\x0e-\x1f\x80-\xff]",
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
    "JSON": rb"eyJ|ewo|W3s|Wwo",
    "a gzip": rb"H4sI",
    "zlib": rb"eJ[w-z]",
    "a zip": rb"UEsD",
    "an aggregate of the KPL": rb"84maw",
}
"""How each begins in base64: its first three bytes."""
_BASE64: Final = re.compile(
    _LEAD + rb'"?+(?:%b)[A-Za-z0-9+/_-]{5,}+=*+"?+\s*+\Z' % b"|".join(b"(%b)" % one for one in _IN_BASE64.values())
)
_IN_A_STRING: Final = re.compile(_LEAD + rb'"(?:\s|\\[nrt])*+[{[](?:\s|\\[nrt]|[{[])*+\\"')


def encoded_twice(payload: bytes) -> str | None:
    """What a sender has encoded once too often, as SDKs and command lines do that expect plain bytes."""
    if _IN_A_STRING.match(payload):
        return "JSON as a string"
    found = _BASE64.match(payload)
    return f"base64 of {tuple(_IN_BASE64)[found.lastindex - 1]}" if found and found.lastindex else None
