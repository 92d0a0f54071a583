"""The way of one record, from the stream to its rows; and its bytes, for whoever may see them."""

from datetime import timedelta
from functools import partial
from typing import Any, Final

from ops.answers.dead_letters import Handle, handle_in
from ops.answers.reasons import REASONS, REPAIRS
from ops.answers.strangers import pretty
from ops.answers.way import Way, content, way
from ops.console.asks import Answer, Ask, Refused, Shown
from udfs.model import Repair

_SECONDS: Final = 5.0
_SINCE: Final = timedelta(days=31)
_BYTES_SHOWN: Final = 20_000  # characters


def show(ask: Ask) -> Answer:
    """The way of the record that is asked for."""
    text = ask.query.get("at", "").strip()
    if not text:
        return Shown("record.html", {"at": "", "found": None, **_words()})
    return Shown("record.html", {"at": text, "found": _way(ask, _handle(text)), **_words()})


def show_bytes(ask: Ask) -> Answer:
    """The same with the bytes; that is written into the audit first."""
    text = ask.form.get("at", "").strip()
    handle = _handle(text)
    found = _way(ask, handle)
    ask.note("records.bytes", ask.project_id, at=text)
    payload = content(ask.settings, handle, ask.project_id, found)
    shown = None if payload is None else pretty(payload)[:_BYTES_SHOWN]
    values = {"payload": shown, "cut": shown is not None and len(shown) == _BYTES_SHOWN, "asked": True}
    return Shown("record.html", {"at": text, "found": found, **_words(), **values})


def _handle(text: str) -> Handle:
    found = handle_in(text)
    if found is None:
        raise Refused(400, "This is not the place of a record: write SHARD:SEQUENCE or SHARD:SEQUENCE:PART.")
    return found


def _way(ask: Ask, handle: Handle) -> Way:
    project_id = ask.project_id
    question = partial(way, ask.settings, handle, project_id, ask.now - _SINCE)
    return ask.shared(("way", handle, project_id), _SECONDS, question)


def _words() -> dict[str, Any]:
    return {"reasons": REASONS, "repair_words": _repair, "payload": None, "cut": False, "asked": False}


def _repair(spelled: str) -> str:
    return REPAIRS[Repair.named(spelled)]
