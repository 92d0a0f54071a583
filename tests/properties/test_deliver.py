"""Whatever Amplitude refuses, throttles or fails: each event ends once, and rightly."""

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from udfs.export.answers import Event, Refused, Waits
from udfs.export.deliver import deliver

FATES = ("fine", "named", "hidden", "blocked", "large", "rate", "quota", "dropped")
WAITS = {"rate": Waits.THROTTLED, "quota": Waits.QUOTA, "dropped": Waits.NOT_INGESTED}
REFUSED = {
    "named": Refused.INVALID_FIELD,
    "hidden": Refused.REFUSED,
    "blocked": Refused.BLOCKED,
    "large": Refused.TOO_LARGE,
}


class Amplitude:
    """Answers as documented, one kind of fault a time; HTTP V2 names the first bad event only."""

    def __init__(self, names_all: bool) -> None:
        self.names_all, self.taken, self.requests = names_all, list[int](), 0

    def post(self, encoded: Sequence[Event]) -> tuple[int, bytes]:
        self.requests += 1
        events = [json.loads(one) for one in encoded]
        fates = [event["fate"] for event in events]
        if "large" in fates:
            return 413, b""
        if "blocked" in fates:
            return 403, b"<html>"
        if named := [at for at, fate in enumerate(fates) if fate == "named"]:
            places = named if self.names_all else named[:1]
            return 400, json.dumps({"events_with_invalid_fields": {"time": places}}).encode()
        if "hidden" in fates:
            return 400, b""
        users = {fate: {event["user_id"]: 1 for event in events if event["fate"] == fate} for fate in FATES}
        if users["rate"] or users["quota"]:
            said = {"throttled_users": users["rate"], "exceeded_daily_quota_users": users["quota"]}
            return 429, json.dumps(said).encode()
        kept = [event["at"] for event in events if event["fate"] != "dropped"]
        self.taken += kept
        return 200, json.dumps({"events_ingested": len(kept)}).encode()


def events_of(fates: Sequence[str]) -> list[Event]:
    return [json.dumps({"at": at, "fate": fate, "user_id": f"u{at}"}).encode() for at, fate in enumerate(fates)]


@given(st.lists(st.sampled_from(FATES), max_size=60), st.booleans())
def test_each_event_ends_once_and_as_it_deserves(fates: list[str], names_all: bool) -> None:
    events = events_of(fates)
    amplitude = Amplitude(names_all)
    found = deliver(events, amplitude.post, lambda: False)
    ends = {
        "fine": found.accepted,
        **{fate: {at for at, one in found.later.items() if one.reason is why} for fate, why in WAITS.items()},
        **{fate: {at for at, one in found.refused.items() if one.reason is why} for fate, why in REFUSED.items()},
    }
    assert ends == {fate: {at for at, one in enumerate(fates) if one == fate} for fate in FATES}
    assert set(amplitude.taken) == found.accepted  # some more than once: Amplitude knows them again
    bad = sum(fate not in {"fine", "rate", "quota"} for fate in fates)
    assert amplitude.requests <= 3 + 14 * bad + len(fates) // 4


@given(st.lists(st.sampled_from(FATES), max_size=20), st.integers(0, 5))
def test_what_is_late_waits(fates: list[str], posts: int) -> None:
    events = events_of(fates)
    amplitude, left = Amplitude(names_all=True), iter(range(posts))
    found = deliver(events, amplitude.post, lambda: next(left, None) is None)
    assert amplitude.requests <= posts
    assert sorted([*found.accepted, *found.refused, *found.later]) == list(range(len(events)))
