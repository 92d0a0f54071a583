"""Access keys of the intake: made and shown once, rotated, revoked."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ops.answers.connection import tables
from ops.console.asks import Answer, Ask, Moved, Refused, Shown
from stores.access_keys import AccessKey, AccessKeys, Given, Scope, State

_SECONDS: Final = 2.0
_DAYS: Final = {"": None, "30": 30, "90": 90, "365": 365}
_OVERLAP: Final = timedelta(days=1)
_LONGEST_NAME: Final = 100


def show(ask: Ask) -> Answer:
    """The keys of the project."""
    return _shown(ask, None)


def create(ask: Ask) -> Answer:
    """Make a key; this answer alone shows it."""
    scopes = [one.value for one in Scope if one.value in ask.form]
    days = ask.form.get("days", "")
    if not scopes or days not in _DAYS:
        raise Refused(400, "Say what the key may send, and how long it lasts.")
    name, lasts = ask.form.get("name", "").strip()[:_LONGEST_NAME] or None, _DAYS[days]
    ask.note("keys.create", ask.of.project_id, scopes=" ".join(scopes), name=name or "", days=days)
    table = AccessKeys(tables(ask.settings))
    table.create()
    span = None if lasts is None else timedelta(days=lasts)
    made = table.add(ask.of.project_id, scopes, ask.who.name, lasts=span, name=name)
    return _changed(ask, made)


def rotate(ask: Ask) -> Answer:
    """Make a key that takes the place of one, which goes on for a day."""
    prefix = _active(ask).prefix
    ask.note("keys.rotate", ask.of.project_id, prefix=prefix)
    table = AccessKeys(tables(ask.settings))
    return _changed(ask, table.rotate(ask.of.project_id, prefix, ask.who.name, _OVERLAP))


def revoke(ask: Ask) -> Answer:
    """Let a key open nothing any more."""
    prefix = _active(ask).prefix
    ask.note("keys.revoke", ask.of.project_id, prefix=prefix)
    table = AccessKeys(tables(ask.settings))
    table.revoke(ask.of.project_id, prefix, ask.who.name)
    ask.site.reads.forget(_key(ask))
    return Moved(f"/projects/{ask.of.project_id}/keys")


def _changed(ask: Ask, made: Given) -> Answer:
    ask.site.reads.forget(_key(ask))
    return _shown(ask, made.text)


def _shown(ask: Ask, made: str | None) -> Answer:
    keys = [(one, one.state(ask.now), _moment(one.created_at), _moment(one.expires_at)) for one in _listed(ask)]
    return Shown("keys.html", {"keys": keys, "made": made, "scopes": [*Scope], "spans": [*_DAYS]})


def _moment(at: str | None) -> datetime | None:
    return datetime.fromisoformat(at) if at else None


def _key(ask: Ask) -> tuple[str, int]:
    return "keys", ask.of.project_id


def _listed(ask: Ask) -> list[AccessKey]:
    table = AccessKeys(tables(ask.settings))
    return ask.shared(_key(ask), _SECONDS, partial(table.list, ask.of.project_id))


def _active(ask: Ask) -> AccessKey:
    """The project's key that a form names, if it opens."""
    found = next((one for one in _listed(ask) if one.prefix == ask.form.get("prefix")), None)
    if found is None or found.state(ask.now) is not State.ACTIVE:
        raise Refused(400, "This key is not active. The list shows which ones are.")
    return found
