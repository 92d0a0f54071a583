"""The day on which a month reaches its limit: exact where the past is regular, measured where it is not."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from math import exp

import pytest

from ops.answers.forecast import MIN_DAYS, Forecast, forecast
from tests.cases import each

DAY = timedelta(days=1)
NEVER = None, None, None


def every_day(volume: int | Callable[[date], int], until: date, length: int = 40) -> dict[date, int]:
    """The volumes of the `length` days before `until`."""
    known = [until - back * DAY for back in range(length, 0, -1)]
    return {day: volume if isinstance(volume, int) else volume(day) for day in known}


def at(today: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(today.year, today.month, today.day, hour, minute, tzinfo=UTC)


def exactly(day: date, month_end: int) -> Forecast:
    return Forecast(day, day, day, month_end)


@each(
    ("today", "length", "volume"),
    [
        (date(2026, 1, 10), 31, 1),
        (date(2026, 4, 10), 30, 7),
        (date(2026, 2, 10), 28, 1000),
        (date(2028, 2, 10), 29, 10**12),
        (date(2026, 12, 10), 31, 10**12),
        (date(2026, 1, 1), 31, 3),
        (date(2026, 12, 31), 31, 3),
        (date(2028, 2, 29), 29, 3),
    ],
    ids=str,
)
def test_a_constant_volume_reaches_each_limit_on_its_day(today: date, length: int, volume: int) -> None:
    days, so_far, month_end = every_day(volume, today), (today.day - 1) * volume, length * volume
    for number in {today.day, (today.day + length) // 2, length}:
        expected = exactly(today.replace(day=number), month_end)
        assert forecast(days, so_far, number * volume, at(today)) == expected
        assert forecast(days, so_far, (number - 1) * volume + 1, at(today)) == expected
    assert forecast(days, so_far, month_end + 1, at(today)) == (*NEVER, month_end)


def test_what_is_left_of_today_is_its_share_of_the_hours() -> None:
    today = date(2026, 3, 11)
    days, now = every_day(2400, today), at(today, 18)
    # 600 more today, and 20 days of 2,400
    assert forecast(days, 25_800, 26_400, now) == exactly(today, 74_400)
    assert forecast(days, 25_800, 26_401, now) == exactly(today + DAY, 74_400)
    assert forecast(days, 25_800, 26_400, at(today, 18, 1)) == exactly(today + DAY, 74_398)
    assert forecast(days, 26_399, 26_400, at(today, 23, 59)) == exactly(today, 74_401)
    # 1,000 / 3 more today: 333 are reached, 334 are not
    assert forecast(every_day(1000, today), 9000, 9333, at(today, 16)) == exactly(today, 29_333)
    assert forecast(every_day(1000, today), 9000, 9334, at(today, 16)) == exactly(today + DAY, 29_333)
    assert forecast(every_day(1000, today), 9000, 9667, at(today, 8)) == exactly(today, 29_667)


def test_no_day_is_foretold_when_the_limit_is_reached() -> None:
    today = date(2026, 3, 11)
    days = every_day(100, today)
    assert forecast(days, 1000, 1000, at(today)) is None
    assert forecast(days, 1001, 1000, at(today)) is None
    assert forecast(days, 0, 0, at(today)) is None
    assert forecast(days, 999, 1000, at(today)) == exactly(today, 3099)


def test_two_weeks_since_the_first_events_are_needed() -> None:
    assert MIN_DAYS == 14
    today = date(2026, 3, 11)
    now = at(today)
    assert forecast({}, 0, 1000, now) is None
    assert forecast({today: 50}, 50, 1000, now) is None
    assert forecast(every_day(0, today), 50, 1000, now) is None
    assert forecast(every_day(100, today, 13), 1000, 2000, now) is None
    assert forecast(every_day(0, today) | every_day(100, today, 13), 1000, 2000, now) is None
    assert forecast(every_day(100, today, 14), 1000, 2000, now) == exactly(date(2026, 3, 20), 3100)


def test_a_day_that_is_absent_had_no_events() -> None:
    today = date(2026, 3, 11)  # a Wednesday
    days = every_day(lambda day: 100 if day.weekday() < 5 else 0, today)
    absent = {day: volume for day, volume in days.items() if volume}
    for known in (days, absent):
        # 700 up to Tuesday, three more until Friday 13, and the next on Monday 16
        assert forecast(known, 700, 1000, at(today)) == exactly(date(2026, 3, 13), 2200)
        assert forecast(known, 700, 1001, at(today)) == exactly(date(2026, 3, 16), 2200)


def test_each_weekday_has_its_own_volume() -> None:
    today = date(2026, 3, 11)
    days = every_day(lambda day: 10 * (day.weekday() + 1), today)
    so_far = sum(volume for day, volume in days.items() if day.month == 3)
    # Wednesday 30, Thursday 40, Friday 50
    assert forecast(days, so_far, so_far + 70, at(today)) == exactly(date(2026, 3, 12), so_far + 840)
    assert forecast(days, so_far, so_far + 71, at(today)) == exactly(date(2026, 3, 13), so_far + 840)


@each("known", [15, 56])
def test_a_project_that_sends_every_third_day_goes_on(known: int) -> None:
    today = date(2026, 3, 11)
    days = every_day(lambda day: 300 if (today - day).days % 3 == 0 else 0, today, known)
    found = forecast(days, 1000, 2000, at(today))
    assert found
    assert found.month_end == pytest.approx(1000 + 21 * 100, rel=0.1)
    assert found.day
    assert found.earliest
    assert found.earliest < date(2026, 3, 20) <= found.day


def test_no_month_ends_with_fewer_events_than_it_has() -> None:
    today = date(2026, 3, 11)
    found = forecast({today - 16 * DAY: 1000, today - 3 * DAY: 1000}, 1000, 9000, at(today))
    assert found
    assert found.month_end >= 1000


def test_only_eight_weeks_count() -> None:
    today = date(2026, 3, 11)
    days = every_day(10**6, today, 200) | every_day(100, today, 56)
    assert forecast(days, 1000, 2000, at(today)) == exactly(date(2026, 3, 20), 3100)
    stopped = every_day(100, today, 200) | every_day(0, today, 56)
    assert forecast(stopped, 500, 1000, at(today)) == (*NEVER, 500)


def test_today_and_later_days_do_not_count() -> None:
    today = date(2026, 3, 11)
    days = every_day(100, today)
    later = {today: 10**6, today + DAY: 10**6}
    assert forecast(days | later, 1000, 2000, at(today)) == forecast(days, 1000, 2000, at(today))


def test_a_week_without_events_is_an_end() -> None:
    today = date(2026, 3, 11)
    days = every_day(100, today) | every_day(0, today, 7)
    assert forecast(days, 300, 1000, at(today)) == (*NEVER, 300)


@each(("back", "spike"), [(1, 1000), (5, 1000), (20, 1000), (40, 1000), (1, 10**12)])
def test_a_spike_moves_the_day_by_one_at_most_and_may_come_again(back: int, spike: int) -> None:
    today = date(2026, 3, 11)
    days = every_day(100, today)
    assert forecast(days, 1950, 2900, at(today)) == exactly(date(2026, 3, 20), 4050)
    found = forecast(days | {today - back * DAY: spike}, 1950, 2900, at(today))
    assert found
    assert found.earliest
    assert found.day in {date(2026, 3, 19), date(2026, 3, 20)}
    assert date(2026, 3, 11) < found.earliest < date(2026, 3, 16)


def test_half_of_a_trend_is_expected_to_go_on_and_no_launch_is() -> None:
    today = date(2026, 3, 11)
    growing = every_day(lambda day: round(1e6 * exp(0.02 * (day - today).days)), today, 56)
    found = forecast(growing, 0, 10**9, at(today))
    assert found
    assert found.month_end == pytest.approx(sum(1e6 * exp(0.01 * ahead) for ahead in range(21)), rel=0.02)
    launched = every_day(lambda day: round(1e6 * exp(0.5 * (day - today).days)), today, 14)
    found = forecast(launched, 0, 10**9, at(today))
    assert found
    assert found.month_end < 21 * 1e6 * exp(0.05 * 21 / 4)
