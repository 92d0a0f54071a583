"""Builds build/job.zip, the code that `flink run -pyfs` ships to the workers: the one artefact."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = ("jobs", "stores", "udfs", "errors.py", "settings.py")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same sources give the same bytes; zip knows no earlier time


def build(root: Path = ROOT) -> Path:
    """Write the archive and return its path; a reader of the old one keeps that one, another writer its draft."""
    target = root / "build" / "job.zip"
    target.parent.mkdir(exist_ok=True)
    draft = target.with_suffix(f".{uuid4().hex}.part")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files(root):
            entry = zipfile.ZipInfo(str(file.relative_to(root)), EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return draft.replace(target)


def _files(root: Path) -> Iterator[Path]:
    for name in CONTENTS:
        found = root / name
        files = sorted(found.rglob("*")) if found.is_dir() else [found]
        yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
