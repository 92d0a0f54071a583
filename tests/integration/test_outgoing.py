"""A worker's destinations in a real table: keys open in memory, states change at once here and soon there."""

from pathlib import Path

import pytest

from lab.stack.patience import wait_until
from stores import outgoing
from stores.amplitude import Uploads
from stores.destinations import Destination, Destinations
from stores.dynamodb import TablesAddress
from stores.outgoing import Sending, open_targets
from stores.seal import Seal, SealKeys, new_key

SHOP, OTHER = 434735, 203138
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def sending(tmp_path: Path, dynamodb_endpoint: str) -> Sending:
    file = tmp_path / "seal-keys"
    file.write_text(f"{new_key()}\n")
    address = TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-")
    table, seal = Destinations(address), Seal(keys := SealKeys(str(file), None, address.region))
    table.create()
    table.set(Destination(SHOP, "eu", seal.seal(SHOP, KEY), KEY[-4:]))
    table.set(Destination(OTHER, "us", seal.seal(SHOP, KEY), KEY[-4:]))  # sealed for another project
    return Sending(address, keys, None, "batch", 0.2)


def test_a_state_changes_at_once_here_and_soon_in_the_table(
    sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    targets, table = open_targets(sending), Destinations(sending.tables)
    target = targets()[SHOP]
    target.become("auth_error", "Invalid API key")
    assert (target.state, target.words) == ("auth_error", "Invalid API key")
    wait_until(lambda: table.get(SHOP).state == "auth_error", 10)
    for n in range(5):  # each is written behind the one before, however soon it comes
        target.become("throttled", "too much")
        target.become("ok", f"again {n}")
        assert target.state == "ok"
    wait_until(lambda: table.get(SHOP).words == "again 4", 10)
    assert (table.get(SHOP).state, target.state) == ("ok", "ok")
    said = [one.getMessage() for one in caplog.records if one.name == outgoing.__name__]
    assert "destination of project 434735 is auth_error, was ok: Invalid API key" in said
    assert said[-1] == "destination of project 434735 is ok, was throttled: again 4"


def test_what_an_operator_has_changed_meanwhile_stays_and_is_read_soon(sending: Sending) -> None:
    targets, table = open_targets(sending), Destinations(sending.tables)
    target = targets()[SHOP]
    assert table.change_state(table.get(SHOP), "paused", "they migrate")
    target.become("throttled", "too much")
    wait_until(lambda: targets()[SHOP].state == "paused", 10)
    assert table.get(SHOP).words == "they migrate"


def test_a_key_is_posted_open_and_one_that_does_not_open_is_a_wrong_one(
    sending: Sending, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    posted = []
    monkeypatch.setattr(Uploads, "post", lambda _, *given: posted.append(given))
    targets = open_targets(sending)()
    targets[SHOP].post([b"{}"], 3.0)
    assert posted == [("eu", KEY, [b"{}"], 3.0)]
    assert targets[OTHER].post([b"{}"], 3.0).status == 401
    assert len(posted) == 1
    assert "the key of project 203138 does not open" in caplog.text
    assert KEY not in caplog.text + repr(targets[SHOP].destination)
