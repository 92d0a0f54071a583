"""Each page of the console in a real Chromium: axe finds nothing serious, no script fails, nothing is too wide.

Which pages there are is read from the route table. Each is drawn at a desk, in English and light, and on a phone,
in Korean and dark; `build/console/` has the pictures.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from jobs.sinks import COLUMNS
from lab.sample.registry import create
from lab.stack.patience import scaled
from lab.stack.process import free_port
from ops.console.people import Role
from ops.console.routes import PAGES
from stores.lake import Lake
from stores.usage import UsageTable
from tests.cases import each
from tests.console import Console
from tests.integration.test_console import path_of

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES: Final = Path(__file__).resolve().parents[2] / "build" / "console"
VIEWS: Final[dict[str, dict[str, Any]]] = {
    "desk": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", "locale": "en-GB"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "locale": "ko-KR"},
}
SERIOUS: Final = {"serious", "critical"}
LOOKED_AT: Final = [page for page in PAGES if page.method == "GET" and "." not in page.path]  # no files

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: Debian's package chromium")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str, kinesis_endpoint: str) -> Console:
    """Over stores that hold the sample's projects and nothing else."""
    folder = tmp_path_factory.mktemp("console")
    found = Console(
        folder,
        {
            "dynamodb": {"endpoint": dynamodb_endpoint, "table_prefix": "browser-"},
            "kinesis": {"endpoint": kinesis_endpoint, "stream": "browser"},
            "lake": {"catalog_uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}"},
        },
    )
    create(found.settings)
    lake = Lake(found.settings.lake_address)
    for name, columns in COLUMNS.items():
        lake.create(name, columns, [])
    UsageTable(found.settings.tables_address).create()
    return found


@pytest.fixture(scope="module")
def address(console: Console) -> Iterator[str]:
    """The console behind a real server."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(console.app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def logged_in(chromium: Browser, console: Console, address: str, view: str) -> Iterator[BrowserContext]:
    with chromium.new_context(**VIEWS[view]) as context:
        cookie = console.site.sessions.cookie(console.site.sessions.new(console.site.accounts.get(Role.OPERATOR)))
        context.add_cookies([{"name": "console", "value": cookie, "url": address}])
        context.set_default_timeout(scaled(30) * 1000)
        yield context


@each("view", VIEWS)
@each("page", LOOKED_AT, ids=lambda page: page.name)
def test_a_page_can_be_read_by_everybody(
    chromium: Browser,
    console: Console,
    address: str,
    page: Any,
    view: str,
) -> None:
    said: list[str] = []
    with logged_in(chromium, console, address, view) as context:
        tab = context.new_page()
        tab.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
        tab.on("pageerror", lambda error: said.append(str(error)))
        answer = tab.goto(address + path_of(page))
        assert answer
        assert answer.status == 200
        tab.screenshot(path=PICTURES / f"{page.name.replace(' ', '-')}-{view}.png", full_page=True)
        found = Axe().run(tab).response["violations"]
        wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    serious = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found if one["impact"] in SERIOUS]
    assert (said, serious, wide) == ([], [], 0)
