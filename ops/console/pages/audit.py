"""Who has changed what, or looked at the bytes of records: of one project, or of all."""

from datetime import datetime
from functools import partial
from typing import Final

from ops.answers.connection import tables
from ops.console.asks import Answer, Ask, Refused, Shown
from stores.audit import Audit, Entry, Search

SHOWN: Final = 200
_SECONDS: Final = 2.0


def show(ask: Ask) -> Answer:
    """The newest entries that are searched for."""
    project = ask.project.project_id if ask.project else _project(ask.query.get("project", ""))
    since, until = (_time(ask.query.get(name, "")) for name in ("since", "until"))
    search = Search(project, ask.query.get("account", ""), ask.query.get("action", ""), since, until)
    entries = ask.shared(("audit", search), _SECONDS, partial(_newest, ask, search))
    shown = [(one, datetime.fromisoformat(one.at)) for one in entries]
    return Shown("audit.html", {"entries": shown, "asked": ask.query, "most": SHOWN})


def _newest(ask: Ask, search: Search) -> list[Entry]:
    audit = Audit(tables(ask.settings))
    return audit.newest(search, SHOWN)


def _project(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refused(400, "This is not the number of an Amplitude project.")
    return int(text) if text else None


def _time(text: str) -> datetime | None:
    """A time of a form, which counts as UTC."""
    try:
        return datetime.fromisoformat(f"{text}+00:00") if text else None
    except ValueError:
        raise Refused(400, "This is not a time such as 2026-03-01T12:00.") from None
