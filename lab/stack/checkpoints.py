"""The checkpoints that jobs have left, by their files: on disk or on an object store."""

from typing import NamedTuple

from pyarrow.fs import FileSelector, FileSystem, FileType


class Checkpoints(NamedTuple):
    """The folder that a cluster's `execution.checkpointing.dir` names."""

    files: FileSystem
    uri: str
    """file:///absolute/path or s3://bucket/path"""

    def latest(self, job: str) -> str | None:
        """The newest complete one, as `flink run -s` takes it."""
        complete = [number for number, whole in self._found(job).items() if whole]
        return f"{self.uri}/{job}/chk-{max(complete)}" if complete else None

    def begun(self, job: str) -> bool:
        """Whether one is being written."""
        found = self._found(job)
        return bool(found) and not found[max(found)]

    def _found(self, job: str) -> dict[int, bool]:
        """Whether each that is there is complete, by number."""
        folder = f"{self.uri.partition('://')[2]}/{job}"
        entries = self.files.get_file_info(FileSelector(folder, allow_not_found=True))
        folders = [entry.path for entry in entries if entry.base_name.startswith("chk-")]
        metadata = self.files.get_file_info([f"{folder}/_metadata" for folder in folders])
        return {
            int(folder.rpartition("-")[2]): file.type == FileType.File
            for folder, file in zip(folders, metadata, strict=True)
        }
