"""The first page: whether the bridge works, and all projects, those with trouble first."""

from functools import partial
from typing import Final

from ops.answers.connection import bridge, tables
from ops.answers.overview import overview
from ops.answers.steps import Step
from ops.console.asks import Answer, Ask, Shown
from ops.console.people import Right
from stores.usage import UsageTable

_USAGE_SECONDS: Final = 5.0
_BRIDGE_SECONDS: Final = 15.0


def show(ask: Ask) -> Answer:
    """All projects that the account sees, and to staff how the bridge is."""
    usage = UsageTable(tables(ask.settings))
    totals = ask.shared("usage", _USAGE_SECONDS, usage.list)
    last = ask.shared("last raised", _USAGE_SECONDS, usage.last_raised)
    steps: tuple[Step, ...] = ()
    if ask.who.may(Right.STAFF):
        steps = ask.shared("bridge", _BRIDGE_SECONDS, partial(bridge, ask.settings, ask.site.flink))
    return Shown("overview.html", {"found": overview(ask.seen(), totals, last, ask.now), "steps": steps})
