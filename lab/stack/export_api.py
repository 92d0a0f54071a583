"""A stand-in for Amplitude's Export API: its documented answers, as a process of its own.

python -m lab.stack.export_api PORT FOLDER API_KEY:SECRET_KEY

FOLDER holds `YYYYMMDDTHH.zip` for each hour with data. Documented (docs/amplitude.md §6): GET with `start` and
`end`, both hours included, basic authentication, a zip of gzipped files of JSON lines, 404 without data, 400 above
4 GB, 504 for what takes too long. Assumed, because no page has it: the bodies of refusals, 401 for wrong keys, and
400 for parameters of another form. A file `YYYYMMDDTHH.400`, `.429`, `.504` or the like has that hour refused with
this status; `YYYYMMDDTHH.cut` has its next answer cut off in the middle, once.
"""

import io
import sys
import zipfile
from base64 import b64encode
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

PATH: Final = "/api/2/export"
_FORM: Final = "%Y%m%dT%H"
_MOST: Final = timedelta(days=365)


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    keys: str

    def do_GET(self) -> None:
        """Answer a request for hours."""
        asked = urlsplit(self.path)
        expected = f"Basic {b64encode(self.keys.encode()).decode()}"
        if asked.path != PATH:
            self._answer(404, b"Not Found")
        elif self.headers.get("Authorization") != expected:
            self._answer(401, b"Invalid credentials")
        else:
            try:
                given = parse_qs(asked.query)
                begin, end = (datetime.strptime(given[name][0], _FORM) for name in ("start", "end"))  # noqa: DTZ007
            except (KeyError, ValueError):
                self._answer(400, b"start and end must be YYYYMMDDTHH")
                return
            self._give(begin, end)

    def _give(self, begin: datetime, end: datetime) -> None:
        if not begin <= end <= begin + _MOST:
            self._answer(400, b"The time range is too large")
            return
        names = [f"{begin + timedelta(hours=n):{_FORM}}" for n in range((end - begin) // timedelta(hours=1) + 1)]
        for name in names:
            for refused in self.folder.glob(f"{name}.[45]*"):
                self._answer(int(refused.suffix[1:]), b"refused")
                return
        found = [archive for name in names if (archive := self.folder / f"{name}.zip").exists()]
        if not found:
            self._answer(404, b"Raw data files were not found.")
            return
        cut = next((mark for name in names if (mark := self.folder / f"{name}.cut").exists()), None)
        if cut:
            cut.unlink()
        self._answer(200, _joined(found), cut=cut is not None)

    def _answer(self, status: int, content: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/zip" if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)


def _joined(archives: list[Path]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as whole:
        for archive in archives:
            with zipfile.ZipFile(archive) as one:
                for name in one.namelist():
                    whole.writestr(name, one.read(name))
    return made.getvalue()


def main() -> None:
    """Serve until ended."""
    port, folder, keys = sys.argv[1:]
    handler = type("Handler", (_Handler,), {"folder": Path(folder), "keys": keys})
    ThreadingHTTPServer(("127.0.0.1", int(port)), handler).serve_forever()


if __name__ == "__main__":
    main()
