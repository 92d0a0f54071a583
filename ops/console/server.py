"""Serves the console from one process, until it is told to stop."""

import logging
import sys
from typing import Final

import uvicorn

from errors import OneLineError
from ops.console.app import application
from ops.console.asks import Site
from ops.console.people import MAKE, Accounts, AccountsError
from ops.console.routes import PAGES
from ops.console.sessions import Sessions, keys_of
from ops.listening import listening
from settings import Settings

_DRAIN: Final = 10
"""Seconds in which requests that are there are answered before the end."""


def site_of(settings: Settings, flink: str) -> Site:
    """What the pages share. Raises OneLineError for keys or accounts that cannot be used."""
    console = settings.console
    if console.url is None and console.host not in {"127.0.0.1", "localhost", "::1"}:
        msg = f"console.url is not set: with console.host = {console.host!r} it must say what people type"
        raise OneLineError(msg)
    if console.accounts_file is None:
        msg = f"console.accounts_file is not set: name a file, and write into it with {MAKE}"
        raise AccountsError(msg)
    sessions = Sessions(keys_of(console.session_keys_file))
    return Site(settings, flink, Accounts(console.accounts_file), sessions)


def serve(settings: Settings, flink: str) -> None:
    """Serve until TERM or INT. Raises OneLineError before it begins."""
    site, console = site_of(settings, flink), settings.console
    socket = listening(console.host, console.port, "set console.host and console.port to others")
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        application(site, PAGES),
        ws="none",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=bool(console.trusted_proxies),
        forwarded_allow_ips=console.trusted_proxies,
        timeout_graceful_shutdown=_DRAIN,
    )
    uvicorn.Server(config).run([socket])
