"""A proxy before an emulator that fails as AWS does: to see what the job makes of it, and to count requests."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.client import HTTPConnection, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

Failure = Literal["throttled", "errors", "hanging", "down"]
_ANSWERS: Final = {
    "throttled": (400, {"__type": "ProvisionedThroughputExceededException", "message": "a test throttles"}),
    "errors": (500, {"__type": "InternalServerError", "message": "a test fails"}),
}
_S3_ANSWERS: Final = {"throttled": (503, "SlowDown"), "errors": (500, "InternalError")}
_OF_A_CONNECTION: Final = {"connection", "expect", "transfer-encoding"}


class Request(NamedTuple):
    """One request as it came: when in seconds of the epoch, which operation, and its body."""

    at: float
    operation: str
    body: bytes


class Proxy:
    """Passes requests on to a port of this machine, or fails a share of them. A context manager."""

    def __init__(
        self,
        port: int,
        watch: Callable[[Request], None] | None = None,
        answered: Callable[[Request, bytes], None] | None = None,
    ) -> None:
        """`watch` hears of each request, `answered` of the good answer to one, before the client has it."""
        self.port, self._watch, self._answered = port, watch, answered
        self._failure: Failure | None = None
        self._only, self._share, self._rng = b"", 1.0, Random(1)  # noqa: S311  the same failures each time
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.mend()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, failure: Failure, share: float = 1.0, only: bytes = b"") -> None:
        """Fail this share of the requests whose body holds these bytes; `hanging` and `down` are all of them."""
        self._only, self._share, self._failure = only, share, failure

    def mend(self) -> None:
        """Pass everything on again."""
        self._failure = None

    def answer(self, request: Request, status: int, content: bytes) -> None:
        """Note an answer."""
        if self._answered and status == HTTPStatus.OK:
            self._answered(request, content)

    def take(self, request: Request) -> Failure | None:
        """Note a request; how it fails, if it does."""
        if self._watch:
            self._watch(request)
        failure = self._failure
        if self._only not in request.body:
            return None
        if failure in {"throttled", "errors"} and self._rng.random() >= self._share:
            return None
        while self._failure == "hanging":
            time.sleep(0.1)
        return None if failure == "hanging" else failure


def _passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() not in _OF_A_CONNECTION}


class _Server(ThreadingHTTPServer):
    """Says nothing when a client or the emulator goes away: that is what it is for."""

    def handle_error(self, *_: object) -> None:
        """Leave the connection to the client's own retries."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the emulator."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet
    disable_nagle_algorithm = True
    proxy: Proxy

    def setup(self) -> None:
        """Connect when the client does."""
        super().setup()
        self.upstream = HTTPConnection("127.0.0.1", self.proxy.port)

    def finish(self) -> None:
        """Leave when the client does."""
        self.upstream.close()
        super().finish()

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come: its sender waits for that."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def do_POST(self) -> None:
        """Pass a request on, and its answer back."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2] or self.command
        request = Request(time.time(), operation, body)
        failure = self.proxy.take(request)
        if failure == "down":
            self.close_connection = True
            return
        if failure in _ANSWERS:
            self._answer(*self._failure(failure))
            return
        self.upstream.request(self.command, self.path, body, _passed_on(self.headers.items()))
        found = self.upstream.getresponse()
        try:
            content = found.read()
        except IncompleteRead as cut:  # is passed on as it is
            content, self.close_connection = cut.partial, True
        else:
            self.proxy.answer(request, found.status, content)
        self._answer(found.status, _passed_on(found.getheaders()), content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST  # noqa: N815  an object store's requests

    def _failure(self, failure: Failure) -> tuple[int, dict[str, str], bytes]:
        if "X-Amz-Target" in self.headers:
            status, answer = _ANSWERS[failure]
            return status, {"content-type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()
        status, code = _S3_ANSWERS[failure]
        content = f"<Error><Code>{code}</Code><Message>a test fails</Message></Error>".encode()
        return status, {"content-type": "application/xml"}, b"" if self.command == "HEAD" else content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        # of what HEAD asks for the length is told, and no content follows
        for name, value in ({"content-length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: requests are counted by whoever watches."""
