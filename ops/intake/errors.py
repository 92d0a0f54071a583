"""Why a request is not taken: one object for every endpoint, in words that say what to change."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response


class IntakeError(Exception):
    """A request that is not taken. `param` names the header or field that is to be changed, if it is one."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = {"Retry-After": str(retry_after)} if retry_after else {}
        """Those that go with any form of this answer."""

    def content(self, request_id: str | None) -> dict[str, Any]:
        """The answer's JSON: `error` with type, code, message, param and request_id."""
        said = {"type": _TYPES.get(self.status, "invalid_request"), "code": self.code, "message": self.message}
        return {"error": said | {"param": self.param, "request_id": request_id}}

    def response(self, request_id: str) -> Response:
        """The answer."""
        return answer(self.content(request_id), self.status, self.headers)


_TYPES: Final = {
    401: "authentication",
    403: "permission",
    429: "rate_limit",
    500: "internal",
    503: "unavailable",
}
"""Whose it is to do something, by status; all others are the request's own."""


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def throttled(message: str) -> IntakeError:
    """Too much is sent for now."""
    return IntakeError(429, "throttled", message, retry_after=1)


def away(message: str) -> IntakeError:
    """What the intake needs is away for now; nothing was acknowledged."""
    return IntakeError(503, "stream_away", message, retry_after=5)
