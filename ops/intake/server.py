"""Serves the application from several processes at one address, until it is told to stop."""

import logging
import os
import sys
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, Final

from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from ops.listening import listening
from settings import Settings
from stores.stream import Stream
from udfs.intake import MacKeys

_IDLE: Final = 75
"""Seconds for which a connection may wait for its next request: longer than a load balancer lets it (60)."""
_DRAIN: Final = 10
"""Seconds in which requests that are there are answered before the end."""


def serve(settings: Settings) -> None:
    """Serve until TERM or INT; what is being answered then is answered. Raises OneLineError before it begins."""
    MacKeys(settings.intake.mac_keys_file).newest()
    Stream(settings.stream_address).summary()
    socket = listening(settings.intake.host, settings.intake.port, "set intake.host and intake.port to others")
    with TemporaryDirectory(prefix="intake-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # the processes' metrics; read when they are imported
        Multiprocess(_config(settings), sockets=[socket]).run()


def _config(settings: Settings) -> Config:
    from ops.intake.protocol import Guarded  # noqa: PLC0415

    protocol: Any = partial(Guarded, most=settings.intake.connections)
    return Config(
        partial(worker, settings, os.getpid()),
        factory=True,
        workers=settings.intake.workers or os.cpu_count(),
        http=protocol,
        loop="uvloop",
        ws="none",
        interface="asgi3",
        lifespan="on",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_DRAIN,
    )


def worker(settings: Settings, parent: int) -> Any:
    """The application, imported where it runs: its metrics are this process's."""
    from ops.intake.app import application  # noqa: PLC0415

    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s", level=logging.WARNING)
    return application(settings, parent)
