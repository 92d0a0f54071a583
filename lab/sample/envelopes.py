"""Several records in one, in the forms that arrive on a stream; written from the formats, not from our decoder."""

import gzip
import zipfile
from collections.abc import Callable, Sequence
from hashlib import md5
from io import BytesIO
from typing import TypeAlias

KPL_MAGIC = b"\xf3\x89\x9a\xc2"
KPL_KEY = "partition-key"
"""To be put with: the connector drops what is not on the shard that its own partition key leads to."""
_SAME_DAY = (2026, 3, 10, 0, 0, 0)  # of files in a zip, so that the same records make the same bytes


def lines(records: Sequence[bytes]) -> bytes:
    """NDJSON, as in the Export API's files."""
    return b"".join(record + b"\n" for record in records)


def sequence(records: Sequence[bytes]) -> bytes:
    """Objects with nothing between them."""
    return b"".join(records)


def array(records: Sequence[bytes]) -> bytes:
    """One JSON array, as Amplitude sends partners."""
    return b"[" + b", ".join(records) + b"]"


def gzipped(payload: bytes) -> bytes:
    """A gzip member of these bytes."""
    return gzip.compress(payload, 6, mtime=0)


def gzipped_lines(records: Sequence[bytes]) -> bytes:
    """A file of the Export API."""
    return gzipped(lines(records))


def export_zip(records: Sequence[bytes]) -> bytes:
    """The Export API's answer: a zip of gzips of lines, here two files."""
    middle = len(records) // 2
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, part in enumerate((records[:middle], records[middle:])):
            archive.writestr(
                zipfile.ZipInfo(f"434735/434735_2026-03-10_{number}.json.gz", _SAME_DAY), gzipped_lines(part)
            )
    return out.getvalue()


def aggregate(records: Sequence[bytes]) -> bytes:
    """A KPL aggregate: magic, protobuf, MD5 (`aggregation-format.md` of awslabs/amazon-kinesis-producer)."""
    parts = b"".join(_field(3, b"\x08\x00" + _field(3, record)) for record in records)
    body = _field(1, KPL_KEY.encode()) + parts
    return KPL_MAGIC + body + md5(body, usedforsecurity=False).digest()


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    length, left = b"", len(content)
    while left > 127:
        length, left = length + bytes((left & 127 | 128,)), left >> 7
    return bytes((number << 3 | 2,)) + length + bytes((left,)) + content


Form: TypeAlias = Callable[[Sequence[bytes]], bytes]
FORMS: tuple[Form, ...] = (gzipped_lines, lines, sequence, array, export_zip, aggregate)
"""Every form, for records in their order."""
BAD_TAILS: tuple[tuple[Form, str], ...] = (
    (lambda records: gzipped_lines(records) + b"\x1f\x8b\x08\x00", "gzip_invalid"),
    (lambda records: gzipped(lines(records) + b" " * 2**21), "envelope_too_large"),
    (lambda records: lines(records) + b'{"app":434735,"event_ty', "invalid_json"),
    (lambda records: sequence(records) + b'{"app":434735,"event_ty', "invalid_json"),
    (lambda records: array(records)[:-1], "invalid_json"),
    (lambda records: array([*records, b"null"]), "not_an_object"),
    (lambda records: aggregate([*records, b"\xff"]), "invalid_utf8"),
)
"""Envelopes that end badly, with the reason of that one outcome; the records before it stay good."""
