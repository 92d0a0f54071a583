"""What an access key is: its form, who opens it and when, and what a process remembers of keys."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest

from stores.access_keys import AccessKey, Given, KnownKeys, State, given
from tests.cases import each

SECRET = "5" * 64
NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)
KEY = AccessKey(
    *("3f9a1c0b7d2e", 434735, ("events",), sha256(SECRET.encode()).hexdigest()),
    *("2026-03-01T00:00:00.000+00:00", "ops on here"),
)


def test_a_key_is_read_as_it_is_shown() -> None:
    key = Given(KEY.prefix, SECRET)
    assert key.text == f"ntfy_3f9a1c0b7d2e_{SECRET}"
    assert given(key.text) == key


@each(
    "text",
    [
        "",
        "ntfy_3f9a1c0b7d2e",
        f"ntfy_3f9a1c0b7d2e_{SECRET[1:]}",
        f"ntfy_3f9a1c0b7d2e_{SECRET}0",
        f"ntfy_3f9a1c0b7d2e_{SECRET}\n",
        f"NTFY_3f9a1c0b7d2e_{SECRET}",
        f"ntfy_3F9A1C0B7D2E_{SECRET}",
        f" ntfy_3f9a1c0b7d2e_{SECRET}",
        f"ntfy_3f9a1c0b7d2٣_{SECRET}",
    ],
)
def test_what_has_another_form_is_no_key(text: str) -> None:
    assert given(text) is None


def test_only_its_secret_opens_it() -> None:
    assert KEY.is_opened_by(SECRET)
    for wrong in ("", SECRET[:-1], SECRET[:-1] + "6", KEY.secret_sha256):
        assert not KEY.is_opened_by(wrong)


@each(
    ("key", "state"),
    [
        (KEY, State.ACTIVE),
        (KEY._replace(expires_at="2026-03-15T09:30:00.001+00:00"), State.ACTIVE),
        (KEY._replace(expires_at="2026-03-15T09:30:00.000+00:00"), State.EXPIRED),
        (KEY._replace(replaced_by="0" * 12), State.ACTIVE),
        (KEY._replace(revoked_at="2026-03-15T09:29:59.000+00:00"), State.REVOKED),
        (KEY._replace(revoked_at="2026-03-15T09:29:59.000+00:00", expires_at="2026-03-01"), State.REVOKED),
    ],
)
def test_a_key_has_a_state(key: AccessKey, state: State) -> None:
    assert key.state(NOW) is state


def test_no_secret_is_in_a_representation() -> None:
    shown = f"{KEY!r} {Given(KEY.prefix, SECRET)!r} {[KEY]}"
    assert SECRET not in shown
    assert KEY.secret_sha256 not in shown


def test_a_key_is_known_for_15_seconds() -> None:
    clock, asked = [0.0], list[str]()

    def find(prefix: str) -> AccessKey | None:
        asked.append(prefix)
        return KEY if prefix == KEY.prefix else None

    known = KnownKeys(find, lambda: clock[0])
    assert known.fresh(KEY.prefix) is None
    for at in (0.0, 14.9, 15.0):
        clock[0] = at
        assert known.find(KEY.prefix) is KEY
        assert known.find("nobody's") is None
    assert asked == [KEY.prefix, "nobody's"] * 2
    assert (known.fresh(KEY.prefix), known.fresh("nobody's")) == ((KEY,), (None,))


def test_guessed_prefixes_take_no_memory_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.access_keys._MOST_KNOWN", 2)
    known = KnownKeys(lambda _: None)
    for prefix in "abcb":
        known.find(prefix)
    assert [prefix for prefix in "abc" if known.fresh(prefix)] == ["b", "c"]
