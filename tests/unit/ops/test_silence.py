"""Which projects have stopped sending."""

from datetime import UTC, datetime, timedelta

from ops.answers.silence import Silent, longest_silence, silent
from stores.project import Link, Project, linked
from tests.cases import each

NOW = datetime(2026, 3, 15, 12, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def hours(*gaps: float) -> list[datetime]:
    """Hours with records, so many hours apart."""
    found = [datetime(2026, 3, 1, tzinfo=UTC)]
    for gap in gaps:
        found.append(found[-1] + gap * HOUR)
    return found


def test_the_longest_silence_of_a_habit() -> None:
    assert longest_silence(hours(*[24] * 6)) == DAY
    assert longest_silence(hours(*[24] * 3, 72, *[24] * 3)) == 3 * DAY
    assert longest_silence(hours(*[1] * 200)) == HOUR
    assert longest_silence(hours(*[24] * 5)) is None, "six days are no habit"
    assert longest_silence([]) is None


@each(
    ("age", "usual", "stopped"),
    [
        (23, 1, False),
        (24, 1, True),
        (36, 24, False),
        (37, 24, True),
        (90, 60, False),
        (91, 60, True),
        (28 * 24, 60, True),
        (28 * 24 + 1, 60, False),
    ],
)
def test_a_project_has_stopped_when_it_is_silent_for_longer_than_ever(age: int, usual: int, stopped: bool) -> None:
    since = NOW - age * HOUR
    found = silent([linked(1, "acme")], {1: since}, NOW, lambda *_: usual * HOUR)
    assert found == ([Silent(1, "acme", since, usual * HOUR)] if stopped else [])


def test_nobody_has_stopped_who_never_sent_has_no_habit_or_is_not_linked() -> None:
    since = NOW - 3 * DAY
    ended = Project(3, (Link("gone", datetime(2026, 1, 1), datetime(2026, 3, 13)),))  # noqa: DTZ001  naive UTC
    assert silent([linked(1, "acme")], {}, NOW, lambda *_: HOUR) == []
    assert silent([linked(1, "acme")], {1: since}, NOW, lambda *_: None) == []
    assert silent([ended], {3: since}, NOW, lambda *_: HOUR) == []
