"""The limit of requests as a law: no 60 seconds have more than a minute's tokens, none is kept back for ever."""

from hypothesis import given
from hypothesis import strategies as st

from stores.amplitude.bucket import Buckets

LIMITS = st.integers(10, 1_000)
STEPS = st.lists(st.tuples(st.floats(0, 20), st.floats(0, 5), st.integers(1, 300)), max_size=40)
"""Seconds since the ones before, patience, how many want a token at once."""


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def sent(bucket: Buckets, clock: Clock, steps: list[tuple[float, float, int]]) -> list[float]:
    """When those that got a token may send."""
    at = list[float]()
    for step, patience, many in steps:
        clock.now += step
        waits = [bucket.take("acme", patience) for _ in range(many)]
        assert all(wait is None or 0 <= wait <= patience for wait in waits)
        at += [clock.now + wait for wait in waits if wait is not None]
    return at


@given(LIMITS, STEPS)
def test_no_minute_has_more_than_its_tokens(per_minute: int, steps: list[tuple[float, float, int]]) -> None:
    clock = Clock()
    at = sent(Buckets(per_minute, clock), clock, steps)
    assert at == sorted(at)
    for first, behind in zip(at, at[per_minute:], strict=False):
        assert behind - first >= 60 - 1e-6


@given(LIMITS, STEPS)
def test_who_wants_all_gets_nine_tenths_of_a_minutes_tokens(
    per_minute: int, steps: list[tuple[float, float, int]]
) -> None:
    clock = Clock()
    bucket = Buckets(per_minute, clock)
    sent(bucket, clock, steps)
    clock.now += 5
    waits = [bucket.take("acme", 60) for _ in range(2 * per_minute)]
    assert len(waits) - waits.count(None) >= per_minute - per_minute // 10


@given(LIMITS, st.floats(0, 100), st.floats(0, 100))
def test_nothing_goes_before_a_pause_is_over(per_minute: int, now: float, seconds: float) -> None:
    clock = Clock()
    clock.now, bucket = now, Buckets(per_minute, clock)
    bucket.take("acme", 0)
    bucket.pause("acme", seconds)
    wait = bucket.take("acme", 1_000)
    assert wait is not None
    assert wait >= seconds - 1e-6
