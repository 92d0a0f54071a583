"""The console's pages about records, before a real stream, tables and lake: live tail, record, audit."""

import re
import tomllib
from dataclasses import dataclass

import pytest

from lab.stack.patience import Deadline
from ops.console.people import Role
from stores.audit import Audit
from stores.project import linked
from stores.projects import Projects
from tests.builders import OTHER_PROJECT, PROJECT, encode, event
from tests.console import Browser, Console
from tests.integration.bridge import Bridge

SHOP, GLOBEX = linked(PROJECT, "acme"), linked(OTHER_PROJECT, "globex")
XSS = "<script>alert(1)</script>\"'><img src=x>"
PLAY = encode(event(event_type="Play <b>Song</b>", event_properties={"x": XSS}))
CUT = encode(event(app="x", event_properties={"x": XSS + "\x1b\u202e"}))


@dataclass
class Shop:
    """A console before the bridge's stores, and a browser for each role."""

    bridge: Bridge
    console: Console
    browsers: dict[Role, Browser]

    def page(self, path: str, role: Role = Role.OPERATOR) -> str:
        answer = self.browsers[role].get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def until(self, path: str, text: str) -> str:
        deadline = Deadline(30)
        while text not in (found := self.page(path)):
            assert not deadline.over, found
            deadline.pause(0.5)
        return found


@pytest.fixture
def shop(bridge: Bridge) -> Shop:
    sections = tomllib.loads(bridge.config.read_text(encoding="utf-8"))
    console = Console(bridge.config.parent, sections)
    for one in (SHOP, GLOBEX):
        Projects(bridge.settings.tables_address).add(one)
    return Shop(bridge, console, {role: console.browser(role) for role in Role})


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_record_is_followed_from_the_stream_to_its_row_and_its_bytes_are_looked_at(shop: Shop) -> None:
    place = shop.bridge.stream.put_one("0", PLAY)
    for payload in (PLAY, encode(event(event_type="Stop", uuid="other"))):
        shop.bridge.stream.put_one("0", payload)
    shop.bridge.judge(SHOP, GLOBEX)
    path, at = f"/projects/{PROJECT}/records", f"{place.shard}:{place.sequence}"
    live = shop.until(f"/projects/{PROJECT}/live", "</svg>copy")
    assert XSS not in live
    assert "Play &lt;b&gt;Song&lt;/b&gt;" in live
    assert f"records?at={at.replace(':', '%3A')}" in live
    assert "3 records" in words(live)
    assert "0 records" in words(shop.page(f"/projects/{PROJECT}/live?name=pause"))
    assert "1 record " in words(shop.page(f"/projects/{PROJECT}/live?name=play&outcome=copy&paused=1"))
    assert "0 records" in words(shop.page(f"/projects/{OTHER_PROJECT}/live"))
    for role in Role:
        told = words(shop.page(f"{path}?at={at}", role))
        assert "On the stream there arrived" in told
        assert "Stored as an event project_id 434735" in told
        assert ("Show the bytes" in told) == (role is not Role.SUPPORT)
    other = words(shop.page(f"/projects/{OTHER_PROJECT}/records?at={at}"))
    assert "not there" in other
    assert "Nothing of it is stored" in other
    shown = shop.browsers[Role.CUSTOMER].submit(f"{path}/bytes", at=at)
    assert shown.status_code == 200
    assert "&lt;script&gt;" in shown.text
    assert XSS not in shown.text
    assert shop.browsers[Role.SUPPORT].submit(f"{path}/bytes", at=at).status_code == 403
    assert (
        shop.browsers[Role.CUSTOMER].submit(f"/projects/{OTHER_PROJECT}/records/bytes", at=at).status_code == 404
    )
    (entry,) = Audit(shop.bridge.settings.tables_address).newest()
    assert (entry.account, entry.role, entry.action, entry.project_id) == (
        "customer",
        "customer",
        "records.bytes",
        PROJECT,
    )
    assert entry.details == {"at": at}
    assert entry.address.startswith("10.0.0.")
    for page in (f"/projects/{PROJECT}/audit", "/audit?account=cust&action=records.", f"/audit?project={PROJECT}"):
        assert at in shop.page(page)
    assert "Nobody has done" in shop.page(f"/projects/{OTHER_PROJECT}/audit")
    assert "Nobody has done" in shop.page("/audit?since=2999-01-01T00:00")
    assert shop.browsers[Role.CUSTOMER].get("/audit").status_code == 403
    for wrong in ("/audit?since=soon", "/audit?project=x", f"{path}?at=nowhere"):
        assert shop.browsers[Role.OPERATOR].get(wrong).status_code == 400


def test_the_bytes_of_a_dead_letter_are_shown_escaped(shop: Shop) -> None:
    place = shop.bridge.stream.put_one("0", CUT)
    shop.bridge.judge(SHOP, GLOBEX)
    at = f"{place.shard}:{place.sequence}"
    told = words(shop.page(f"/records?at={at}"))
    assert "app_invalid" in told
    assert "Not taken: a dead letter" in told
    shown = shop.browsers[Role.OPERATOR].submit("/records/bytes", at=at).text
    assert r"\u001b\u202e" in shown or r"\x1b\u202e" in shown
    assert "<script>alert" not in shown
    assert "not kept" not in shown
