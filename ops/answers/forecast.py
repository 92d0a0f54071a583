"""When a project's month will reach its limit, told from the volumes of its last eight weeks.

A day to come is expected to have its weekday's usual volume at the level of the last seven days, with some of the
trend going on. The range comes of replaying the project's own past: weeks of noise, errors of level, shares of
trend. How far that can be relied on is measured by tests/unit/ops/test_forecast.py, in months whose end is known.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import accumulate, chain
from math import ceil, exp, log
from operator import mul
from random import Random
from statistics import fmean, median
from typing import Final, NamedTuple

MIN_DAYS: Final = 14
"""With less no weekday is seen twice, and nothing tells noise from weekdays."""
WINDOW: Final = timedelta(days=56)
"""What is older says little about this month."""
_PATHS: Final = 200
_MIDDLE, _TENTH = _PATHS // 2, _PATHS // 10
_SPIKE: Final = 1.5  # times the usual: what is above says nothing of the level
_FASTEST: Final = 0.05  # per day, 4.5 times in a month: faster is a launch or an end, and neither goes on for long


class Forecast(NamedTuple):
    """When the month's events reach the limit, in UTC days; None: not within the month."""

    day: date | None
    """as likely later as earlier"""
    earliest: date | None
    """8 times in 10 it is from this day on"""
    latest: date | None
    """to this one"""
    month_end: int
    """events by the end of the month, as likely more as fewer"""


class Course(NamedTuple):
    """How many events the month may have by the end of a UTC day: 8 times in 10 between `low` and `high`."""

    day: date
    low: int
    middle: int
    """as likely more as fewer"""
    high: int


def forecast(days: Mapping[date, int], events: int, limit: int, now: datetime) -> Forecast | None:
    """Foretell when the month reaches `limit`; None if it has, or if the first events are not MIN_DAYS old.

    `days` has the events of each complete UTC day before today, those of earlier months too; a day that it lacks
    had none. `events` is what the month of `now` (UTC) has so far, today included. The same input has the same
    forecast.
    """
    paths = _months(days, now)
    if not paths or events >= limit:
        return None
    # events are whole: half of one is lost or won by rounding alone
    reached = sorted(bisect_left(path, limit - events - 0.5) for path in paths)
    day, earliest, latest = (
        now.date() + timedelta(ahead) if ahead < len(paths[0]) else None
        for ahead in (reached[_MIDDLE], reached[_TENTH], reached[-1 - _TENTH])
    )
    return Forecast(day, earliest, latest, events + round(median(path[-1] for path in paths)))


def course(days: Mapping[date, int], events: int, now: datetime) -> list[Course]:
    """How the month may go on, from today to its last day; empty where too little is known. See `forecast`."""
    found = []
    for ahead, totals in enumerate(zip(*_months(days, now), strict=True)):
        ordered = sorted(totals)
        low, high = (events + round(ordered[at]) for at in (_TENTH, -1 - _TENTH))
        found.append(Course(now.date() + timedelta(ahead), low, events + round(median(ordered)), high))
    return found


def _months(days: Mapping[date, int], now: datetime) -> list[list[float]]:
    """Ways the rest of the month may go, see `_paths`; none where the first events are not MIN_DAYS old."""
    today = now.date()
    first = min((day for day, volume in days.items() if volume), default=today)
    complete = (today - first).days
    if complete < MIN_DAYS:
        return []
    past = [days.get(today - timedelta(back), 0) for back in range(min(complete, WINDOW.days), 0, -1)]
    # what today had so far is not known apart: the rest of it is the same share of its volume as of its hours
    gone = timedelta(hours=now.hour, minutes=now.minute, seconds=now.second) / timedelta(days=1)
    left = monthrange(today.year, today.month)[1] - today.day + 1
    return list(_paths(past, [1 - gone] + [1.0] * (left - 1)))


def _paths(past: Sequence[int], shares: Sequence[float]) -> Iterator[list[float]]:
    """Ways the month may go on: running totals from today to its end, with `shares` of each day to come."""
    length = len(past)
    trend = _trend(past)
    level_now = [volume * exp(trend * (length - i)) for i, volume in enumerate(past)]
    weekdays = [_usual(level_now[(length + ahead) % 7 :: 7]) for ahead in range(7)]  # from today's on
    usual = [weekdays[(i - length) % 7] for i in range(length)]
    # the past lies closer to a pattern found in it than days to come will, the more so the fewer its weeks
    wider = length / (length - 7)
    noise = _widened([volume / fit if fit else 1.0 for volume, fit in zip(level_now, usual, strict=True)], wider)
    weeks = _of_seven([min(volume, _SPIKE * fit) for volume, fit in zip(level_now, usual, strict=True)])
    mean = fmean(map(sum, weeks)) or 1.0
    errors = _widened([sum(week) / mean for week in weeks], wider)
    level = sum(weeks[-1]) / mean
    base = [weekdays[ahead % 7] * level * share for ahead, share in enumerate(shares)]
    # two weeks hardly show a trend, eight do; how much of it goes on nobody knows
    lasting = max(-_FASTEST, min(trend, _FASTEST)) * length / WINDOW.days
    noisy_weeks = _of_seven([*noise, *noise[:6]])  # round the end, for each day to come up equally often
    rng = Random(0)  # noqa: S311  the same forecast each time
    for _ in range(_PATHS):
        growth = exp(lasting * rng.random())
        levels = accumulate([growth] * (len(base) - 1), mul, initial=rng.choice(errors))
        noises = chain.from_iterable(rng.choices(noisy_weeks, k=ceil(len(base) / 7)))
        yield list(accumulate(map(mul, map(mul, base, levels), noises)))


def _trend(past: Sequence[int]) -> float:
    """Growth per day as a logarithm: the median over all pairs of the same weekday, which no spike moves."""
    slopes = [
        log(new / old) / apart
        for apart in range(7, len(past), 7)
        for old, new in zip(past, past[apart:], strict=False)
        if old and new
    ]
    return median(slopes) if slopes else 0.0


def _usual(volumes: Sequence[float]) -> float:
    """The usual volume of a weekday; one that is mostly empty has what it has on the average."""
    return median(volumes) or fmean(volumes)


def _of_seven(days: Sequence[float]) -> list[Sequence[float]]:
    """All seven days on end, whatever weekday they begin with."""
    return [days[i : i + 7] for i in range(len(days) - 6)]


def _widened(ratios: Sequence[float], by: float) -> list[float]:
    """Further from their middle, where spikes do not push the other days below what is usual."""
    middle = fmean(min(ratio, _SPIKE) for ratio in ratios)
    return [max(0.0, middle + (ratio - middle) * by) for ratio in ratios]
