"""What a seed makes of a run, and how runs become the scoreboard."""

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from lab.proofs import faults
from lab.proofs.faults import FAULTS, Fault
from lab.proofs.torture import BEGIN, END, SCOREBOARD, Line, read_lines, schedule, scoreboard


def test_a_seed_says_what_strikes_and_when() -> None:
    assert schedule(7) == schedule(7)
    planned = [schedule(seed) for seed in range(300)]
    assert {sum(len(strike.faults) for strike in one) for one in planned} == {1, 2, 3}
    assert {max(len(strike.faults) for strike in one) for one in planned} == {1, 2, 3}
    assert {name for one in planned for strike in one for name in strike.faults} == set(FAULTS)
    for one in planned:
        assert one == sorted(one)
        assert all(0.05 <= strike.share <= 0.9 for strike in one)
        assert not any(FAULTS[name].waits for strike in one for name in strike.faults[1:])


def test_only_the_faults_that_are_asked_for() -> None:
    asked = ["rescaled and back", "cancelled and restored"]  # each waits for a checkpoint
    assert [strike.faults for strike in schedule(1, asked)] == [asked[:1], asked[1:]]


def test_the_next_fault_strikes_while_one_lasts_or_when_it_has_struck(monkeypatch: pytest.MonkeyPatch) -> None:
    told, second = list[str](), Event()

    def long(_: Any) -> None:
        told.append("long begins")
        second.wait(60)
        told.append("long ends")

    def two(_: Any) -> None:
        told.append("two")
        second.set()

    given = {
        "long": Fault(long, lasts=True),
        "one": Fault(lambda _: told.append("one")),
        "two": Fault(two),
    }
    monkeypatch.setattr(faults, "FAULTS", given)
    target: Any = SimpleNamespace(rng=SimpleNamespace(uniform=lambda *_: 0.01))
    faults.strike(target, ["one", "long", "two"])
    assert told == ["one", "long begins", "two", "long ends"]


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
        Line(5, ["DynamoDB down", "shard split"], records=800, recovery=[25.0], upon=1),
        Line(6, ["rescaled"], records=800, recovery=[12.0], high_availability=True),
    ]
    assert scoreboard(lines) == (
        "| fault | runs | records | missing | extra | residual | no result | recovery p50, s | p95, s |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
        "| rescaled | 2 | 1,700 | 2 | 1 | 0 | 0 | 15 | 20 |\n"
        "| rescaled, high availability | 1 | 800 | 0 | 0 | 0 | 0 | 12 | 12 |\n"
        "| shard split | 1 | 0 | 0 | 0 | 0 | 1 |  |  |\n"
        "| 2, one after the other | 1 | 800 | 0 | 0 | 3 | 0 | 18 | 29 |\n"
        "| 2, upon each other | 1 | 800 | 0 | 0 | 0 | 0 | 25 | 25 |\n"
        "| all | 6 | 4,100 | 2 | 1 | 3 | 1 | 16 | 29 |\n"
    )


def test_the_scoreboard_is_made_of_the_runs_on_record() -> None:
    assert f"{BEGIN}{scoreboard(read_lines())}{END}" in SCOREBOARD.read_text(encoding="utf-8")
