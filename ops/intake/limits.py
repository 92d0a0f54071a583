"""What a sender may do: how much, how fast, how long. Each limit answers in words, and none stalls the others."""

import re
import secrets
import zlib
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request

from ops.intake.errors import IntakeError

BODY_BYTES: Final = 2**20
"""Of a request's body, as it came."""
HEAD_BYTES: Final = 16 * 2**10
"""Of a request's line and headers."""
INFLATED_BYTES: Final = 10 * 2**20
"""Of a body that is read here, once it is inflated."""
SEND_SECONDS: Final = 10.0
"""From a request's first byte to its last."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")


def request_id(headers: Headers) -> str:
    """The `Request-Id` that the sender gives each try of a request; else a new one."""
    given = headers.get("request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


async def body_of(request: Request, most: int = BODY_BYTES) -> bytes:
    """The whole body. Raises IntakeError when it is too long, ClientDisconnect when its sender has gone."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_long(most)
    chunks, length = list[bytes](), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > most:
            raise _too_long(most)
        if chunk:
            chunks.append(chunk)
    return b"".join(chunks)  # which copies nothing where there is one


def inflated(body: bytes, encoding: str) -> bytes:
    """A body that came with this `Content-Encoding`, as it was before. Raises IntakeError."""
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        raise IntakeError(415, "encoding_unknown", "send the body as it is, or as gzip", "Content-Encoding")
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, INFLATED_BYTES)
    except zlib.error:
        plain = b""
    if inflater.unconsumed_tail:
        message = f"the body inflates to more than {INFLATED_BYTES:,} bytes: send less in a request"
        raise IntakeError(413, "body_too_large", message)
    if not inflater.eof or inflater.unused_data:
        raise IntakeError(400, "gzip_invalid", "the body is not one whole member of gzip", "Content-Encoding")
    return plain


def _too_long(most: int) -> IntakeError:
    message = f"the body is longer than {most:,} bytes: send fewer events in a request, or send it as gzip"
    return IntakeError(413, "body_too_large", message)
