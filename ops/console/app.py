"""The application: routes, the headers of every response, health and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops.console.asks import Page, Site
from ops.console.guard import Guard
from ops.console.views import STATIC

BODY_BYTES: Final = 64 * 2**10
"""Of a form."""
THREADS: Final = 64
"""Pages that are made at a time: most of them wait for a store, or for the same answer of one."""
HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",  # with no-referrer browsers send the form of a page as one of nowhere
    "x-content-type-options": "nosniff",
}
"""Of every response."""
_TLS: Final = {"strict-transport-security": "max-age=31536000"}


def application(site: Site, pages: tuple[Page, ...]) -> Starlette:
    """The console of a site with these pages."""
    guard, registry = Guard(site, pages), CollectorRegistry()
    asked = Counter("console_requests", "Requests by page and status", ["page", "status"], registry=registry)
    seconds = Histogram("console_seconds", "Seconds in which pages were made", ["page"], registry=registry)
    limiter = CapacityLimiter(THREADS)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        site.tail.close()

    async def served(page: Page, request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return await to_thread.run_sync(guard.refused, request, 413, limiter=limiter)
        with seconds.labels(page.name).time():
            response = await to_thread.run_sync(guard.answered, page, request, body, limiter=limiter)
        asked.labels(page.name, response.status_code).inc()
        return response

    async def unknown(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return await to_thread.run_sync(guard.refused, request, status, limiter=limiter)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes: list[Route | Mount] = [Route(one.path, partial(served, one), methods=[one.method]) for one in pages]
    routes += [
        Route("/health/live", _well),
        Route("/health/ready", _well),
        Route("/metrics", metrics),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: unknown}, lifespan=lifespan)
    app.add_middleware(_Headers, secure=site.secure)
    return app


class _Headers:
    """Puts the headers on every response; what is no static file is kept nowhere."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._all = HEADERS | (_TLS if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = scope["path"].startswith("/static/") if scope["type"] == "http" else False
        headers = self._all | {"cache-control": "public, max-age=31536000, immutable" if kept else "no-store"}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *raw]
            await send(message)

        await self._app(scope, receive, headed)


async def _well(_: Request) -> Response:
    """A console is ready whatever is away: it says what is."""
    return PlainTextResponse("ok\n")


async def _body(request: Request) -> bytes | None:
    """The body of a form; None when it is longer than one is."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            return None
    return bytes(body)
