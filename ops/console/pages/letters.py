"""Dead letters: how many by reason and day, the newest, and their replay with a dry run and its progress."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from ops.answers import replayed
from ops.answers.dead_letters import LIGHT, count, daily, handle_of, newest
from ops.answers.reasons import REASONS
from ops.console.asks import Answer, Ask, Moved, Refused, Shown
from ops.console.works import Work
from ops.maintenance.replay import Letters, Tally, put
from settings import Settings
from stores.lake import Condition, Lake
from udfs.model import Reason

_SECONDS: Final = 10.0
_LISTED: Final = 50
_DAYS: Final = 14
_RATE: Final = 500
"""Records a second that a replay puts on the stream: half of what a shard takes."""


def show(ask: Ask) -> Answer:
    """The dead letters of a project, or to staff those of all."""
    project_id, reason = ask.project_id, ask.query.get("reason", "")
    if reason and reason not in set(Reason):
        raise Refused(400, "There is no such reason.")
    question = partial(_found, ask.settings, project_id, reason, ask.now)
    found = ask.shared(("letters", project_id, reason), _SECONDS, question)
    work = ask.site.works.get(("letters", project_id))
    return Shown("letters.html", {**found, "reason": reason, "reasons": REASONS, "work": work})


def _found(settings: Settings, project_id: int | None, reason: str, now: datetime) -> Mapping[str, Any]:
    lake, where = Lake(settings.lake_address), _where(project_id, reason)
    counts = count(replayed.pieces(settings, ("reason",), _where(project_id, ""), "waiting"), ("reason",))
    letters, total = newest(replayed.pieces(settings, LIGHT, where, "waiting"), _LISTED)
    days = daily(lake, now - timedelta(days=_DAYS - 1), now, project_id)
    return {
        "counts": counts.most_common(),
        "letters": [(one, str(handle_of(one))) for one in letters],
        "total": total,
        "days": days,
        "most": max([one.records for one in days] + [1]),
    }


def _where(project_id: int | None, reason: str) -> list[Condition]:
    of = [] if project_id is None else [Condition("project_id", "=", project_id)]
    return [*of, *([Condition("reason", "=", reason)] if reason else [])]


def replay(ask: Ask) -> Answer:
    """Look what a replay of one reason would come to, or put them on the stream again."""
    project_id, reason = ask.of.project_id, ask.form.get("reason", "")
    if reason not in set(Reason):
        raise Refused(400, "There is no such reason.")
    path, dry = f"/projects/{project_id}/dead-letters?reason={reason}", ask.form.get("do") != "put"
    work = Work("dry run" if dry else "replay", ask.who.name)
    if not dry:
        ask.note("dead_letters.replay", project_id, reason=reason)
    asked = "" if dry else f"--project {project_id} --reason {reason}, by {ask.who.name} in the console"
    do = partial(_do, ask.settings, _where(project_id, reason), asked)
    if not ask.site.works.start(("letters", project_id), work, do):
        raise Refused(400, "A replay of this project is running already. Wait until it has ended.")
    return Moved(path)


def _do(settings: Settings, where: list[Condition], asked: str, work: Work) -> Tally:
    """What a replay comes to; it is made if somebody has asked for it."""
    letters = Letters(settings, where, "waiting")
    tally = letters.tally()
    if asked:
        work.count(tally.records, put(settings, letters, tally, _RATE, asked))
    return tally
