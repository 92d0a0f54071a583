"""A user: the profile, where each property came from, and the cohorts."""

from datetime import UTC, datetime
from functools import partial
from typing import Final

from ops.answers.user import memberships, profile
from ops.console.asks import Answer, Ask, Shown
from udfs import clock

_SECONDS: Final = 5.0
_SHOWN: Final = 500
"""Characters of a value."""


def show(ask: Ask) -> Answer:
    """The user that is asked for."""
    user_id, project_id = ask.query.get("user", "").strip(), ask.of.project_id
    if not user_id:
        return Shown("user.html", {"user": "", "found": None})
    key = (project_id, user_id)
    stored, properties = ask.shared(("profile", key), _SECONDS, partial(profile, ask.settings, *key))
    cohorts = ask.shared(("memberships", key), _SECONDS, partial(memberships, ask.settings, *key))
    rows = [(one, one.value[:_SHOWN], clock.instant(one.uploaded)) for one in properties]
    members = [(one, datetime.fromtimestamp(one.member.computed_time / 1e6, UTC)) for one in cohorts]
    return Shown("user.html", {"user": user_id, "found": stored, "rows": rows, "cohorts": members})
