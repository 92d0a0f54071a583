"""Sessions: what a cookie proves, and for how long."""

import time
from base64 import b64encode
from pathlib import Path

import pytest

from ops.console import sessions
from ops.console.people import Account, Role
from ops.console.sessions import IDLE, LONGEST, SessionKeysError, Sessions, keys_of
from tests.cases import each

NEW, OLD = bytes(range(32)), bytes(32)
MINA = Account("mina", Role.SUPPORT)


@pytest.fixture
def here() -> Sessions:
    return Sessions([NEW, OLD])


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)


def test_a_cookie_is_read_back(here: Sessions) -> None:
    session = here.new(MINA)
    found = here.read(here.cookie(session))
    assert found is not None
    assert (found.id, found.name, found.mark, found.begun) == (session.id, "mina", MINA.mark, session.begun)


def test_no_two_sessions_have_an_id_in_common(here: Sessions) -> None:
    assert len({here.new(MINA).id for _ in range(100)}) == 100


def test_a_cookie_of_the_key_before_still_counts() -> None:
    cookie = Sessions([OLD]).cookie(Sessions([OLD]).new(MINA))
    assert Sessions([NEW, OLD]).read(cookie) is not None
    assert Sessions([NEW]).read(cookie) is None


@each("cookie", ["", "x", "W10.x.y", "a" * 5_000, "\N{SNOWMAN}"])
def test_what_was_not_made_here_is_no_session(here: Sessions, cookie: str) -> None:
    assert here.read(cookie) is None


def test_a_changed_cookie_is_no_session(here: Sessions) -> None:
    cookie = here.cookie(here.new(MINA))
    assert [here.read(cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :]) for at in (0, 9)] == [
        None
    ] * 2


def test_a_session_that_nobody_uses_ends(here: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = here.cookie(here.new(MINA))
    later(monkeypatch, IDLE - 60)
    assert here.read(cookie) is not None
    later(monkeypatch, 120)
    assert here.read(cookie) is None


def test_a_session_ends_however_it_is_used(here: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    session = here.new(MINA)
    later(monkeypatch, LONGEST + 1)
    assert here.read(here.cookie(session)) is None


def test_a_session_that_was_ended_is_believed_no_more(here: Sessions) -> None:
    session, other = here.new(MINA), here.new(MINA)
    cookie = here.cookie(session)
    here.end(session)
    assert here.read(cookie) is None
    assert here.read(here.cookie(other)) is not None


def test_a_form_is_bound_to_its_session(here: Sessions) -> None:
    one, other = here.new(MINA), here.new(MINA)
    assert here.genuine(one, here.token(one))
    assert [here.genuine(one, token) for token in (here.token(other), "", "\N{SNOWMAN}")] == [False] * 3


def test_a_cookie_is_said_anew_once_a_minute(here: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    session = here.new()
    assert not session.stale
    later(monkeypatch, sessions.RENEWED + 1)
    assert session.stale


def test_keys_are_read_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b64encode(NEW) + b"\n" + b64encode(OLD) + b"\n")
    assert keys_of(str(file)) == [NEW, OLD]


@each(
    ("content", "words"),
    [
        (b"", "must hold keys of 32 bytes"),
        (b"c2hvcnQ=", "must hold keys"),
        (b"\xff", "must hold keys"),
        (None, "cannot be read"),
    ],
)
def test_keys_that_cannot_be_used_are_told_in_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "keys"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SessionKeysError, match=words):
        keys_of(str(file))


def test_without_a_file_of_keys_it_says_how_to_make_one() -> None:
    with pytest.raises(SessionKeysError, match="openssl rand -base64 32"):
        keys_of(None)
