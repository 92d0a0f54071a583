"""The way back to Amplitude: how it stands, how far events came, and what to do when they are not taken."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from ops.answers.funnel import funnel, refusals
from ops.answers.refused import conditions, refused
from ops.answers.waiting import by_project, waiting
from ops.console.asks import Answer, Ask, Moved, Refused, Shown
from ops.console.works import Work
from ops.maintenance import destination
from ops.maintenance.replay_refused import put
from settings import Settings
from stores.amplitude import HOSTS
from stores.destinations import Destination, Destinations
from stores.lake import OUTBOX, Condition, Lake
from udfs.export.answers import UNSENT, State

_SECONDS: Final = 5.0
_RATE: Final = 500


def show(ask: Ask) -> Answer:
    """How it stands."""
    return _shown(ask, samples=False)


def samples(ask: Ask) -> Answer:
    """The same with a sample of each refusal; that is written into the audit first."""
    ask.note("destination.samples", ask.of.project_id)
    return _shown(ask, samples=True)


def _shown(ask: Ask, *, samples: bool) -> Answer:
    project_id = ask.of.project_id
    found = ask.shared(("destination", project_id), _SECONDS, partial(_found, ask.settings, project_id))
    values = {"regions": [*HOSTS], "work": ask.site.works.get(("refused", project_id)), "samples": samples}
    return Shown("destination.html", {**found, **values})


def _found(settings: Settings, project_id: int) -> Mapping[str, Any]:
    lake = Lake(settings.lake_address)
    one = _destination(settings, project_id)
    waits = []
    if lake.exists(OUTBOX):
        states = {project_id: (one.state, one.words)} if one else {}
        waits = [some for some in by_project(waiting(lake), states) if some.project_id == project_id]
    return {
        "one": one,
        "since": datetime.fromisoformat(one.since) if one and one.since else None,
        "stopped": one is not None and one.state in UNSENT,
        "funnel": funnel(lake, project_id),
        "refusals": refusals(lake, project_id),
        "waits": waits[0] if waits else None,
    }


def _destination(settings: Settings, project_id: int) -> Destination | None:
    known = Destinations(settings.tables_address).list()
    return next((one for one in known if one.project_id == project_id), None)


def set_key(ask: Ask) -> Answer:
    """Set the API key, then try it."""
    region, key = ask.form.get("region", ""), ask.form.get("key", "").strip()
    if region not in HOSTS or not destination.is_key(key) or len(key) > 64:
        raise Refused(
            400, "Copy the 32 letters and digits of the API key from the project's settings in Amplitude."
        )
    project_id, before = ask.of.project_id, _destination(ask.settings, ask.of.project_id)
    ask.note("destination.set", project_id, region=region, key_end=key[-4:])
    sealed = destination.sealed(ask.settings, project_id, key, "the API key is none")
    destination.set_destination(ask.settings, project_id, region, sealed, before.personal if before else {})
    return _tried(ask)


def test(ask: Ask) -> Answer:
    """Send one event."""
    _known(ask)
    ask.note("destination.test", ask.of.project_id)
    return _tried(ask)


def _tried(ask: Ask) -> Answer:
    destination.test(ask.settings, ask.of.project_id)
    return _moved(ask)


def pause(ask: Ask) -> Answer:
    """Send nothing until it is resumed."""
    _known(ask)
    ask.note("destination.pause", ask.of.project_id)
    destination.bring_into(ask.settings, ask.of.project_id, State.PAUSED, f"paused by {ask.who.name}")
    return _moved(ask)


def resume(ask: Ask) -> Answer:
    """Send again."""
    _known(ask)
    ask.note("destination.resume", ask.of.project_id)
    destination.bring_into(ask.settings, ask.of.project_id, State.OK, "")
    return _moved(ask)


def replay(ask: Ask) -> Answer:
    """Put what was refused for one reason, in exactly one window of arrivals, on the stream again."""
    one, project_id, reason = _known(ask), ask.of.project_id, ask.form.get("reason", "")
    since, until = (_time(ask.form.get(name, "")) for name in ("first", "last"))
    if one.state in UNSENT:
        raise Refused(
            400, "Nothing is sent to Amplitude now, so this would only wait. Mend the destination first."
        )
    ask.note("destination.replay", project_id, reason=reason, first=str(since), last=str(until))
    where = conditions(project_id, since, until + timedelta(microseconds=1))
    do = partial(_do, ask.settings, where, reason)
    if not ask.site.works.start(("refused", project_id), Work("replay", ask.who.name), do):
        raise Refused(400, "A replay of this project is running already. Wait until it has ended.")
    return _moved(ask)


def _do(settings: Settings, where: list[Condition], reason: str, work: Work) -> int:
    found = refused(Lake(settings.lake_address), where, reason)
    work.count(len(found), put(settings, where, found, _RATE))
    return work.done


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, "This is not a time such as 2026-03-01T12:00.") from None


def _known(ask: Ask) -> Destination:
    found = _destination(ask.settings, ask.of.project_id)
    if found is None:
        raise Refused(400, "This project has no destination yet. Enter its API key first.")
    return found


def _moved(ask: Ask) -> Answer:
    ask.site.reads.forget(("destination", ask.of.project_id))
    return Moved(f"/projects/{ask.of.project_id}/destination")
