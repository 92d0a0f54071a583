"""The console's pages that explain and act, before a real stream, tables and lake."""

import re
import tomllib
from datetime import UTC, datetime

import pytest

from lab.stack.patience import Deadline
from ops.console.people import Role
from stores.access_keys import AccessKeys, State, given
from stores.audit import Audit
from stores.profiles import Profiles
from stores.project import linked
from stores.projects import Projects
from tests.builders import OTHER_PROJECT, PROJECT, encode, event
from tests.console import Browser, Console
from tests.integration.bridge import Bridge

SHOP, GLOBEX = linked(PROJECT, "acme"), linked(OTHER_PROJECT, "globex")
MINE = f"/projects/{PROJECT}"


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def console(bridge: Bridge) -> Console:
    for one in (SHOP, GLOBEX):
        Projects(bridge.settings.tables_address).add(one)
    return Console(bridge.config.parent, tomllib.loads(bridge.config.read_text(encoding="utf-8")))


def page(browser: Browser, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, (path, words(answer.text))
    return words(answer.text)


def test_a_missing_event_is_explained_and_its_dead_letters_are_replayed(bridge: Bridge, console: Console) -> None:
    bridge.put(encode(event(uuid="1")), encode(event(uuid="2", event_type="Pay")))
    bridge.judge()  # nobody is registered yet
    bridge.put(encode(event(uuid="3", event_type="Stop")))
    bridge.judge(SHOP)
    customer, support = console.browser(Role.CUSTOMER), console.browser(Role.SUPPORT)
    assert "none of it is taken" in page(customer, f"{MINE}/diagnosis?name=Pay")
    assert "It arrives and is stored." in page(customer, f"{MINE}/diagnosis?name=Stop&span=24h")
    never = page(customer, f"{MINE}/diagnosis?name=stop")
    assert "Nothing of this name has arrived." in never
    assert "These names did arrive: amplitude__Stop" in never
    letters = page(customer, f"{MINE}/dead-letters?reason=unknown_project")
    assert "unknown_project 2 no project has registered this" in letters
    assert "2 / 2" in letters
    assert "Replay" in letters
    assert "unknown_project 2" in page(support, "/dead-letters")
    assert "No dead letter waits." in page(
        console.browser(Role.OPERATOR), f"/projects/{OTHER_PROJECT}/dead-letters"
    )
    path = f"{MINE}/dead-letters"
    assert support.submit(f"{path}/replay", reason="unknown_project").status_code == 403
    assert customer.submit(f"{path}/replay", reason="no").status_code == 400
    for do, done in (("try", "Would be put on the stream again: 2"), ("put", "Put on the stream again: 2")):
        assert customer.submit(f"{path}/replay", reason="unknown_project", do=do).status_code == 303
        deadline = Deadline(30)
        while done not in (told := page(customer, path)):
            assert not deadline.over, told
            deadline.pause(0.2)
    (entry,) = Audit(bridge.settings.tables_address).newest()
    assert (entry.action, entry.details) == ("dead_letters.replay", {"reason": "unknown_project"})
    bridge.judge(SHOP)
    assert "by customer in the console" in bridge.says("dead-letters", "replays", "--json")
    assert bridge.stats() == {}


def test_keys_are_made_shown_once_rotated_and_revoked(bridge: Bridge, console: Console) -> None:
    customer, path, table = (
        console.browser(Role.CUSTOMER),
        f"{MINE}/keys",
        AccessKeys(bridge.settings.tables_address),
    )
    assert "There is no key yet." in page(customer, path)
    made = customer.submit(path, name="back-end", events="1", days="90")
    assert made.status_code == 200
    found = re.search(r"ntfy_[0-9a-f]{12}_[0-9a-f]{64}", made.text)
    assert found
    key = given(found[0])
    assert key
    (stored,) = table.list(PROJECT)
    assert (stored.prefix, stored.scopes, stored.name, stored.created_by) == (
        key.prefix,
        ("events",),
        "back-end",
        "customer",
    )
    assert stored.is_opened_by(key.secret)
    assert key.secret not in page(customer, path)
    assert customer.submit(path, days="90").status_code == 400
    assert customer.submit(f"/projects/{OTHER_PROJECT}/keys/revoke", prefix=key.prefix).status_code == 404
    assert customer.submit(f"{path}/rotate", prefix=key.prefix).status_code == 200
    new = next(one for one in table.list(PROJECT) if one.prefix != key.prefix)
    assert customer.submit(f"{path}/revoke", prefix=new.prefix).status_code == 303
    assert customer.submit(f"{path}/revoke", prefix=new.prefix).status_code == 400
    assert "revoked" in page(customer, path)
    changed = table.find(new.prefix)
    assert changed
    assert changed.state(datetime.now(UTC)) is State.REVOKED
    told = Audit(bridge.settings.tables_address).newest()
    assert [one.action for one in told] == ["keys.revoke", "keys.rotate", "keys.create"]
    assert key.secret not in str(told)


def test_a_user_a_destination_and_what_went_quiet_are_shown_where_there_is_nothing_yet(
    bridge: Bridge, console: Console
) -> None:
    bridge.judge(SHOP)
    customer = console.browser(Role.CUSTOMER)
    Profiles(bridge.settings.tables_address).create()
    user = page(customer, f"{MINE}/users?user=mina")
    assert "There is no profile" in user
    assert "No cohort of this project knows the user." in user
    assert "No destination is set" in page(customer, f"{MINE}/destination")
    assert customer.submit(f"{MINE}/destination", region="us", key="short").status_code == 400
    assert customer.submit(f"{MINE}/destination/test").status_code == 400
    assert "Nothing has stopped." in page(customer, "/quiet")
    assert "Nothing has stopped." in page(customer, f"{MINE}/quiet")
