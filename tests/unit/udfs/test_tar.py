"""The plain files of a tar: whole, damaged, and what is no file."""

import gzip
import io
import re
import tarfile
import zlib

from tests.cases import each
from tests.leaves import opened
from udfs import envelope
from udfs.envelope import Form, Limits
from udfs.model import Reason, Rejection

A, B, C = b'{"a":1}', b'{"b":"\xeb\xb0\xa4"}\n{"b":2}\n', b'{"c":[{}]}'
BS = B.splitlines()


def tarred(*files: bytes, kind: int = tarfile.PAX_FORMAT, name: str = "events/{}.json") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        folder = tarfile.TarInfo("events")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number, data in enumerate(files):
            about = tarfile.TarInfo(name.format(number))
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return out.getvalue()


def of_unix_v7(archive: bytes) -> bytes:
    """The same without what ustar has added: its mark, which stands in each header, and what is behind it."""
    for at in [found.start() for found in re.finditer(b"ustar", archive)]:
        begin = at - 257
        header = archive[begin : begin + 148] + b" " * 8 + archive[begin + 156 : at] + bytes(255)
        told = b"%6o\0 " % sum(header)
        archive = archive[:begin] + header[:148] + told + header[156:] + archive[begin + 512 :]
    return archive


FILES = [A, *BS, C]
WHOLE = tarred(A, B, C)
KINDS = {"pax": tarfile.PAX_FORMAT, "GNU": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT, "Unix V7": None}


@each("kind", KINDS.values(), ids=KINDS)
def test_the_files_of_a_tar_come_out_in_their_order(kind: int | None) -> None:
    payload = tarred(A, B, b"", C, gzip.compress(A), kind=kind or tarfile.USTAR_FORMAT)
    payload = payload if kind is not None else of_unix_v7(payload)
    assert envelope.form(payload) is Form.TAR
    assert opened(payload) == ([A, *BS, C, A], [])
    for packed in (gzip.compress(payload), zlib.compress(payload, wbits=-15)):
        assert opened(packed) == ([A, *BS, C, A], [])
    assert opened(A + b"\n" + payload + payload + b"\n" + C) == ([A, *[A, *BS, C, A] * 2, C], [])


@each("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_are_no_files(kind: int) -> None:
    assert opened(tarred(A, B, kind=kind, name="밤" * 99 + "/{}.json")) == ([A, *BS], [])


def test_what_a_mac_adds_to_a_tar_and_links_are_left_out() -> None:
    assert opened(tarred(b"\0\5\x16\7", name="events/._{}.json")) == (
        [], [Rejection(Reason.EMPTY, "tar that holds nothing")]
    )  # fmt: skip
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("empty"))
    assert opened(out.getvalue() + A) == ([A], [])


def test_a_damaged_header_is_named_and_lines_behind_it_are_taken() -> None:
    at = WHOLE.index(b"events/1.json")
    heads, (fault,) = opened(WHOLE[:at] + b"E" + WHOLE[at + 1 :])
    assert heads[0] == A
    assert heads[-1] == C
    assert fault == Rejection(Reason.ZIP_INVALID, f"the tar is damaged at byte {at:,} of {len(WHOLE):,}")


def test_a_file_of_another_kind_is_named() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        sparse = tarfile.TarInfo("sparse")
        sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 9
        archive.addfile(sparse, io.BytesIO(b"123456789"))
    detail = "'sparse' in the tar is of kind b'S', which is not read here"
    assert opened(out.getvalue() + A) == ([A], [Rejection(Reason.COMPRESSION_UNKNOWN, detail)])


def test_a_tar_holds_no_more_than_there_is_room_for() -> None:
    heads, (fault,) = opened(tarred(*[b"{}" * 600] * 3), Limits(opened_bytes=2_000))
    assert heads == [b"{}"] * 1_000
    assert fault.reason is Reason.ENVELOPE_TOO_LARGE
