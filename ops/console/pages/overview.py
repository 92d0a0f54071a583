"""The first page: whether the bridge works, and all projects, those with trouble first."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from ops.answers.connection import bridge, tables
from ops.answers.overview import Line, overview
from ops.answers.steps import Step
from ops.console.asks import Answer, Ask, Shown, unless_missing
from ops.console.people import Right
from stores.usage import Usage, UsageTable

LINES: Final = 100
"""Projects on a page."""
_USAGE_SECONDS: Final = 5.0
_BRIDGE_SECONDS: Final = 15.0


def show(ask: Ask) -> Answer:
    """All projects that the account sees, and to staff how the bridge is."""
    usage = UsageTable(tables(ask.settings))
    totals = ask.shared("usage", _USAGE_SECONDS, partial(unless_missing, usage.list, list[Usage]()))
    last = ask.shared(
        "last raised", _USAGE_SECONDS, partial(unless_missing, usage.last_raised, dict[int, datetime]())
    )
    steps: tuple[Step, ...] = ()
    if ask.who.may(Right.STAFF):
        steps = ask.shared("bridge", _BRIDGE_SECONDS, partial(bridge, ask.settings, ask.site.flink))
    found = overview(ask.seen(), totals, last, ask.now)
    return Shown("overview.html", {"found": found, "steps": steps} | _wanted(ask, found.lines))


def _wanted(ask: Ask, lines: Sequence[Line]) -> dict[str, Any]:
    """The lines that the query asks for by a part of their name or id, a page of them."""
    text = ask.query.get("q", "").strip()
    asked = text.casefold()
    wanted = [one for one in lines if asked in one.notifly_project.casefold() or asked in str(one.project_id)]
    number = ask.query.get("page", "")
    page = min(int(number) if number.isdecimal() else 0, max(0, (len(wanted) - 1) // LINES))
    shown = wanted[page * LINES : (page + 1) * LINES]
    return {
        "q": text,
        "lines": shown,
        "at": page,
        "more": (page + 1) * LINES < len(wanted),
        "asks": len(lines) > 10,
    }
