"""What the measure of freshness makes of what it has seen."""

import math
from collections import Counter
from pathlib import Path

import numpy as np

from lab.bench.events import PROJECTS
from lab.bench.freshness import BIG, Rows, centiles, shares, until_counted, waited
from lab.bench.steady import written


def test_centiles_of_a_hundred_waits_and_of_none() -> None:
    assert centiles(np.arange(101.0)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert all(math.isnan(value) for value in centiles(np.array([])).values())


def test_a_row_has_waited_since_its_number_was_put() -> None:
    puts = np.array([100.0, 101.0, 102.5])
    rows = Rows(np.array([0, 1, 2, 5]), np.full(4, BIG), np.array([130.0, 130.0, 130.0, 160.0]))
    assert waited(puts, 2, rows).tolist() == [30, 30, 29, 57.5]


def test_a_file_is_counted_at_the_first_total_that_includes_it() -> None:
    puts = np.array([100.0, 101.0, 102.0, 103.0])
    at, totals = [105.0, 106.0, 107.0, 108.0], [9, 10, 10, 39]
    waits = until_counted(puts, 10, at, totals)
    assert waits[:3].tolist() == [6, 7, 6]
    assert math.isnan(waits[3])


def test_one_project_has_a_hundred_times_each_other() -> None:
    assert Counter(shares(unequal=False)) == dict.fromkeys(PROJECTS, 1)
    assert Counter(shares(unequal=True)) == dict.fromkeys(PROJECTS, 1) | {BIG: 100}


def test_files_hold_a_second_each_and_are_of_one_shard(tmp_path: Path) -> None:
    files = list(written(tmp_path, 20, 3, [BIG]))
    assert [file.name for file in files] == [f"00000{second}-000000000000" for second in range(3)]
    lines = [file.read_bytes().splitlines() for file in files]
    assert list(map(len, lines)) == [20, 20, 20]
    assert sum(b'"event_id":25,' in line for line in lines[1]) == 1
    assert all(str(BIG).encode() in line for line in lines[2])
