"""Archives of events as Amplitude's Export API and its S3 export give them, on this machine or in S3.

An archive is a zip of gzipped files, or such a file alone; each line of a file is an event. Files are read from
their beginning and never held in memory whole.
"""

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, Final, NamedTuple

from pyarrow import ArrowException
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem, S3FileSystem

from errors import OneLineError
from stores import aws
from stores.lake_address import LakeAddress

SUFFIXES: Final = (".zip", ".gz", ".json", ".ndjson", ".jsonl")
"""How the names of archives in a folder end; other files there are left alone."""
_GZIP, _ZIP, _EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
_MERGED_IDS: Final = re.compile(r"(?:^|/)-[^/]*$")
"""Files of merged users, which an S3 export has beside those of events (docs/amplitude.md §5)."""
_DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class ArchiveError(OneLineError):
    """An archive that is not there, is none, or is damaged; the message is one line that says what to do."""


class Member(NamedTuple):
    """A file of events: one of a zip, or one that stands alone."""

    files: FileSystem
    path: str
    inside: str
    """its name in the zip; empty where it stands alone"""
    mark: str
    """changes with what the file holds: length and checksum, or the time of its last change"""

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{self.path}:{self.inside}" if self.inside else self.path

    def lines(self, longest: int) -> Iterator[bytes]:
        """Its lines without their ends, of longer ones a byte more than `longest`. Raises ArchiveError."""
        done = 0
        try:
            with self._opened() as opened:
                while line := opened.readline(longest + 1):
                    rest = line
                    while not rest.endswith(b"\n") and (rest := opened.readline(longest)):
                        pass
                    done += 1
                    yield line.rstrip(b"\r\n")
        except _DAMAGED as error:
            msg = (
                f"{self.name} is cut off or damaged behind line {done:,} ({_shown(error)}): get the file again, "
                "then repeat the command"
            )
            raise ArchiveError(msg) from None
        except (OSError, ArrowException) as error:
            raise _unreadable(self.path, error) from None

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with ExitStack() as stack:
            opened: Any = stack.enter_context(self.files.open_input_file(self.path))
            if self.inside:
                opened = stack.enter_context(stack.enter_context(zipfile.ZipFile(opened)).open(self.inside))
                opened = gzip.GzipFile(fileobj=opened) if self.inside.endswith(".gz") else opened
            elif self.mark.startswith("gzip"):
                opened = gzip.GzipFile(fileobj=opened)
            else:
                opened = io.BufferedReader(opened)  # Arrow's own has no lines
            yield opened


def members(sources: Iterable[str], address: LakeAddress) -> list[Member]:
    """All files of events of archives, folders and `s3://` prefixes, the older hours first.

    Raises ArchiveError where one cannot be opened.
    """
    found = [one for source in sources for one in _of_source(source, address)]
    kept = [one for one in found if not _MERGED_IDS.search(one.inside or one.path)]
    return sorted(kept, key=lambda one: _natural(one.inside or one.path))


def _of_source(source: str, address: LakeAddress) -> list[Member]:
    files, path = _located(source, address)
    try:
        return [one for info in _listed(files, path) for one in _members(files, info)]
    except (OSError, ArrowException) as error:
        raise _unreadable(source, error) from None


def _located(source: str, address: LakeAddress) -> tuple[FileSystem, str]:
    scheme, mark, rest = source.partition("://")
    if not mark:
        return LocalFileSystem(), source
    if scheme != "s3":
        msg = f"{source}: give a file, a folder or s3://bucket/prefix"
        raise ArchiveError(msg)
    keys = {"access_key": "local", "secret_key": "local"} if aws.emulated(address.s3_endpoint) else {}
    endpoint = {"endpoint_override": address.s3_endpoint} if address.s3_endpoint else {}
    return S3FileSystem(region=address.s3_region, **endpoint, **keys), rest.rstrip("/")


def _listed(files: FileSystem, path: str) -> list[FileInfo]:
    """The archives at a path: the one that it names, or those of a folder; of S3 also those it is a prefix of."""
    (info,) = files.get_file_info([path])
    if info.type == FileType.File:
        return [info]
    inside = info.type == FileType.Directory
    folder = path if inside else path.rpartition("/")[0]
    if not inside and files.type_name != "s3":
        msg = f"{path}: there is no such file or folder"
        raise ArchiveError(msg)
    there = files.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
    return [
        one
        for one in there
        if one.type == FileType.File and one.path.startswith(path) and one.path.endswith(SUFFIXES)
    ]


def _members(files: FileSystem, info: FileInfo) -> Iterator[Member]:
    """The files of one archive. Raises ArchiveError where it is none."""
    with files.open_input_file(info.path) as opened:
        begin = opened.read(4)
        if begin == _EMPTY_ZIP:
            return
        if begin == _ZIP:
            yield from _of_zip(files, info, opened)
        elif begin.startswith(_GZIP):
            opened.seek(max(0, info.size - 8))  # a gzip ends with the checksum and the length of what it holds
            yield Member(files, info.path, "", f"gzip {info.size} {opened.read(8).hex()}")
        elif not begin or begin.lstrip()[:1] in {b"{", b""}:
            yield Member(files, info.path, "", f"plain {info.size} {info.mtime_ns}")
        else:
            msg = f"{info.path} is no archive of events: neither a zip nor a gzip nor lines of JSON"
            raise ArchiveError(msg)


def _of_zip(files: FileSystem, info: FileInfo, opened: Any) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(opened) as archive:
            for one in archive.infolist():
                if not one.is_dir() and one.filename.endswith(SUFFIXES):
                    yield Member(files, info.path, one.filename, f"zip {one.file_size} {one.CRC:08x}")
    except zipfile.BadZipFile as error:
        msg = f"{info.path} is a zip that is cut off or damaged ({_shown(error)}): get it again"
        raise ArchiveError(msg) from None


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which `_9#10` of a name comes before `_10#2`."""
    base = name.rpartition("/")[2]
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", base)]


def _unreadable(source: str, error: Exception) -> ArchiveError:
    return ArchiveError(f"{source} cannot be read: {_shown(error)}")


def _shown(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
