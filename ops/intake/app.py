"""The application: which path is served by what."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from ops.intake import dialects, events, limits, metrics, openapi
from ops.intake.endpoint import Endpoint, Intake, Served
from ops.intake.errors import IntakeError, answer
from settings import Settings

ENDPOINTS: Final = (
    Endpoint("/amplitude/v1/events", "events", "amplitude", events.amplitude),
    Endpoint("/v1/batch", "events", "batch", events.batch),
    *dialects.ENDPOINTS,
)


def application(settings: Settings, parent: int, endpoints: Sequence[Endpoint] = ENDPOINTS) -> Starlette:
    """The application of one process, which ends with the process `parent`."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Intake]]:
        intake, orphaned = Intake(settings), asyncio.create_task(_end_with(parent))
        yield {"intake": intake}
        orphaned.cancel()
        intake.batcher.close()

    routes = [Route(one.path, Served(one), methods=["POST"]) for one in endpoints]
    routes += [
        Route("/health/live", _live),
        Route("/health/ready", _ready),
        Route("/metrics", _metrics),
        Route("/openapi.json", _document),
        Route("/docs", _page),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _unknown})


async def _end_with(parent: int) -> None:
    """End this process once the one that started it is gone: an orphan would keep the port from the next."""
    while os.getppid() == parent:
        await asyncio.sleep(1)
    signal.raise_signal(signal.SIGTERM)


async def _live(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _ready(request: Request) -> Response:
    trouble = request.state.intake.batcher.trouble()
    return PlainTextResponse(f"{trouble or 'ok'}\n", 503 if trouble else 200)


async def _document(_: Request) -> Response:
    return answer(openapi.document())


async def _page(_: Request) -> Response:
    return HTMLResponse(openapi.page())


async def _metrics(_: Request) -> Response:
    return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _unknown(request: Request, error: Exception) -> Response:
    """What no endpoint serves, by path or by method."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    words = f"{request.method} is not served here: /openapi.json lists what is"
    said = IntakeError(status, "not_found" if status == 404 else "method_not_allowed", words)
    headers = getattr(error, "headers", None) or {}
    return answer(said.content(limits.request_id(request.headers)), status, headers)
