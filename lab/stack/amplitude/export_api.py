"""The Export API: `YYYYMMDDTHH.zip` for each hour with data.

Documented (docs/amplitude.md §6): GET with `start` and `end`, both hours included, basic authentication, a zip of
gzipped files of JSON lines, 404 without data. Assumed, because no page has it: the bodies of refusals, 401 for
wrong keys, and 400 for parameters of another form. 400 above 4 GB and 504 for what takes too long are faults.
"""

import io
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from lab.stack.amplitude.folder import Asked, Folder, Reply

PATH: Final = "/api/2/export"
_FORM: Final = "%Y%m%dT%H"
_MOST: Final = timedelta(days=365)


def answer(folder: Folder, asked: Asked) -> Reply:
    """The archives of some hours."""
    if not folder.is_pair(asked.authorization):
        return Reply(401, b"Invalid credentials")
    try:
        begin, end = (datetime.strptime(asked.query[name], _FORM) for name in ("start", "end"))  # noqa: DTZ007
    except (KeyError, ValueError):
        return Reply(400, b"start and end must be YYYYMMDDTHH")
    if not begin <= end <= begin + _MOST:
        return Reply(400, b"The time range is too large")
    names = [f"{begin + timedelta(hours=n):{_FORM}}" for n in range((end - begin) // timedelta(hours=1) + 1)]
    found = [archive for name in names if (archive := folder.path / f"{name}.zip").exists()]
    return Reply(200, _joined(found)) if found else Reply(404, b"Raw data files were not found.")


def _joined(archives: list[Path]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as whole:
        for archive in archives:
            with zipfile.ZipFile(archive) as one:
                for name in one.namelist():
                    whole.writestr(name, one.read(name))
    return made.getvalue()
