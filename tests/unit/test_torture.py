"""What a seed makes of a run, and how runs become the scoreboard."""

from ops.faults import FAULTS
from ops.torture import SCOREBOARD, Line, read_lines, schedule, scoreboard


def test_a_seed_says_what_strikes_and_when() -> None:
    assert schedule(7) == schedule(7)
    planned = [schedule(seed) for seed in range(200)]
    assert {len(one) for one in planned} == {1, 2, 3}
    assert {name for one in planned for _, name in one} == set(FAULTS)
    for one in planned:
        assert one == sorted(one)
        assert all(0.05 <= share <= 0.9 for share, _ in one)


def test_only_the_faults_that_are_asked_for() -> None:
    assert [name for _, name in schedule(1, ["rescaled", "rescaled"])] == ["rescaled", "rescaled"]


def test_a_run_is_right_when_nothing_is_missing_extra_or_unexplained() -> None:
    right = Line(1, ["rescaled"], records=800, recovery=[9.0])
    assert right.right
    for wrong in ({"missing": 1}, {"extra": 1}, {"residual": 1}, {"trouble": "no slot"}):
        assert not Line(1, ["rescaled"], **wrong).right


def test_runs_by_fault_and_all_together() -> None:
    lines = [
        Line(1, ["rescaled"], records=800, recovery=[10.0]),
        Line(2, ["rescaled"], records=900, missing=2, extra=1, recovery=[20.0]),
        Line(3, ["rescaled", "shard split"], records=800, residual=3, recovery=[30.0, 5.0]),
        Line(4, ["shard split"], trouble="no slot"),
    ]
    assert scoreboard(lines) == (
        "| fault | runs | records | missing | extra | residual | no result | recovery p50, s | p95, s |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
        "| rescaled | 2 | 1,700 | 2 | 1 | 0 | 0 | 15 | 20 |\n"
        "| shard split | 1 | 0 | 0 | 0 | 0 | 1 |  |  |\n"
        "| 2 at a time | 1 | 800 | 0 | 0 | 3 | 0 | 18 | 29 |\n"
        "| all | 4 | 2,500 | 2 | 1 | 3 | 1 | 15 | 28 |\n"
    )


def test_the_scoreboard_is_made_of_the_runs_on_record() -> None:
    assert SCOREBOARD.read_text(encoding="utf-8").endswith(scoreboard(read_lines()))
