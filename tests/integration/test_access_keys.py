"""Access keys as typed: made, shown once, listed, rotated and revoked; the table holds no secret."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ops.cli.main import commands
from settings import load
from stores.access_keys import AccessKeys, State, given
from stores.errors import StoreError
from stores.project import linked
from stores.projects import Projects
from tests.integration.shop import SHOP, shop


@pytest.fixture
def config(tmp_path: Path, dynamodb_endpoint: str) -> Path:
    return shop(tmp_path, dynamodb_endpoint, "http://127.0.0.1:9")


@pytest.fixture
def table(config: Path) -> AccessKeys:
    return AccessKeys(load(config).tables_address)


def typed(config: Path, *words: str) -> Result:
    return CliRunner().invoke(commands, ["keys", "--config", str(config), *words])


def made(config: Path, *words: str) -> dict[str, Any]:
    done = typed(config, *words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def listed(config: Path, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(typed(config, "list", *words, "--json").stdout)
    return found


def test_a_key_is_made_and_found_by_what_is_shown(config: Path, table: AccessKeys) -> None:
    assert listed(config) == []
    (line,) = typed(config, "create", str(SHOP), "--name", "back-end").stdout.splitlines()
    key = given(line)
    assert key
    found = table.find(key.prefix)
    assert found
    assert (found.project_id, found.scopes, found.name) == (SHOP, ("events", "cohorts"), "back-end")
    assert found.is_opened_by(key.secret)
    assert found.state(datetime.now(UTC)) is State.ACTIVE
    assert found.expires_at is None
    assert " on " in found.created_by
    assert table.find("0" * 12) is None


def test_scopes_apps_and_an_end_are_kept(config: Path, table: AccessKeys) -> None:
    one = made(
        config, "create", str(SHOP), "--scope", "events", "--app-id", "a", "--app-id", "b", "--expires", "90d"
    )
    found = table.find(one["prefix"])
    assert found
    assert (found.scopes, found.app_ids) == (("events",), ("a", "b"))
    assert found.expires_at
    lasts = datetime.fromisoformat(found.expires_at) - datetime.fromisoformat(found.created_at)
    assert lasts == timedelta(days=90)


def test_the_secret_is_shown_once_and_stored_nowhere(config: Path, table: AccessKeys) -> None:
    one = made(config, "create", str(SHOP))
    secret = one["key"].rpartition("_")[2]
    shown = typed(config, "list").output + str(listed(config)) + str(list(table.table.scan()))
    assert one["prefix"] in shown
    assert secret not in shown
    assert "secret_sha256" not in listed(config)[0]


def test_a_rotated_key_opens_for_the_overlap_beside_its_successor(config: Path, table: AccessKeys) -> None:
    old = made(
        config, "create", str(SHOP), "--scope", "events", "--app-id", "a", "--expires", "90d", "--name", "n"
    )
    new = made(config, "rotate", str(SHOP), old["prefix"], "--overlap", "1h")
    before, after = (table.find(one["prefix"]) for one in (old, new))
    assert before
    assert after
    now = datetime.now(UTC)
    assert (before.state(now), before.state(now + timedelta(hours=1))) == (State.ACTIVE, State.EXPIRED)
    assert (before.replaced_by, before.version) == (after.prefix, 2)
    same = ("project_id", "scopes", "app_ids", "name")
    assert [getattr(before, name) for name in same] == [getattr(after, name) for name in same]
    assert after.state(now + timedelta(days=89)) is State.ACTIVE
    assert after.state(now + timedelta(days=91)) is State.EXPIRED
    assert "is replaced by" in str(typed(config, "rotate", str(SHOP), old["prefix"]).exception)
    at_once = made(config, "rotate", str(SHOP), new["prefix"], "--overlap", "0")
    assert [one["state"] for one in listed(config, str(SHOP))] == ["active", "expired", "active"]
    assert listed(config, str(SHOP))[-1]["prefix"] == at_once["prefix"]


def test_a_rotation_is_done_whole_or_not_at_all(config: Path, table: AccessKeys) -> None:
    old = table.find(made(config, "create", str(SHOP))["prefix"])
    assert old
    here, there = AccessKeys(load(config).tables_address), AccessKeys(load(config).tables_address)
    here.find = lambda _: (there.revoke(SHOP, old.prefix, "elsewhere"), old)[1]  # type: ignore[method-assign]
    with pytest.raises(StoreError, match=f"access key {old.prefix} has changed meanwhile"):
        here.rotate(SHOP, old.prefix, "here", timedelta(days=1))
    assert [(one["prefix"], one["state"]) for one in listed(config, str(SHOP))] == [(old.prefix, "revoked")]


def test_a_revoked_key_stays_with_who_ended_it_when(config: Path, table: AccessKeys) -> None:
    one = made(config, "create", str(SHOP))
    done = typed(config, "revoke", str(SHOP), one["prefix"])
    assert done.stdout.startswith(f"access key {one['prefix']} of project {SHOP} is revoked")
    found = table.find(one["prefix"])
    assert found
    assert found.state(datetime.now(UTC)) is State.REVOKED
    assert found.revoked_by
    assert found.revoked_by in typed(config, "list").output.replace("\n", "") or found.revoked_by in str(
        listed(config)
    )
    assert "was revoked at" in str(typed(config, "revoke", str(SHOP), one["prefix"]).exception)
    assert "is revoked: create one" in str(typed(config, "rotate", str(SHOP), one["prefix"]).exception)


def test_a_key_of_another_project_is_nobodys(config: Path) -> None:
    Projects(load(config).tables_address).add(linked(7, "other"))
    one = made(config, "create", str(SHOP))
    for word in ("revoke", "rotate"):
        done = typed(config, word, "7", one["prefix"])
        assert f"project 7 has no access key {one['prefix']}" in str(done.exception)
    assert listed(config, "7") == []


def test_a_project_must_be_registered(config: Path) -> None:
    assert "project 1 is not registered" in str(typed(config, "create", "1").exception)


def test_of_two_changes_at_a_time_one_is_refused(config: Path, table: AccessKeys) -> None:
    one = made(config, "create", str(SHOP))
    read = table.find(one["prefix"])
    assert read
    table.revoke(SHOP, one["prefix"], "somebody")
    with pytest.raises(StoreError, match="has changed meanwhile"):
        table._change(read._replace(name="late"))
