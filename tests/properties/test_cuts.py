"""gzip and zip, cut and damaged at each byte."""

import gzip
import zlib

from tests.cases import each
from tests.unit.udfs.test_inflate import LINES, RECORDS, SHAPES, opened, reasons, zipped
from udfs.model import Reason


@each(("method", "pipe"), SHAPES.values(), ids=SHAPES)
def test_a_zip_may_be_cut_anywhere(method: int, pipe: bool) -> None:
    """Its directory, which is at the end, is not needed; a cut in there is a fault as well."""
    payload = zipped(*[record + b"\n" for record in RECORDS[:2]], method=method, pipe=pipe)
    found = 0
    for cut in range(4, len(payload)):
        heads, faults = opened(payload[:cut])
        whole = [head for head in heads if head in RECORDS]
        assert whole == RECORDS[: len(whole)]
        assert len(heads) <= len(whole) + 1
        assert len(whole) >= found
        assert reasons(faults) - {Reason.INVALID_JSON} == {Reason.ZIP_INVALID}
        found = len(whole)
    assert found == 2
    assert opened(payload) == (RECORDS[:2], [])


@each("level", [0, 9], ids=["stored", "deflated"])
def test_a_gzip_may_be_cut_anywhere(level: int) -> None:
    payload = gzip.compress(LINES, level, mtime=0)
    for cut in range(2, len(payload)):
        heads, faults = opened(payload[:cut])
        text = zlib.decompressobj(31).decompress(payload[:cut])
        if text.count(b"\n") > 1:
            assert heads == [line.rstrip(b",") for line in text.splitlines()]
        assert reasons(faults) == {Reason.GZIP_INVALID}
    assert opened(payload) == (RECORDS, [])


def test_a_gzip_may_be_damaged_anywhere() -> None:
    payload = gzip.compress(LINES, 0, mtime=0)
    for at in range(15, len(payload)):
        heads, faults = opened(payload[:at] + bytes((payload[at] ^ 0x20,)) + payload[at + 1 :])
        whole = LINES[: at - 15].count(b"\n")
        assert heads[:whole] == RECORDS[:whole]
        assert Reason.GZIP_INVALID in reasons(faults)
