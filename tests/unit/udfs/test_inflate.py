"""gzip and zip as far as they can be read: whole, damaged, and encrypted."""

import gzip
import io
import re
import struct
import zipfile
import zlib

from tests.cases import each
from udfs import envelope
from udfs.envelope import Form, Limits
from udfs.model import Reason, Rejection

MIB = 2**20
LINES = b"".join(b'{"n":%d,"text":"%b"}\n' % (n, b"ab" * n) for n in range(9))
RECORDS = LINES.splitlines()


class Pipe(io.RawIOBase):
    """A file that cannot be gone back in: a zip written to it has sizes and checksums behind each file."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += bytes(data)
        return len(data)


def zipped(*files: bytes, method: int = zipfile.ZIP_DEFLATED, pipe: bool = False) -> bytes:
    """A zip of these files, as the Export API names them."""
    out = Pipe() if pipe else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("434735/", b"")
        for number, data in enumerate(files):
            archive.writestr(f"434735/434735_2026-03-10_{number}.json", data)
    return out.data if isinstance(out, Pipe) else out.getvalue()


def opened(payload: bytes, limits: Limits = Limits()) -> tuple[list[bytes], list[Rejection]]:  # noqa: B008
    """Heads without the newline behind a single one, and faults."""
    parts = list(envelope.unpack(payload, limits))
    return [part.payload.strip() for part in parts if not part.fault], [part.fault for part in parts if part.fault]


def reasons(faults: list[Rejection]) -> set[Reason]:
    return {fault.reason for fault in faults}


EXPORT = [gzip.compress(b"\n".join(part), mtime=0) for part in (RECORDS[:4], RECORDS[4:])]
SHAPES = {
    "stored": (zipfile.ZIP_STORED, False),
    "deflated": (zipfile.ZIP_DEFLATED, False),
    "stored into a pipe": (zipfile.ZIP_STORED, True),
    "deflated into a pipe": (zipfile.ZIP_DEFLATED, True),
}


@each(("method", "pipe"), SHAPES.values(), ids=SHAPES)
def test_a_zip_of_gzips_of_lines_opens_into_records_as_export_gives_it(method: int, pipe: bool) -> None:
    payload = zipped(*EXPORT, method=method, pipe=pipe)
    assert envelope.form(payload) is Form.ZIP
    assert opened(payload) == (RECORDS, [])
    assert opened(gzip.compress(payload)) == (RECORDS, [])


FILE, DIRECTORY = b"PK\x03\x04", b"PK\x01\x02"
TWO, PIPED = zipped(*RECORDS[:2]), zipped(*RECORDS[:2], pipe=True)
PACKED = zlib.compress(RECORDS[0], wbits=-15)
BEGINS, ENDS = TWO.index(PACKED), TWO.index(DIRECTORY)
FOLDER, FIRST = "'434735/' in the zip", "'434735/434735_2026-03-10_0.json' in the zip"


def spoilt(payload: bytes, at: int, value: bytes) -> bytes:
    """A zip with some bytes of what stands before each file overwritten."""
    head, *files = payload.split(FILE)
    return FILE.join([head, *(file[: at - 4] + value + file[at - 4 + len(value) :] for file in files)])


BAD_ZIPS = {
    "the magic alone": (FILE, [], "the zip breaks off, or is damaged, at byte 0 of 4"),
    "the end's magic alone": (b"PK\x05\x06", [], "the zip breaks off, or is damaged, at byte 0 of 4"),
    "not a zip but for the magic": (
        FILE + b"no zip, this", [], "the zip breaks off, or is damaged, at byte 0 of 16"
    ),
    "directory missing": (
        TWO[:ENDS], RECORDS[:2], f"the zip breaks off, or is damaged, at byte {ENDS} of {ENDS}"
    ),
    "the last byte missing": (
        TWO[:-1], RECORDS[:2], f"the zip breaks off, or is damaged, at byte {ENDS} of {len(TWO) - 1}"
    ),
    "checksums wrong": (
        spoilt(TWO, 14, bytes(4)), RECORDS[:2], f"{FIRST} has a wrong checksum, or breaks off; 1 more like it"
    ),
    "the first file damaged": (
        TWO.replace(PACKED, b"\xff" * len(PACKED)),
        RECORDS[1:2],
        f"{FIRST} is damaged at byte {BEGINS}: Error -3 while decompressing data: invalid block type",
    ),
    "the first file damaged, into a pipe": (
        PIPED.replace(PACKED, b"\xff" * 9),
        RECORDS[1:2],
        None,
    ),
    "the first file without its checksum, into a pipe": (
        PIPED.replace(b"PK\x07\x08", b"PK\x07\x07"), RECORDS[:2], None
    ),
}  # fmt: skip


@each(("payload", "heads", "detail"), BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_a_bad_zip_is_named_and_its_good_files_come_out(
    payload: bytes, heads: list[bytes], detail: str | None
) -> None:
    found, (fault,) = opened(payload)
    assert found == heads
    assert fault == (Reason.ZIP_INVALID, detail or fault.detail)


def test_a_zip_of_nothing_is_empty_as_a_whole_and_an_empty_file_in_it_is_no_fault() -> None:
    empty = Rejection(Reason.EMPTY, "zip that holds nothing")
    assert opened(zipped()) == ([], [empty])
    assert opened(zipped(b"", gzip.compress(b""), b" \n")) == ([], [empty])
    assert opened(zipped(b"", RECORDS[0], gzip.compress(b""))) == ([RECORDS[0]], [])


@each("pipe", [False, True], ids=["sizes before", "sizes behind"])
def test_what_a_mac_adds_to_a_zip_is_left_out(pipe: bool) -> None:
    out = Pipe() if pipe else io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("434735/.DS_Store", "__MACOSX/434735/._0.json", "434735/._0.json"):
            archive.writestr(name, b"\0\0\0\1Bud1")
        archive.writestr("434735/0.json", RECORDS[0])
    data = out.data if isinstance(out, Pipe) else out.getvalue()  # type: ignore[attr-defined]
    assert opened(data) == ([RECORDS[0]], [])


def test_what_follows_a_zip_is_opened_too() -> None:
    assert opened(zipped(RECORDS[0]) + zipped(RECORDS[1])) == (RECORDS[:2], [])
    assert opened(zipped(RECORDS[0]) + RECORDS[1]) == (RECORDS[:2], [])
    assert opened(zipped(RECORDS[0]) + bytes(9)) == (RECORDS[:1], [])
    (fault,) = opened(zipped(RECORDS[0]) + b"more")[1]
    assert (fault.reason, fault.detail[:34]) == (Reason.ZIP_INVALID, "the zip has 4 bytes behind its end")


def test_a_comment_of_a_zip_is_no_record() -> None:
    out = io.BytesIO(zipped(RECORDS[0]))
    with zipfile.ZipFile(out, "a") as archive:
        archive.comment = b'{"no": "record"}'
    assert opened(out.getvalue()) == (RECORDS[:1], [])


def deflated(text: bytes) -> bytes:
    return zlib.compress(text, wbits=-15)


DEFLATED = {
    "zlib": (Form.ZLIB, zlib.compress(LINES), RECORDS),
    "zlib, hardly compressed": (Form.ZLIB, zlib.compress(LINES, 0), RECORDS),
    "zlib, much": (Form.ZLIB, zlib.compress(LINES, 9), RECORDS),
    "zlib of zlib": (Form.ZLIB, zlib.compress(zlib.compress(LINES)), RECORDS),
    "zlib of members": (Form.ZLIB, zlib.compress(RECORDS[0]) + b"\n" + zlib.compress(RECORDS[1]), RECORDS[:2]),
    "zlib and gzip": (Form.ZLIB, zlib.compress(RECORDS[0]) + gzip.compress(RECORDS[1]), RECORDS[:2]),
    "zlib and a line": (Form.ZLIB, zlib.compress(RECORDS[0]) + b"\n" + RECORDS[1], RECORDS[:2]),
    "bare deflate": (Form.DEFLATE, deflated(LINES), RECORDS),
    "bare deflate of an array": (Form.DEFLATE, deflated(b"[" + b", ".join(RECORDS) + b"]"), RECORDS),
    "bare deflate of one": (Form.DEFLATE, deflated(RECORDS[0]), RECORDS[:1]),
    "gzip of zips": (
        Form.GZIP, gzip.compress(zipped(RECORDS[0])) + gzip.compress(zipped(RECORDS[1])), RECORDS[:2]
    ),
    "gzip of a zip and of a line": (
        Form.GZIP, gzip.compress(zipped(RECORDS[0])) + gzip.compress(RECORDS[1]), RECORDS[:2]
    ),
}  # fmt: skip


@each(("form", "payload", "records"), DEFLATED.values(), ids=DEFLATED)
def test_whatever_is_deflated_is_opened(form: Form, payload: bytes, records: list[bytes]) -> None:
    assert envelope.form(payload) is form
    assert opened(payload) == (records, [])


def test_zlib_and_deflate_that_are_damaged_or_cut_are_named() -> None:
    packed = zlib.compress(LINES)
    for payload, name in ((packed[:-9], "the zlib stream"), (deflated(LINES)[:-5], "the deflate stream")):
        heads, (fault,) = opened(payload)
        assert heads[:5] == RECORDS[:5]
        assert fault == (Reason.ZLIB_INVALID, f"{name} breaks off at byte {len(payload)}")
    heads, (fault,) = opened(packed[:2] + b"\xff" * 20)
    assert (heads, fault.reason) == ([], Reason.ZLIB_INVALID)


@each("payload", [b"x^2 + 1", b"x\xda\xa9 text", b"\xff\xfe{\0", "밤".encode("euc-kr"), b"\x03\0"])
def test_what_only_looks_like_zlib_or_deflate_is_none(payload: bytes) -> None:
    assert envelope.form(payload) is None


@each("mark", [b"PK\x07\x08", b"PK00"])
def test_the_mark_of_a_split_zip_is_passed(mark: bytes) -> None:
    assert opened(mark + zipped(RECORDS[0])) == (RECORDS[:1], [])
    assert opened(RECORDS[1] + b"\n" + mark + zipped(RECORDS[0])) == ([RECORDS[1], RECORDS[0]], [])


def test_a_split_zip_without_its_first_file_is_named() -> None:
    fault = Rejection(Reason.ZIP_INVALID, "the zip breaks off, or is damaged, at byte 4 of 9")
    assert opened(b"PK\x07\x08 rest") == ([], [fault])


@each("files", [RECORDS[:2], EXPORT])
def test_a_stored_zip_in_a_stored_zip_ends_by_its_size(files: list[bytes]) -> None:
    stored = zipped(*files, method=zipfile.ZIP_STORED, pipe=True)
    outer = zipped(stored, *files, method=zipfile.ZIP_STORED, pipe=True)
    once = opened(stored)[0]
    assert opened(outer) == (once * 2, [])
    assert opened(outer[:-1])[0] == once * 2


@each("files", [RECORDS[:2], EXPORT])
def test_stored_files_whose_descriptors_have_no_mark_end_by_the_directory(files: list[bytes]) -> None:
    payload = zipped(*files, method=zipfile.ZIP_STORED, pipe=True)
    records = opened(payload)[0]
    without = payload.replace(b"PK\x07\x08", b"")
    for at in [entry.start() for entry in re.finditer(DIRECTORY, without)][1:]:
        name = without[at + 46 : at + 46 + int.from_bytes(without[at + 28 : at + 30], "little")]
        place = struct.pack("<I", without.index(name) - 30)
        without = without[: at + 42] + place + without[at + 46 :]
    assert opened(without) == (records, [])
    assert opened(gzip.compress(without) + without + without) == (records * 3, [])


def test_a_name_in_a_detail_is_short() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a" * 60_000, RECORDS[0])
    (fault,) = opened(spoilt(out.getvalue(), 6, b"\1"))[1]
    assert fault.detail == f"{'a' * 200!r} in the zip is encrypted"


def test_a_folder_that_holds_something_is_a_file() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hidden/", RECORDS[0])
    assert opened(out.getvalue()) == (RECORDS[:1], [])


def test_sizes_of_64_bits_are_read() -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w") as archive,
        archive.open("a.json", "w", force_zip64=True) as first,
    ):
        first.write(RECORDS[0])
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("b.json", RECORDS[1])
    payload = out.getvalue()
    assert opened(payload) == (RECORDS[:2], [])
    extra, clock = b"\1\0\x10\0", b"UT\5\0\1" + bytes(4)
    at = payload.index(extra)
    length = struct.pack("<H", int.from_bytes(payload[28:30], "little") + len(clock))
    behind_another = payload[:28] + length + payload[30:at] + clock + payload[at:]
    assert opened(behind_another) == (RECORDS[:2], [])


def test_a_size_that_is_not_true_does_not_widen_the_room() -> None:
    bomb = zipped(b"9" * 3 * MIB)
    at = bomb.rindex(FILE) + 18
    lying = bomb[:at] + struct.pack("<I", 2**31) + bomb[at + 4 :]
    heads, faults = opened(lying)
    assert [len(head) for head in heads] == [MIB]
    assert f"{FIRST} holds more than 1,048,576 bytes" in {fault.detail for fault in faults}
