"""Why events of a project are missing: what is known of it, and the first rule that explains it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from ops.answers.reasons import REASONS, REGISTER
from stores.usage import Usage
from udfs.model import Kind, Reason

_DAY: Final = timedelta(hours=24)
_MANY: Final = 0.01  # of all that arrived: fewer records than that are not what a customer misses
_ENOUGH: Final = 10  # events of a name, before its silence says anything
_PAUSES: Final = 5  # times the average pause between two events of a name; a chance silence is shorter
_WANTED: Final = {Kind.CONTROL, Kind.FILTERED}  # not taken, as it should be
_NAMED: Final = 3  # names in a sentence
_SELECTION: Final = 'Amplitude\'s "Send Events"'


@dataclass
class Seen:
    """The events of one name: how many are stored, the first and last arrival, and the UTC days with any at all.

    Of a name of which none is stored, first and last are the hours in which records of it arrived.
    """

    stored: int
    first: datetime
    last: datetime
    days: set[date] = field(default_factory=set)
    received: int = 0
    """records, copies included, as the job has counted them"""
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """records that are not taken, by reason"""


class Refused(NamedTuple):
    """Dead letters of one kind and reason: how many, and when the last arrived."""

    records: int
    last: datetime


@dataclass(frozen=True)
class Facts:
    """What is known of a project; all but `metered` and `months` of arrivals from `since` to `now`.

    `status` is None when it is not registered; `metered` are the records of all months; `refused` is by kind and
    reason; `nameless` are dead letters that name no project; `delays` counts events by arrival -
    server_upload_time in tenths of a second; `by_arrival` those whose month is that of arrival, by what is wrong
    with `server_upload_time`; `months` are the totals of the months that the window touches, whole.
    """

    since: datetime
    now: datetime
    status: str | None
    metered: int = 0
    names: Mapping[str, Seen] = field(default_factory=dict)
    refused: Mapping[tuple[str, str], Refused] = field(default_factory=dict)
    nameless: int = 0
    delays: Counter[int] = field(default_factory=Counter)
    by_arrival: Counter[str] = field(default_factory=Counter)
    months: Sequence[Usage] = ()

    @property
    def newest_event(self) -> datetime | None:
        """The last arrival of an event that was stored."""
        return max((seen.last for seen in self.names.values() if seen.stored), default=None)

    @property
    def begun(self) -> datetime:
        """The first arrival of an event: before it nothing was missing that anybody knows of."""
        return min((seen.first for seen in self.names.values()), default=self.since)

    @property
    def newest(self) -> datetime | None:
        """The last arrival of anything."""
        moments = [*(one.last for one in self.refused.values()), *(seen.last for seen in self.names.values())]
        return max(moments, default=None)

    @property
    def many(self) -> float:
        """How many records of one reason may explain what is missing."""
        stored = sum(seen.stored for seen in self.names.values())
        return _MANY * (stored + sum(one.records for one in self.refused.values()))


class Cause(NamedTuple):
    """Why events are missing: a code to build on, and words."""

    code: str
    words: str


def likely_cause(facts: Facts) -> Cause:
    """Say why events of a project are missing, by the first rule that applies."""
    for rule in _RULES:
        if (found := rule(facts)) is not None:
            return found
    some = sum(one.records for (kind, _), one in facts.refused.items() if kind not in _WANTED)
    well = f"most looks well, but {some:,} records are not taken, as said above" if some else "all looks well"
    return Cause("well", f"{well}: an event that is not here is most likely not selected in {_SELECTION}")


def _not_linked(facts: Facts) -> Cause | None:
    words = {
        None: f"no project has registered this id: what arrives waits as unknown_project; {REGISTER}",
        "unlinked": "the project is unlinked: what Amplitude uploads since then is counted and not stored; link "
        "it again with `amplitude-bridge projects link`",
    }.get(facts.status)
    return None if words is None else Cause(facts.status or "unregistered", words)


def _never(facts: Facts) -> Cause | None:
    words = (
        f"nothing was ever metered, and nothing has arrived since {minute(facts.since)}: Amplitude's destination "
        "is missing, switched off or writes to another stream, or the project has another id"
    )
    return Cause("never", words) if facts.newest is None and not facts.metered else None


def _stopped(facts: Facts) -> Cause | None:
    last = facts.newest
    if last is None and facts.now - facts.since < _DAY:
        return Cause("window", f"nothing since {minute(facts.since)}, too short to judge by: take --since 7d")
    if last is not None and facts.now - last <= _DAY:
        return None
    since = f"before {minute(facts.since)}" if last is None else f"after {minute(last)}"
    words = (
        f"everything stopped {since}: Amplitude pauses all streams when the contracted volume is used up, until "
        "the next billing cycle; or the destination was switched off, or no event is selected in it any more"
    )
    return Cause("stopped", words)


def _before_link(facts: Facts) -> Cause | None:
    found = facts.refused.get((Kind.NOT_LINKED, Reason.BEFORE_LINK))
    if found is None or found.records < facts.many:
        return None
    words = "records were uploaded before the project was linked: only what is uploaded later is taken"
    return Cause("before_link", f"{found.records:,} {words}")


def _refused(facts: Facts) -> Cause | None:
    # not only rejected: what came before a registration is quarantined, what came in a gap between links unlinked
    wrong = [
        (one.records, reason)
        for (kind, reason), one in facts.refused.items()
        if kind not in _WANTED and one.records >= facts.many
    ]
    if not wrong:
        return None
    records, reason = max(wrong)
    remedy = f"; what to do: {REASONS[reason].remedy}" if reason in REASONS else ""
    return Cause("refused", f"{records:,} records are not taken, {reason}: {meaning(reason)}{remedy}")


def _filtered(facts: Facts) -> Cause | None:
    found = facts.refused.get((Kind.FILTERED, Reason.FILTERED))
    if found is None or found.records < facts.many:
        return None
    by_name = Counter({name: seen.refused[Reason.FILTERED] for name, seen in facts.names.items()})
    named = ", ".join(f"{name} {records:,}" for name, records in (+by_name).most_common(_NAMED))
    words = f"events are kept out by the project's own filters ({named}): `projects filters` shows them"
    return Cause("filtered", f"{found.records:,} {words}")


def _deselected(facts: Facts) -> Cause | None:
    if facts.newest_event is None:
        return None
    silent = []
    for name, seen in sorted(facts.names.items()):
        pause = (seen.last - seen.first) / max(1, seen.stored - 1)
        if seen.stored >= _ENOUGH and facts.newest_event - seen.last > max(_DAY, _PAUSES * pause):
            silent.append(f"{name} ({minute(seen.last)})")
    if not silent:
        return None
    more = f" and {len(silent) - _NAMED:,} more" if len(silent) > _NAMED else ""
    words = (
        f"{', '.join(silent[:_NAMED])}{more} stopped while others go on: most likely not selected any more "
        f"in {_SELECTION}"
    )
    return Cause("deselected", words)


def _undated(facts: Facts) -> Cause | None:
    words = undated(facts)
    return None if words is None or facts.by_arrival.total() < facts.many else Cause("upload_times", words)


def undated(facts: Facts) -> str | None:
    """That events have no time of upload, why, and what to do; None when all have one."""
    if not facts.by_arrival:
        return None
    stored = sum(seen.stored for seen in facts.names.values())
    why = ", ".join(f"{one} {records:,}" for one, records in facts.by_arrival.most_common())
    return (
        f"{facts.by_arrival.total():,} of {stored:,} events count in the month of their arrival, for their "
        f"server_upload_time cannot be used ({why}); what to do: `extra` in the event store shows what was sent; "
        "Amplitude itself writes UTC like 2026-03-15 09:30:28.583000, so find out what rewrites it on the way"
    )


_RULES: Final = (_not_linked, _never, _stopped, _before_link, _refused, _filtered, _deselected, _undated)


def meaning(reason: str) -> str:
    """What a reason means, in words."""
    known = REASONS.get(reason)
    return "not a reason of this version" if known is None else known.meaning


def minute(at: datetime) -> str:
    """A time as people read it."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
