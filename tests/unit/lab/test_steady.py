"""What the long measures make of what they have seen: trends, what may be deleted, what is missing."""

import math
from pathlib import Path

import numpy as np
import pytest

from lab.bench.events import DUPLICATES
from lab.bench.growth import grown, slope
from lab.bench.steady import caught_up, compare, done_with, written


def test_a_slope_is_per_hour_and_evens_out_what_swings() -> None:
    assert slope([(0, 100.0), (1_800, 105.0), (3_600, 110.0)]) == pytest.approx(10)
    assert slope([(0, 101.0), (10, 99.0), (20, 99.0), (30, 101.0)]) == pytest.approx(0)
    assert math.isnan(slope([(0, 1.0)]))
    assert math.isnan(slope([]))


def test_a_file_stays_until_it_was_read_a_minute_before_a_checkpoint() -> None:
    puts = [1_000.0, 1_001.0, 1_002.0]
    assert done_with(puts, [], 9_000) == 0
    assert done_with(puts, [1_061.5], 1_061.5) == 0  # the checkpoint may not hold what was read at that moment
    assert done_with(puts, [1_061.5], 1_062) == 2
    assert done_with(puts, [1_061.5, 1_070], 1_065) == 2  # level since, but not in this checkpoint
    assert done_with(puts, [1_061.5, 1_070], 1_071) == 3


def test_events_are_compared_by_number(tmp_path: Path) -> None:
    rate, seconds = 50, 2
    lines = [line for file in written(tmp_path, rate, seconds, [1, 2]) for line in file.read_bytes().splitlines()]
    assert len(lines) == rate * seconds
    copies = [number for number, line in enumerate(lines) if line in lines[:number]]
    stored = np.setdiff1d(np.arange(rate * seconds), copies)
    assert len(copies) == rate * seconds * DUPLICATES
    assert compare(stored, rate * seconds) == (0, 0)
    assert compare(stored[2:], rate * seconds) == (2, 0)
    assert compare(np.append(stored, stored[:3]), rate * seconds) == (0, 3)
    assert compare(np.append(stored[1:], [copies[0], rate * seconds]), rate * seconds) == (1, 2)


def test_files_are_of_one_shard_and_in_order(tmp_path: Path) -> None:
    names = [file.name for file in written(tmp_path, 20, 3, [1, 2])]
    assert names == sorted(names)
    assert {name[-12:] for name in names} == {"000000000000"}


def test_caught_up_once_two_seconds_of_input_wait() -> None:
    puts = [float(second) for second in range(20)]  # 100 records, 95 events each
    # nothing is read until 10, then two files a second: at 16, 12 are read of the 17 put
    arrivals = np.repeat(np.arange(10.5, 20.5, 0.5), 95)
    waiting, took = caught_up(puts, 100, arrivals, 10.0)
    assert waiting == 11 * 95
    assert took == pytest.approx(8.5, abs=0.11)  # at 18.5: 17 read of 19; it looks ten times a second
    # too late: what waited when the feed ended was read without more coming
    assert caught_up(puts, 100, np.repeat(np.arange(12.5, 32.5), 95), 12.0) == (13 * 95, None)
    assert caught_up(puts, 100, np.repeat(puts, 95), 10.0) == (0, 0.0)


def test_what_has_grown_over_a_soak() -> None:
    def checkpoint(number: int) -> dict[str, int]:
        return {"id": number, "end_to_end_duration": 500 * number, "state_size": 1_000_000 * min(number, 2)}

    samples = [
        {
            "at": 300.0 * number,
            "put": 1_000 * number,
            "read": 1_000 * number - 100 * (number % 2),
            "rss_mb": {"jobmanager": 500.0 + number},
            "checkpoints": [checkpoint(number)],
        }
        for number in range(1, 5)
    ]
    found = {(one.benchmark, one.what): one.value for one in grown(samples, window=600)}
    assert found == {
        ("state in a checkpoint", "after 10 min"): 2.0,
        ("state in a checkpoint", "at the end"): 2.0,
        ("state in a checkpoint", "peak"): 2.0,
        ("state in a checkpoint", "slope after 10 min"): pytest.approx(0),
        ("memory of jobmanager", "after 10 min"): 502.0,
        ("memory of jobmanager", "at the end"): 504.0,
        ("memory of jobmanager", "peak"): 504.0,
        ("memory of jobmanager", "slope after 5 min"): pytest.approx(12),
        ("duration of a checkpoint", "p50"): 1.25,
        ("duration of a checkpoint", "max"): 2.0,
        ("records waiting", "p50"): 50,
        ("records waiting", "max"): 100,
    }
