"""A stand-in for the list of deletion jobs of Amplitude's User Privacy API, in a thread.

Documented (docs/amplitude.md §5): GET with `start_day` and `end_day`, YYYY-MM-DD, six months at most; basic
authentication; a list of jobs with `day`, `status` (staging, submitted, done) and `amplitude_ids`. Assumed, for no
page has it: 401 for wrong keys, 400 for days of another form or too many.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

PATH: Final = "/api/2/deletions/users"
_MOST: Final = timedelta(days=184)


class _Handler(BaseHTTPRequestHandler):
    keys: str
    jobs: Sequence[dict[str, Any]]
    refusals: list[int]

    def do_GET(self) -> None:
        """Answer a request for the jobs of some days."""
        asked = urlsplit(self.path)
        if self.refusals:
            self._answer(self.refusals.pop(0), None)
        elif self.headers.get("Authorization") != f"Basic {b64encode(self.keys.encode()).decode()}":
            self._answer(401, None)
        elif asked.path != PATH:
            self._answer(404, None)
        else:
            given = parse_qs(asked.query)
            try:
                begin, end = (date.fromisoformat(given[name][0]) for name in ("start_day", "end_day"))
            except (KeyError, ValueError):
                self._answer(400, None)
                return
            right = begin <= end <= begin + _MOST
            found = [job for job in self.jobs if begin <= date.fromisoformat(job["day"]) <= end]
            self._answer(200 if right else 400, found)

    def _answer(self, status: int, found: Any) -> None:
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is http.server's
        """Print nothing."""


@contextmanager
def serving(keys: str, jobs: Sequence[dict[str, Any]], refusals: Sequence[int] = ()) -> Iterator[str]:
    """The address of the list, which first answers so many requests with these statuses."""
    handler = type("Handler", (_Handler,), {"keys": keys, "jobs": jobs, "refusals": [*refusals]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PATH}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
