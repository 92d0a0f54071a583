"""A newcomer's walk through the console of `make run`, in Chromium: connect, test, watch, understand."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect, sync_playwright

from lab.stack.patience import scaled, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
PICTURES: Final = ROOT / "build" / "console"
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
PROJECT: Final = 777001
_PRINTED: Final = re.compile(r"Console: (\S+) \(log in as (\S+), (\S+)\)")


def walk(printed: str) -> None:
    """Do what a newcomer would, once `make run` has printed this; `build/console/` has the pictures."""
    address, name, password = _PRINTED.search(printed).groups()  # type: ignore[union-attr]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
        page.set_default_timeout(scaled(60) * 1000)
        expect.set_options(timeout=scaled(60) * 1000)
        page.goto(address)
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        _picture(page, "overview")
        _connect(page)
        _watch_usage(page)
        _watch_events(page)
        browser.close()


def _connect(page: Page) -> None:
    page.get_by_role("link", name="Connect a project").click()
    page.get_by_label("Amplitude's Project ID").fill(str(PROJECT))
    page.get_by_label("Notifly project").fill("pen-shop")
    page.get_by_role("button", name="Save and test the connection").click()
    waiting = page.get_by_text("Waiting for a record of this project.").or_(
        page.get_by_text("only the first event of yours makes it certain")  # the sample has a test record
    )
    again = page.get_by_text("Test again in")
    expect(waiting.or_(again)).to_be_visible()
    while again.is_visible():  # the job of a busy machine may lag for a moment
        page.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Test the connection").click()
        expect(waiting.or_(again)).to_be_visible()
    _put('{"app": %d, "event_type": "page_view", "user_id": "ann-17", "uuid": "walk-1"}')
    expect(page.get_by_text("The connection works: what Amplitude sends arrives.")).to_be_visible()
    _picture(page, "connected")
    page.get_by_role("button", name="Close").click()


def _watch_usage(page: Page) -> None:
    page.get_by_role("navigation", name="Project").get_by_role("link", name="Usage").click()
    row = page.locator("tr", has_text="page_view")
    wait_until(lambda: row.count() or (page.reload() and None), 60, page.content, pause=2)
    expect(row.first).to_contain_text("1")
    _picture(page, "usage")


def _watch_events(page: Page) -> None:
    """What a record came to, and the way of one."""
    page.get_by_role("navigation", name="Project").get_by_role("link", name="Live tail").click()
    _put('{"app": %d, "event_type": "cart_opened", "user_id": "ann-17", "uuid": "walk-2"}')
    row = page.locator("tr", has_text="cart_opened")
    expect(row).to_contain_text("stored")
    _picture(page, "live")
    row.get_by_role("link", name="Its way").click()
    expect(page.get_by_role("main")).to_contain_text("cart_opened")
    _picture(page, "record")


def _put(record: str) -> None:
    """Put a record on the stream, as Amplitude would."""
    command = [ROOT / ".venv/bin/amplitude-bridge", "put", "-"]
    subprocess.run(command, input=record % PROJECT, text=True, cwd=ROOT, check=True, capture_output=True)


def _picture(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png")
