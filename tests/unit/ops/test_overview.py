"""The overview: which projects need a look, and in what order."""

from datetime import UTC, datetime, timedelta

from ops.answers.overview import QUIET, Trouble, overview
from stores.project import Link, Project, linked
from stores.usage import Usage
from tests.cases import each

NOW = datetime(2026, 3, 15, 9, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
ENDED = Project(6, (Link("f", datetime(2026, 1, 1), datetime(2026, 2, 1)),))  # noqa: DTZ001  as the registry has it


@each(
    ("events", "last", "trouble"),
    [
        (0, None, Trouble.NO_RECORD),
        (0, BEFORE, Trouble.NONE),
        (799, BEFORE, Trouble.NONE),
        (800, BEFORE, Trouble.NEAR_LIMIT),
        (800, NOW - QUIET, Trouble.NEAR_LIMIT),
        (800, NOW - QUIET - timedelta(seconds=1), Trouble.QUIET),
        (1_000, NOW - QUIET * 2, Trouble.OVER_LIMIT),
    ],
)
def test_a_project_has_its_worst_trouble(events: int, last: datetime | None, trouble: Trouble) -> None:
    found = overview(
        [linked(1, "a", monthly_limit=1_000)],
        [Usage(1, "2026-03", events, events)],
        {1: last} if last else {},
        NOW,
    )
    assert [one.trouble for one in found.lines] == [trouble]


def test_trouble_comes_first_and_then_the_largest() -> None:
    projects = [linked(number, "a", monthly_limit=100) for number in (1, 2, 3, 4, 5)] + [ENDED]
    events = {1: 10, 2: 20, 3: 85, 4: 150}
    totals = [Usage(number, "2026-03", count, count) for number, count in events.items()]
    found = overview(projects, [*totals, Usage(1, "2026-02", 999, 999)], dict.fromkeys(events, BEFORE), NOW)
    assert [one.project_id for one in found.lines] == [4, 5, 3, 6, 2, 1]
    assert (found.events, found.troubled, found.last) == (265, 3, BEFORE)


def test_nothing_is_known_of_nobody() -> None:
    found = overview([], [], {}, NOW)
    assert (found.events, found.troubled, found.last, found.month) == (0, 0, None, "2026-03")
