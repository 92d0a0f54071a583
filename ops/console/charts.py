"""Charts as coordinates: what a template draws as SVG, with the table of the same numbers beside it."""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from ops.answers.forecast import Course
from stores.project import Terms

WIDTH, HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 748, 16, 268
_NEAR: Final = 0.2  # of the limit: a month that stays below would be a flat line under it
_TICKS: Final = (1, 2, 2.5, 5, 10)


class Tick(NamedTuple):
    """A mark at a coordinate, and what it stands for."""

    at: float
    value: int


class Chart(NamedTuple):
    """A month against its limit, in the coordinates of a picture of WIDTH by HEIGHT."""

    line: str
    """events so far: points of a polyline"""
    area: str
    """below it: points of a polygon"""
    band: str
    """between which the rest of the month is 8 times in 10: points of a polygon, empty where nobody knows"""
    middle: str
    limit: float | None
    """None where it lies above the picture"""
    thresholds: tuple[Tick, ...]
    days: tuple[Tick, ...]
    events: tuple[Tick, ...]


def month_chart(
    days: Mapping[str, int], course: Sequence[Course], terms: Terms, now: datetime, month: str
) -> Chart:
    """The month's events by ISO day, and how it may go on, as a picture; a month that is over has no course."""
    limit = terms.monthly_limit
    first = date.fromisoformat(f"{month}-01")
    length = monthrange(first.year, first.month)[1]
    so_far = _running(days, first, length, now)
    highest = max([total for _, total in so_far] + [one.high for one in course] + [1])
    shown = highest >= _NEAR * limit
    top = max(highest, limit if shown else 0) * 1.08

    def x(day: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * day / length, 1)

    def y(events: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * events / top, 1)

    def points(pairs: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x(day)},{y(events)}" for day, events in pairs)

    last = so_far[-1]
    ahead = [((one.day - first).days + 1, one) for one in course]
    high = [last, *((day, one.high) for day, one in ahead)]
    low = [last, *((day, one.low) for day, one in ahead)]
    return Chart(
        line=points(so_far),
        area=points([(0, 0), *so_far, (last[0], 0)]),
        band=points([*high, *reversed(low)]) if ahead else "",
        middle=points([last, *((day, one.middle) for day, one in ahead)]) if ahead else "",
        limit=y(limit) if shown else None,
        thresholds=tuple(Tick(y(limit * one / 100), one) for one in terms.thresholds if shown and one < 100),
        days=tuple(Tick(x(day - 0.5), day) for day in (1, 5, 10, 15, 20, 25, length)),
        events=tuple(Tick(y(events), events) for events in _round_steps(top)),
    )


def _running(days: Mapping[str, int], first: date, length: int, now: datetime) -> list[tuple[float, float]]:
    """Totals by the end of each day up to `now`; what arrived after the month's end is in its last one."""
    today = (now.date() - first).days + (now - now.replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(
        1
    )
    end = min(max(today, 0.0), float(length))
    found: list[tuple[float, float]] = [(0.0, 0.0)]
    total = 0
    for day in range(length):
        if day >= end:
            break
        total += days.get((first + timedelta(day)).isoformat(), 0)
        found.append((min(day + 1.0, end), float(total)))
    late = sum(events for day, events in days.items() if day >= (first + timedelta(length)).isoformat())
    found[-1] = (found[-1][0], found[-1][1] + late)
    return found


def _round_steps(top: float) -> list[int]:
    """Four to six round numbers from 0 to the top."""
    size = 10 ** (len(str(int(top / 4))) - 1)
    step = next(size * one for one in _TICKS if size * one >= top / 5 and size * one % 1 == 0)
    return [round(step * i) for i in range(int(top / step) + 1)] if top >= 5 else [0, 1]
