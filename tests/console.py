"""A console for tests: the real application, and a browser without a screen for each role."""

import os
import re
from base64 import b64encode
from itertools import count
from pathlib import Path
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

import settings
from ops.console.app import application
from ops.console.people import Role, added
from ops.console.routes import PAGES
from ops.console.server import site_of
from settings import Settings

BASE = "http://127.0.0.1:8070"
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


class Browser(TestClient):
    """A client that keeps cookies, and sends the token of its session's forms."""

    def token(self) -> str:
        found = _TOKEN.search(self.get("/nowhere").text)
        assert found
        return found[1]

    def submit(self, path: str, **fields: str) -> Response:
        """Send a form, as a page would; what comes is not followed."""
        return self.post(path, data={"csrf": self.token(), **fields}, follow_redirects=False)

    def log_in(self, name: str, password: str, **fields: str) -> Response:
        return self.submit("/login", name=name, password=password, **fields)


class Console:
    """The application with an operator, a support person and a customer of `acme`, and their browsers."""

    def __init__(self, folder: Path, sections: dict[str, Any]) -> None:
        keys, self.accounts = folder / "session-keys", folder / "accounts.json"
        keys.write_bytes(b64encode(os.urandom(32)))
        self.passwords = {
            role: added(str(self.accounts), role.value, role) for role in (Role.OPERATOR, Role.SUPPORT)
        }
        self.passwords[Role.CUSTOMER] = added(str(self.accounts), "customer", Role.CUSTOMER, ["acme"])
        own = {"session_keys_file": str(keys), "accounts_file": str(self.accounts)}
        self.settings: Settings = settings.parse({**sections, "console": own}, "test")
        self.site = site_of(self.settings, "http://127.0.0.1:1")
        self.app = application(self.site, PAGES)
        self._addresses = count(1)

    def browser(self, role: Role | None = None) -> Browser:
        """A browser in which somebody of this role is logged in, or nobody."""
        address = (f"10.0.0.{next(self._addresses)}", 50_000)  # its own, for logins are limited by address
        found = Browser(self.app, base_url=BASE, raise_server_exceptions=False, client=address)
        if role:
            session = self.site.sessions.new(self.site.accounts.get(role.value))
            found.cookies.set("console", self.site.sessions.cookie(session), domain="127.0.0.1")
        return found


def away(folder: Path) -> dict[str, Any]:
    """Sections of settings whose every store is away."""
    nowhere = {"endpoint": "http://127.0.0.1:1"}
    lake = {"catalog_uri": f"sqlite:///{folder}/none/catalog.db", "warehouse": f"file://{folder}/none"}
    return {"kinesis": nowhere, "dynamodb": nowhere, "lake": lake}
