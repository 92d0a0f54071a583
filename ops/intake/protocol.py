"""uvicorn's HTTP protocol with the limits that it lacks: on time, on headers, on connections.

By itself it waits for ever for a request that trickles in, and keeps headers of any length.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ops.intake.errors import IntakeError
from ops.intake.limits import HEAD_BYTES, SEND_SECONDS


class Guarded(HttpToolsProtocol):
    """A connection that is closed, with words, when its sender is too slow or its head too long."""

    def __init__(self, *, most: int, **given: Any) -> None:
        """`most` connections are open at a time, in this process."""
        super().__init__(**given)
        self._most = most
        self._slow: asyncio.TimerHandle | None = None
        self._in_head, self._head, self._chunk = True, 0, 0
        self._fault = _INVALID

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, unless there are connections enough."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._refuse(
                IntakeError(503, "too_many_connections", "too many connections: use fewer", retry_after=1)
            )
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._received()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what has begun is to end in time."""
        if self._slow is None:
            self._expect()
        self._chunk = len(data)
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(_HEAD_TOO_LONG)

    def on_headers_complete(self) -> None:
        """Begin the request, unless its head is too long."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._fault = _HEAD_TOO_LONG
            raise ValueError(self._fault.message)  # which the parser hands to `send_400_response`
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is here; what is behind it in these bytes is the next one's head."""
        self._received()
        self._in_head, self._head = True, -self._chunk
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong in the form of all errors."""
        self._refuse(self._fault)

    def _expect(self) -> None:
        self._slow = self.loop.call_later(SEND_SECONDS, self._too_slow)

    def _received(self) -> None:
        if self._slow:
            self._slow.cancel()
            self._slow = None

    def _too_slow(self) -> None:
        self._refuse(_TOO_SLOW if self._head or not self._in_head else None)

    def _refuse(self, error: IntakeError | None) -> None:
        """Close the connection, with the error where the sender has begun a request and got no answer yet."""
        if self.transport.is_closing():
            return
        if error and (self.cycle is None or not self.cycle.response_started or self.cycle.response_complete):
            self.transport.write(_raw(error))
        self.transport.close()


_INVALID = IntakeError(400, "invalid_http", "this is no HTTP/1.1 request")
_HEAD_TOO_LONG = IntakeError(431, "head_too_large", f"request line and headers exceed {HEAD_BYTES:,} bytes")
_TOO_SLOW = IntakeError(408, "too_slow", f"the request did not arrive within {SEND_SECONDS:.0f} s")


def _raw(error: IntakeError) -> bytes:
    body = msgspec.json.encode(error.content(None))
    headers = {"content-type": "application/json", "content-length": len(body), "connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | error.headers).items())
    return b"".join((STATUS_LINE[error.status], lines.encode(), b"\r\n", body))
