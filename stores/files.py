"""The files of the Iceberg tables: how many there are, which of them maintenance would write anew or remove."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from pyarrow.fs import FileSelector, FileType
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import DayTransform

from stores.history import KEEP, Commit
from stores.lake import Lake

MIB: Final = 1024 * 1024
SMALLEST, WANTED, LARGEST = 128 * MIB, 256 * MIB, 512 * MIB
"""Bytes of a data file: others are written anew, in files of about the size that is wanted."""
_AT_ONCE: Final = 16
_EPOCH: Final = date(1970, 1, 1)


class Files(NamedTuple):
    """What a table consists of."""

    data: int
    small: int
    """of the data files: those of a day that is over which compaction would write anew"""
    deletes: int
    bytes: int
    """of data and delete files"""
    manifests: int
    snapshots: int


def day_column(lake: Lake, table: str) -> str | None:
    """The column by whose day a table is partitioned, if by any."""
    found = lake.table(table)
    days = (one.source_id for one in found.spec().fields if isinstance(one.transform, DayTransform))
    return next((found.schema().find_column_name(source) for source in days), None)


def files(lake: Lake, table: str, today: date) -> Files:
    """What a table consists of; a day is over before today (UTC)."""
    with lake.readable():
        found = lake.table(table)
        tasks = list(found.scan().plan_files())
        current = found.current_snapshot()
        manifests = current.manifests(found.io) if current else []
    deletes = {one.file_path: one.file_size_in_bytes for task in tasks for one in task.delete_files}
    return Files(
        len(tasks),
        _small(found, tasks, today),
        len(deletes),
        sum(task.file.file_size_in_bytes for task in tasks) + sum(deletes.values()),
        len(manifests),
        len(found.metadata.snapshots),
    )


def _small(table: Table, tasks: Sequence[FileScanTask], today: date) -> int:
    """How many files compaction would write anew: those of no good size that are not alone in their partition."""
    day = next((i for i, one in enumerate(table.spec().fields) if isinstance(one.transform, DayTransform)), None)
    if day is None:
        return 0
    limit = (today - _EPOCH).days
    partitions = Counter(
        str(task.file.partition)
        for task in tasks
        if not SMALLEST <= task.file.file_size_in_bytes <= LARGEST
        and (task.file.partition[day] is None or task.file.partition[day] < limit)
    )
    return sum(count for count in partitions.values() if count > 1)


def expired(lake: Lake, table: str, last: Sequence[Commit], before: datetime, tagged: Iterable[int]) -> int:
    """How many snapshots Iceberg would let expire: older than `before`, not among the last, kept by no tag."""
    metadata = lake.table(table).metadata
    others = {ref.snapshot_id for name, ref in metadata.refs.items() if not name.startswith(KEEP)}
    kept = others | {one.snapshot for one in last} | set(tagged)
    limit = before.timestamp() * 1000
    return sum(one.timestamp_ms < limit and one.snapshot_id not in kept for one in metadata.snapshots)


def orphans(lake: Lake, table: str, before: datetime) -> dict[str, int]:
    """The files in a table's folder, older than `before`, that no snapshot refers to, with their bytes."""
    with lake.readable():
        found = lake.table(table)
        there, path = lake.place(found.location())
        listed = there.get_file_info(FileSelector(path, recursive=True))
        used = {_path(one) for one in _used(found)}
    return {
        file.path: file.size
        for file in listed
        # hidden files, such as Hadoop's checksums beside each file, are none of Iceberg's
        if file.type == FileType.File and file.base_name[0] not in "._"
        if file.mtime < before and file.path not in used
    }


def _path(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.netloc}{parts.path}" if parts.scheme else location


def _used(table: Table) -> Iterator[str]:
    """All files that a table refers to, its own metadata included."""
    metadata: TableMetadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (one.statistics_path for one in metadata.statistics)
    yield from (one.manifest_list for one in metadata.snapshots)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lists = pool.map(lambda one: one.manifests(table.io), metadata.snapshots)
        manifests: dict[str, ManifestFile] = {one.manifest_path: one for found in lists for one in found}
        yield from manifests
        entries = pool.map(
            lambda one: one.fetch_manifest_entry(table.io, discard_deleted=False), manifests.values()
        )
        yield from (entry.data_file.file_path for found in entries for entry in found)
