"""The month as a picture: which coordinates stand for which numbers."""

from datetime import UTC, date, datetime

from ops.answers.forecast import Course
from ops.console.charts import Chart, month_chart
from stores.project import Terms
from tests.cases import each

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAYS = {"2026-03-01": 100, "2026-03-02": 200, "2026-03-03": 50}


def chart(
    days: dict[str, int] = DAYS, limit: int = 1_000, now: datetime = NOW, course: list[Course] | None = None
) -> Chart:
    return month_chart(days, course or [], Terms(limit, (50, 100)), now, "2026-03")


def pairs(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, _, y in (one.partition(",") for one in points.split())]


def events_at(found: Chart, limit: int = 1_000) -> list[int]:
    """The events that the line's points stand for, by the place of zero and of the limit."""
    assert found.limit is not None
    return [round((268 - y) / (268 - found.limit) * limit) for _, y in pairs(found.line)]


def test_the_line_has_the_totals_up_to_this_hour() -> None:
    found = chart()
    assert events_at(found) == [0, 100, 300, 350]
    assert [round((x - 64) / (748 - 64) * 31, 1) for x, _ in pairs(found.line)] == [0, 1, 2, 2.5]


def test_a_month_that_is_over_is_drawn_whole_with_what_came_late() -> None:
    found = chart(DAYS | {"2026-04-01": 7}, now=datetime(2026, 5, 1, tzinfo=UTC))
    assert len(pairs(found.line)) == 32
    assert pairs(found.line)[-1][0] == 748
    assert events_at(found)[-2:] == [350, 357]


def test_a_month_that_has_not_begun_is_a_point() -> None:
    assert pairs(chart({}, now=datetime(2026, 2, 1, tzinfo=UTC)).line) == [(64, 268)]


def test_the_band_goes_on_from_the_line_to_the_last_day() -> None:
    course = [Course(date(2026, 3, day), 400 * day, 500 * day, 600 * day) for day in range(3, 32)]
    found = chart(limit=10_000, course=course)
    band, middle = pairs(found.band), pairs(found.middle)
    assert band[0] == band[-1] == middle[0] == pairs(found.line)[-1]
    assert middle[-1][0] == 748
    assert len(band) == 2 * 30


@each(("limit", "shown"), [(1_000, True), (1_750, True), (1_751, False), (10**7, False)])
def test_a_limit_far_above_is_left_out(limit: int, shown: bool) -> None:
    found = chart(limit=limit)
    assert (found.limit is not None) is shown
    assert bool(found.thresholds) is shown


@each(
    ("days", "limit", "steps"),
    [(DAYS, 1_000, [0, 250, 500, 750, 1000]), ({}, 10**9, [0, 1]), ({"2026-03-01": 9}, 10, [0, 5, 10])],
)
def test_the_axis_has_round_numbers(days: dict[str, int], limit: int, steps: list[int]) -> None:
    assert [tick.value for tick in chart(days, limit).events] == steps
