"""Why events are missing: what arrived by name, the likely cause, and the answer about one name."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ops.answers.diagnosis import described, facts
from ops.answers.named import why_not
from ops.answers.silence import SilentName, near_months_end, silent, silent_names, usual_silence
from ops.console.asks import Answer, Ask, Shown, unless_missing
from settings import Settings
from stores.lake import Lake
from stores.usage import UsageTable

_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 60.0
_SHOWN: Final = 100
SPANS: Final = {"24h": 1, "7d": 7, "28d": 28}
"""Days to look at, by their name."""


def show(ask: Ask) -> Answer:
    """All that is known of the project's events, and why one of them is not seen, if one is named."""
    span = ask.query.get("span", "7d")
    project_id, days = ask.of.project_id, SPANS.get(span, 7)
    since = (ask.now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    question = partial(facts, ask.settings, project_id, since, ask.now)
    found = ask.shared(("facts", project_id, days), _SECONDS, question)
    asked = ask.query.get("name", "").strip()
    told = described(project_id, found)
    values = {"told": told, "names": told["names"][:_SHOWN], "span": span, "spans": [*SPANS], "name": asked}
    return Shown("diagnosis.html", {**values, "why": why_not(found, asked) if asked else None})


def quiet(ask: Ask) -> Answer:
    """The projects that used to send and have stopped, of those that the account sees."""
    usage = UsageTable(ask.settings.tables_address)
    last = ask.shared(
        "last raised", _QUIET_SECONDS, partial(unless_missing, usage.last_raised, dict[int, datetime]())
    )
    lake = Lake(ask.settings.lake_address)
    key = ("quiet", tuple(one.project_id for one in ask.seen()))
    question = partial(silent, ask.seen(), last, ask.now, partial(usual_silence, lake))
    found = ask.shared(key, _QUIET_SECONDS, question)
    return Shown("quiet.html", {"found": [(one, near_months_end(one.since)) for one in found], "names": None})


def quiet_names(ask: Ask) -> Answer:
    """The event types of a project that used to come and have stopped."""
    project_id = ask.of.project_id
    question = partial(_names, ask.settings, project_id, ask.now)
    found = ask.shared(("quiet names", project_id), _QUIET_SECONDS, question)
    return Shown("quiet.html", {"found": None, "names": [(one, near_months_end(one.since)) for one in found]})


def _names(settings: Settings, project_id: int, now: datetime) -> list[SilentName]:
    return silent_names(Lake(settings.lake_address), project_id, now)
