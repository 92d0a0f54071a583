"""The server: which part answers which request, and what goes wrong."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

from lab.stack.amplitude import deletions, export_api, profiles, uploads
from lab.stack.amplitude.folder import Asked, Folder, Reply

Answer = Callable[[Asked], Reply]


def routes(folder: Folder) -> Mapping[tuple[str, str], Answer]:
    """By method and path: who answers."""
    taking, profile = uploads.Uploads(folder), profiles.Profiles(folder)
    return {
        ("GET", "/"): lambda _: Reply(200),
        **{("POST", path): taking.upload for path in uploads.LONGEST_BODY},
        ("POST", "/identify"): taking.identify,
        ("GET", export_api.PATH): lambda asked: export_api.answer(folder, asked),
        ("GET", deletions.PATH): lambda asked: deletions.answer(folder, asked),
        ("GET", profiles.PATH): profile.answer,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or the second waits for the first one's acknowledgement
    folder: Folder
    routes: Mapping[tuple[str, str], Answer]

    def do_GET(self) -> None:
        """Answer, or let something go wrong."""
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = dict(reversed(parse_qsl(address.query, keep_blank_values=True)))
        asked = Asked(address.path, query, self.headers.get("Authorization", ""), body)
        faults = self.folder.faults(asked.path) if asked.path != "/" else []
        time.sleep(sum(float(fault.partition("=")[2]) for fault in faults if fault.startswith("slow=")))
        if status := next((fault for fault in faults if fault.isdigit()), None):
            self._answer(Reply(int(status), b"<html></html>"))
            return
        answer = self.routes.get((self.command, asked.path))
        self._answer(answer(asked) if answer else Reply(404), cut="cut" in faults)

    do_POST = do_GET  # noqa: N815  http.server's name

    def _answer(self, reply: Reply, *, cut: bool = False) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content[: len(reply.content) // 2] if cut else reply.content)
        self.close_connection = self.close_connection or cut

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: a line a request is too much."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


def server(port: int, path: Path) -> ThreadingHTTPServer:
    """A stand-in at a port of this machine, 0 for any, that is to be told to serve."""
    folder = Folder(path)
    return _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"folder": folder, "routes": routes(folder)}))


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a stand-in in threads of this process."""
    one = server(0, folder)
    thread = Thread(target=one.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{one.server_port}"
    finally:
        one.shutdown()
        thread.join()
        one.server_close()
