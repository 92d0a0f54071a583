"""Terms of a project: which thresholds are reached, and which terms hold for which month."""

from datetime import UTC, datetime, timedelta

from ops.answers.month import closes_at
from stores.project import EarlierTerms, Terms, linked, month_before
from tests.builders import PROJECT
from tests.cases import each

TEN_MILLION = Terms()


@each(
    ("events", "reached"),
    [
        (0, ()),
        (4_999_999, ()),
        (5_000_000, (50,)),
        (7_999_999, (50,)),
        (8_000_000, (50, 80)),
        (9_999_999, (50, 80, 90)),
        (10_000_000, (50, 80, 90, 100)),
        (10**15, (50, 80, 90, 100)),
    ],
)
def test_a_threshold_is_reached_by_the_event_that_makes_it_full(events: int, reached: tuple[int, ...]) -> None:
    assert TEN_MILLION.reached(events) == reached


def test_a_threshold_that_falls_between_two_events_takes_the_second() -> None:
    odd = Terms(monthly_limit=3, thresholds=(50, 120))
    assert [odd.reached(events) for events in range(5)] == [(), (), (50,), (50,), (50, 120)]


def test_without_thresholds_none_is_reached() -> None:
    assert Terms(thresholds=()).reached(10**9) == ()


def test_only_what_lies_beyond_the_limit_is_billable() -> None:
    assert [Terms(5).billable(events) for events in (0, 5, 6)] == [0, 0, 1]


def test_new_terms_hold_for_their_month_and_later_ones() -> None:
    small, large = Terms(100), Terms(1_000, (90,))
    project = linked(PROJECT, "acme").with_terms(small, "2026-03").with_terms(large, "2026-05")
    assert project.earlier_terms == (EarlierTerms("2026-02", TEN_MILLION), EarlierTerms("2026-04", small))
    months = ("2025-12", "2026-02", "2026-03", "2026-04", "2026-05", "2027-01")
    assert [project.terms_of(month) for month in months] == [
        *(TEN_MILLION, TEN_MILLION),
        *(small, small),
        *(large, large),
    ]


def test_the_last_change_within_a_month_counts_for_all_of_it() -> None:
    project = linked(PROJECT, "acme").with_terms(Terms(100), "2026-03").with_terms(Terms(200), "2026-03")
    assert project.earlier_terms == (EarlierTerms("2026-02", TEN_MILLION),)
    assert (project.terms_of("2026-02"), project.terms_of("2026-03")) == (TEN_MILLION, Terms(200))


@each(("month", "before"), [("2026-03", "2026-02"), ("2026-01", "2025-12"), ("2024-03", "2024-02")])
def test_the_month_before(month: str, before: str) -> None:
    assert month_before(month) == before


@each(
    ("month", "close"),
    [
        ("2026-02", "2026-03-02T04:00:00+00:00"),
        ("2024-02", "2024-03-02T04:00:00+00:00"),
        ("2026-04", "2026-05-02T04:00:00+00:00"),
        ("2026-12", "2027-01-02T04:00:00+00:00"),
        ("2099-12", "2100-01-02T04:00:00+00:00"),
        ("2100-02", "2100-03-02T04:00:00+00:00"),
    ],
)
def test_a_month_closes_28_hours_after_its_end(month: str, close: str) -> None:
    assert closes_at(month, timedelta(hours=28)) == datetime.fromisoformat(close).astimezone(UTC)
