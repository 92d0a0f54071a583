"""Archives as Amplitude's Export API gives them: a zip of gzipped files, some an hour, an event on each line."""

import gzip
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.builders import PROJECT, encode


def archive(path: Path, rows: Iterable[Mapping[str, Any]], project_id: int = PROJECT, files: int = 2) -> Path:
    """Write the zip of these rows, each in a file of its hour of upload."""
    hours: dict[datetime, list[bytes]] = defaultdict(list)
    for row in rows:
        hours[datetime.fromisoformat(row["server_upload_time"])].append(encode(row))
    by_hour: dict[str, list[bytes]] = defaultdict(list)
    for at, lines in hours.items():
        by_hour[f"{at:%Y-%m-%d}_{at.hour}"] += lines
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        for hour, lines in by_hour.items():
            for number in range(files):
                add(made, f"{project_id}/{project_id}_{hour}#{number}.json.gz", lines[number::files])
    return path


def add(made: zipfile.ZipFile, name: str, lines: Sequence[bytes]) -> None:
    """A gzipped file of lines."""
    made.writestr(name, gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0))
