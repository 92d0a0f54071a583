"""Why only some events arrive: the rules, by table."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.answers.causes import Facts, Refused, Seen, likely_cause
from ops.answers.diagnosis import delay_seconds
from tests.cases import each

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SINCE = NOW - timedelta(days=7)
HOUR = timedelta(hours=1)


def seen(stored: int, last: datetime = NOW, first: datetime = SINCE) -> Seen:
    return Seen(stored, first, last, {first.date(), last.date()})


def facts(**changes: Any) -> Facts:
    """A linked project whose event `page` goes on arriving, unless said otherwise."""
    known = {"since": SINCE, "now": NOW, "status": "linked", "metered": 1_000, "names": {"page": seen(1_000)}}
    return Facts(**known | changes)


def refused(records: int, last: datetime = NOW, reason: str = "before_link", kind: str = "not_linked") -> Any:
    return {(kind, reason): Refused(records, last)}


def rejected(records: int, reason: str = "event_type_missing") -> Any:
    return refused(records, reason=reason, kind="rejected")


def kept_out(records: int) -> Seen:
    return Seen(0, SINCE, NOW, refused=Counter(filtered=records))


FILTERED = refused(1_000, reason="filtered", kind="filtered")
STALE = {"page": seen(1_000, NOW - 25 * HOUR)}
PAY = seen(10, first=NOW - 30 * HOUR, last=NOW - 25 * HOUR)


@each(
    ("known", "code"),
    [
        (facts(status=None, names={}, metered=0), "unregistered"),
        (facts(status="unlinked"), "unlinked"),
        (facts(names={}, metered=0), "never"),
        (facts(names={}, metered=0, since=NOW - HOUR), "never"),
        (facts(names={}, metered=0, refused=refused(1)), "before_link"),
        (facts(names={}), "stopped"),
        (facts(names={}, since=NOW - HOUR), "window"),
        (facts(names=STALE), "stopped"),
        (facts(names=STALE, refused=rejected(1_000)), "refused"),
        (facts(names={"page": seen(1_000, NOW - 24 * HOUR)}), "well"),
        (facts(names=STALE, refused=refused(1_000, NOW - 25 * HOUR)), "stopped"),
        (facts(refused=refused(11)), "before_link"),
        (facts(refused=refused(10)), "well"),
        (facts(refused=refused(11) | rejected(20)), "before_link"),
        (facts(refused=rejected(11)), "refused"),
        (facts(refused=rejected(10)), "well"),
        (facts(refused=rejected(1_000, "of_a_later_version")), "refused"),
        (facts(refused=refused(11, reason="unknown_project", kind="quarantined")), "refused"),
        (facts(refused=refused(11, reason="unlinked")), "refused"),
        (facts(refused=refused(1_000, reason="own_event", kind="control")), "well"),
        (facts(refused=FILTERED), "filtered"),
        (facts(refused=FILTERED | rejected(30)), "refused"),
        (facts(refused=refused(10, reason="filtered", kind="filtered")), "well"),
        (facts(names={"page": seen(1_000), "pay": PAY}, refused=FILTERED), "filtered"),
        (facts(names={"page": seen(1_000), "pay": PAY}), "deselected"),
        (facts(names={"page": seen(1_000), "pay": PAY}, refused=rejected(1_000)), "refused"),
        (facts(names={"page": seen(1_000), "pay": seen(9, NOW - 25 * HOUR)}), "well"),
        (facts(names={"page": seen(1_000), "pay": seen(10, NOW - 24 * HOUR)}), "well"),
        (facts(names={"page": seen(1_000), "pay": seen(10, NOW - 48 * HOUR)}), "well"),  # rare anyway
        (facts(by_arrival=Counter(absent=5, timestamp_unreadable=5)), "upload_times"),
        (facts(by_arrival=Counter(timestamp_unreadable=9)), "well"),
        (facts(by_arrival=Counter(timestamp_unreadable=900), refused=rejected(1_000)), "refused"),
        (facts(), "well"),
    ],
)
def test_the_first_rule_that_applies(known: Facts, code: str) -> None:
    assert likely_cause(known).code == code


@each(
    ("known", "words"),
    [
        (
            facts(names=STALE),
            "everything stopped after 2026-03-14 11:00 UTC: Amplitude pauses all streams when the contracted "
            "volume is used up, until the next billing cycle; or the destination was switched off, or no event is "
            "selected in it any more",
        ),
        (
            facts(refused=refused(1_000)),
            "1,000 records were uploaded before the project was linked: only what is uploaded later is taken",
        ),
        (
            facts(refused=rejected(500) | rejected(1_000, "app_invalid")),
            "1,000 records are not taken, app_invalid: `app` is neither an integer nor digits, from 0 to 2⁶³-1; "
            "what to do: the sender puts Amplitude's project id there",
        ),
        (
            facts(refused=rejected(1_000, "of_a_later_version")),
            "1,000 records are not taken, of_a_later_version: not a reason of this version",
        ),
        (
            facts(names={"page": seen(1_000)} | dict.fromkeys("abcde", PAY)),
            "a (2026-03-14 11:00 UTC), b (2026-03-14 11:00 UTC), c (2026-03-14 11:00 UTC) and 2 more stopped "
            'while others go on: most likely not selected any more in Amplitude\'s "Send Events"',
        ),
        (
            facts(
                refused=FILTERED,
                names={"page": seen(1_000), "beat": kept_out(900), "ping": kept_out(100), "x": PAY},
            ),
            "1,000 events are kept out by the project's own filters (beat 900, ping 100): `projects filters` "
            "shows them",
        ),
        (
            facts(by_arrival=Counter(timestamp_unreadable=1_000)),
            "1,000 of 1,000 events count in the month of their arrival, for their server_upload_time cannot be "
            "used (timestamp_unreadable 1,000); what to do: `extra` in the event store shows what was sent; "
            "Amplitude itself writes UTC like 2026-03-15 09:30:28.583000, so find out what rewrites it on the way",
        ),
        (
            facts(),
            'all looks well: an event that is not here is most likely not selected in Amplitude\'s "Send Events"',
        ),
    ],
)
def test_the_cause_in_words(known: Facts, words: str) -> None:
    assert likely_cause(known).words == words


@each(
    ("delays", "expected"),
    [
        ({}, None),
        ({-5: 1}, {"p50": -0.5, "p95": -0.5, "max": -0.5}),
        ({10: 1, 30: 1}, {"p50": 1.0, "p95": 3.0, "max": 3.0}),
        ({10: 95, 20: 4, 864_001: 1}, {"p50": 1.0, "p95": 1.0, "max": 86_400.1}),
        ({10: 94, 20: 5, 30: 1}, {"p50": 1.0, "p95": 2.0, "max": 3.0}),
    ],
)
def test_lags_by_nearest_rank(delays: dict[int, int], expected: dict[str, float] | None) -> None:
    assert delay_seconds(Counter(delays)) == expected
